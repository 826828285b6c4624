//! The directories that get their metadata at the end, in little memory.
//!
//! Invariant: they come out as they were put in, each after all that are below it.

use crate::format::codec::{Reader, put_bytes, put_length};
use crate::format::tree::Metadata;

/// Most bytes of a path of 4,096 components.
const PATH_BYTES_MAX: usize = 1 << 20;

/// Paths and metadata, each path without what it shares with the one before: some 30 bytes for each
/// directory.
#[derive(Debug, Default)]
pub(super) struct MadeDirectories {
    encoded: Vec<u8>,
    last: Vec<u8>,
}

impl MadeDirectories {
    pub(super) fn push(&mut self, path: &[u8], metadata: &Metadata) {
        let shared = path.iter().zip(&self.last).take_while(|(a, b)| a == b).count();
        put_length(&mut self.encoded, shared);
        put_bytes(&mut self.encoded, &path[shared..]);
        metadata.encode(&mut self.encoded);
        self.last.truncate(shared);
        self.last.extend_from_slice(&path[shared..]);
    }

    /// Calls `each` with every directory, until it fails.
    pub(super) fn for_each<E>(
        &self,
        mut each: impl FnMut(&[u8], &Metadata) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = Reader::new(&self.encoded);
        let mut path = Vec::new();
        // What was encoded above decodes.
        while let Some(metadata) = next(&mut reader, &mut path) {
            each(&path, &metadata)?;
        }
        Ok(())
    }
}

fn next(reader: &mut Reader<'_>, path: &mut Vec<u8>) -> Option<Metadata> {
    if reader.is_at_end() {
        return None;
    }
    let shared = reader.varint().ok()?;
    path.truncate(usize::try_from(shared).ok()?);
    path.extend_from_slice(reader.bytes(PATH_BYTES_MAX, "path too long").ok()?);
    Metadata::decode(reader).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_out_as_they_were_put_in() {
        let long = vec![b'x'; 5000];
        let paths = [&b"a/b/c"[..], b"a/b", b"a/bc/d", b"a", &long, b"\xff"];
        let mut made = MadeDirectories::default();
        for (number, path) in paths.iter().enumerate() {
            made.push(path, &Metadata { uid: number as u32, ..Metadata::default() });
        }
        let mut back = Vec::new();
        let done: Result<(), ()> = made.for_each(|path, metadata| {
            back.push((path.to_vec(), metadata.uid));
            Ok(())
        });
        assert_eq!(done, Ok(()));
        let expected = paths.iter().zip(0..).map(|(path, uid)| (path.to_vec(), uid));
        assert_eq!(back, expected.collect::<Vec<_>>());
    }
}
