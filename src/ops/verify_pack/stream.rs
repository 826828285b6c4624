//! The hash of a file, read once from front to back.
//!
//! Invariant: at most one buffer of 1 MiB.

use crate::backend::{BackendError, RandomRead};

const BUFFER_BYTES: usize = 1 << 20;

/// The BLAKE3 hash of all bytes of a file.
pub(in crate::ops) fn hash_file(file: &dyn RandomRead) -> Result<[u8; 32], BackendError> {
    let mut hasher = blake3::Hasher::new();
    let length = usize::try_from(file.length_bytes()).unwrap_or(BUFFER_BYTES);
    let mut buffer = vec![0; length.min(BUFFER_BYTES)];
    let mut position = 0;
    while position < file.length_bytes() {
        let length = usize::try_from(file.length_bytes() - position).unwrap_or(BUFFER_BYTES);
        let part = buffer.get_mut(..length.min(BUFFER_BYTES)).unwrap_or_default();
        file.read_exact_at(part, position)?;
        hasher.update(part);
        position += part.len() as u64;
    }
    Ok(*hasher.finalize().as_bytes())
}
