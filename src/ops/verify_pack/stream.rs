//! Reading a file once from front to back, hashing it on the way.
//!
//! Invariant: at most one buffer of 1 MiB besides what the caller asks for.

use crate::backend::{BackendError, RandomRead};

const BUFFER_BYTES: usize = 1 << 20;

/// The BLAKE3 hash of all bytes of a file.
pub(in crate::ops) fn hash_file(file: &dyn RandomRead) -> Result<[u8; 32], BackendError> {
    let mut stream = Stream::new(file);
    stream.skip_to(file.length_bytes())?;
    Ok(*stream.hasher.finalize().as_bytes())
}

/// A file that is read from front to back.
pub(in crate::ops) struct Stream<'f> {
    file: &'f dyn RandomRead,
    hasher: blake3::Hasher,
    position: u64,
    has_failed: bool,
    buffer: Vec<u8>,
}

impl<'f> Stream<'f> {
    pub(in crate::ops) fn new(file: &'f dyn RandomRead) -> Self {
        Self {
            file,
            hasher: blake3::Hasher::new(),
            position: 0,
            has_failed: false,
            buffer: Vec::new(),
        }
    }

    /// Bytes from the front of the file that were passed.
    pub(in crate::ops) fn position(&self) -> u64 {
        self.position
    }

    /// Reads and hashes up to `offset`. What cannot be read is passed over.
    pub(in crate::ops) fn skip_to(&mut self, offset: u64) -> Result<(), BackendError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(());
        while self.position < offset && result.is_ok() {
            let length = usize::try_from(offset - self.position).unwrap_or(BUFFER_BYTES);
            let length = length.min(BUFFER_BYTES);
            buffer.resize(length, 0);
            result = self.fill(&mut buffer);
        }
        self.buffer = buffer;
        self.position = self.position.max(offset);
        result
    }

    /// Reads and hashes the next `length` bytes. What cannot be read is passed over.
    pub(in crate::ops) fn take(
        &mut self,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), BackendError> {
        out.clear();
        out.resize(length, 0);
        let end = self.position.saturating_add(length as u64);
        let result = out.chunks_mut(BUFFER_BYTES).try_for_each(|part| self.fill(part));
        self.position = end;
        result
    }

    fn fill(&mut self, part: &mut [u8]) -> Result<(), BackendError> {
        let read = self.file.read_exact_at(part, self.position);
        self.has_failed |= read.is_err();
        self.hasher.update(part);
        self.position += part.len() as u64;
        read
    }

    /// The hash of all that was passed; `None` if some of it could not be read.
    pub(in crate::ops) fn finish(self) -> Option<[u8; 32]> {
        (!self.has_failed).then(|| *self.hasher.finalize().as_bytes())
    }
}
