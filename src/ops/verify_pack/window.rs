//! The bytes of a pack that are at hand: read front to back in pieces, each hashed when it comes.
//!
//! Invariant: what is handed out was read without error. Besides what the caller still needs, one piece
//! is held.

use std::ops::Range;

use blake3::hazmat::ChainingValue;

use crate::backend::{BackendError, RandomRead};
use crate::base::hash::{PieceTree, piece_value, plain};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::PIECE_BYTES;

/// How many pieces of 1 MiB a file of this many bytes has; one if it is empty.
pub(super) fn piece_count(file_bytes: u64) -> u64 {
    file_bytes.div_ceil(PIECE_BYTES as u64).max(1)
}

/// Where a piece of a file stands, in bytes from its front.
pub(super) fn piece_range(number: u64, file_bytes: u64) -> Range<u64> {
    let start = number.saturating_mul(PIECE_BYTES as u64).min(file_bytes);
    start..start.saturating_add(PIECE_BYTES as u64).min(file_bytes)
}

/// A stretch of a file in memory.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Bytes from the front of `bytes` that were read.
    filled: usize,
    /// Where in the file they begin.
    base: u64,
}

impl Window {
    /// Forgets everything; the next bytes come from `offset` on.
    pub(super) fn reset(&mut self, offset: u64) {
        (self.base, self.filled) = (offset, 0);
    }

    /// Forgets what stands before `offset`.
    pub(super) fn release(&mut self, offset: u64) {
        let passed = usize::try_from(offset.saturating_sub(self.base)).unwrap_or(usize::MAX);
        if passed >= self.filled {
            self.reset(self.end());
        } else if passed > 0 {
            self.bytes.copy_within(passed..self.filled, 0);
            self.filled -= passed;
            self.base += passed as u64;
        }
    }

    /// Where the bytes at hand end, in bytes from the front of the file.
    pub(super) fn end(&self) -> u64 {
        self.base + self.filled as u64
    }

    /// Reads on up to `end`; what was read then.
    fn extend(&mut self, file: &dyn RandomRead, end: u64) -> Result<&[u8], BackendError> {
        let from = self.filled;
        let more = usize::try_from(end.saturating_sub(self.end()));
        let to = from.saturating_add(more.unwrap_or(usize::MAX));
        if to > self.bytes.len() {
            self.bytes.resize(to, 0);
        }
        let part = self.bytes.get_mut(from..to).unwrap_or_default();
        file.read_exact_at(part, self.base + from as u64)?;
        self.filled = to;
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }

    /// Reads the piece that follows what is at hand; its chaining value, or the hash of the file if
    /// that is no longer than one piece.
    ///
    /// Where it cannot be read, everything at hand is forgotten, and what follows comes next.
    pub(super) fn piece(
        &mut self,
        file: &dyn RandomRead,
        number: u64,
    ) -> Result<ChainingValue, BackendError> {
        let file_bytes = file.length_bytes();
        let range = piece_range(number, file_bytes);
        if self.end() != range.start {
            self.reset(range.start);
        }
        match self.extend(file, range.end) {
            Ok(piece) if file_bytes <= PIECE_BYTES as u64 => Ok(plain(piece)),
            Ok(piece) => Ok(piece_value(Kind::Blob, number, piece)),
            Err(error) => {
                self.reset(range.end);
                Err(error)
            }
        }
    }

    /// These bytes of the file, from memory as far as they are at hand.
    pub(super) fn get(
        &mut self,
        file: &dyn RandomRead,
        range: Range<u64>,
    ) -> Result<&[u8], BackendError> {
        if range.start < self.base || range.start > self.end() {
            self.reset(range.start);
        }
        if self.end() < range.end {
            self.release(range.start);
            self.extend(file, range.end)?;
        }
        let from = usize::try_from(range.start - self.base).unwrap_or(usize::MAX);
        let to = usize::try_from(range.end - self.base).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }
}

/// The hash of a file, put together from the values of its pieces in whatever order they come.
#[derive(Debug)]
pub(in crate::ops) struct FileHash {
    values: Vec<Option<ChainingValue>>,
    error: Option<BackendError>,
}

impl FileHash {
    /// Prepares for a file of this many bytes. 33 bytes for each MiB.
    pub(in crate::ops) fn new(file_bytes: u64) -> Self {
        let count = usize::try_from(piece_count(file_bytes)).unwrap_or(usize::MAX);
        Self { values: vec![None; count], error: None }
    }

    /// Takes the values of consecutive pieces, or why one of them could not be read.
    pub(in crate::ops) fn add(
        &mut self,
        first: u64,
        values: Result<Vec<ChainingValue>, BackendError>,
    ) {
        match values {
            Ok(values) => {
                let first = usize::try_from(first).unwrap_or(usize::MAX);
                let slots = self.values.iter_mut().skip(first);
                slots.zip(values).for_each(|(slot, value)| *slot = Some(value));
            }
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    /// The hash of the file.
    ///
    /// # Errors
    ///
    /// Some of it could not be read.
    pub(in crate::ops) fn finish(self) -> Result<Id, BackendError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let unread = || BackendError::Damaged { name: "a part of it".into(), what: "was not read" };
        if let [value] = self.values.as_slice() {
            return value.map(Id::from_bytes).ok_or_else(unread);
        }
        let mut tree = PieceTree::new(Kind::Blob);
        for value in self.values {
            tree.push(value.ok_or_else(unread)?);
        }
        tree.finish().ok_or_else(unread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct File(Vec<u8>);

    impl RandomRead for File {
        fn length_bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), BackendError> {
            let start = offset as usize;
            let bytes = self.0.get(start..start + buffer.len());
            let ended = || BackendError::Damaged { name: "file".into(), what: "cut short" };
            buffer.copy_from_slice(bytes.ok_or_else(ended)?);
            Ok(())
        }
    }

    fn file(length: usize) -> File {
        File((0..length).map(|i| ((i * i) >> 7) as u8).collect())
    }

    #[test]
    fn a_file_hashes_as_a_whole_whatever_the_order_of_its_pieces() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES, 7 * PIECE_BYTES + 9] {
            let file = file(length);
            let mut hash = FileHash::new(length as u64);
            let mut window = Window::default();
            for number in (0..piece_count(length as u64)).rev() {
                let value = window.piece(&file, number).map(|value| vec![value]);
                window.release(window.end());
                hash.add(number, value);
            }
            assert_eq!(hash.finish().ok(), Some(Id::from_bytes(plain(&file.0))), "{length}");
        }
    }

    #[test]
    fn a_window_hands_out_what_the_file_holds() {
        let file = file(3 * PIECE_BYTES);
        let mut window = Window::default();
        let (near, far) = (PIECE_BYTES as u64 - 5, PIECE_BYTES as u64 + 700);
        assert!(window.piece(&file, 0).is_ok());
        for range in [3..70, near..far, 0..9, far..far + 1, 9..far, near..3 * PIECE_BYTES as u64] {
            let expected = &file.0[range.start as usize..range.end as usize];
            assert!(
                window.get(&file, range.clone()).is_ok_and(|bytes| bytes == expected),
                "{range:?}"
            );
        }
        assert!(window.get(&file, far..3 * PIECE_BYTES as u64 + 1).is_err());
        assert!(window.get(&file, 1..3).is_ok_and(|bytes| bytes == &file.0[1..3]));
    }

    #[test]
    fn a_part_that_cannot_be_read_fails_the_hash() {
        let mut hash = FileHash::new(3 << 20);
        hash.add(0, Ok(vec![[0; 32]; 2]));
        assert!(hash.finish().is_err());
    }
}
