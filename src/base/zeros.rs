//! Zero bytes, for what is a hole.
//!
//! Invariant: they take no place in a program's file, and none in memory until they are needed.

use std::sync::OnceLock;

use super::limits::PIECE_BYTES;

/// [`PIECE_BYTES`] zero bytes.
pub fn zeros() -> &'static [u8] {
    static ZEROS: OnceLock<Vec<u8>> = OnceLock::new();
    ZEROS.get_or_init(|| vec![0; PIECE_BYTES])
}
