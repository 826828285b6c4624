//! Files as bytes in memory. The one module with unsafe code.
//!
//! Invariant: only files that never change are mapped: no part of RunUp truncates or rewrites one.

use std::ops::Deref;

/// The bytes of a file, loaded by the system as they are touched.
#[derive(Debug)]
pub struct Mapped(Source);

#[derive(Debug)]
enum Source {
    File(memmap2::Mmap),
    Memory(Vec<u8>),
}

impl Mapped {
    /// Maps a file that nothing changes.
    ///
    /// # Errors
    ///
    /// What `mmap` reports.
    #[expect(unsafe_code, reason = "mapping a file is unsafe where others may truncate it")]
    pub fn file(file: &std::fs::File) -> std::io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self(Source::Memory(Vec::new())));
        }
        // SAFETY: files of a repository are written under another name and never changed after, so
        // the mapping stays valid unless something outside RunUp truncates the file.
        let map = unsafe { memmap2::Mmap::map(file)? };
        // Look-ups jump about; read-ahead would load megabytes for a few lines.
        map.advise(memmap2::Advice::Random)?;
        Ok(Self(Source::File(map)))
    }

    /// Bytes that are in memory anyway.
    pub fn memory(bytes: Vec<u8>) -> Self {
        Self(Source::Memory(bytes))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::File(map) => map,
            Source::Memory(bytes) => bytes,
        }
    }
}
