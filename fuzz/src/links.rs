//! Groups of paths that share an inode.

use runup::format::links::{decode, encode};

/// Whether the bytes are such groups; then they are the only ones of them.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(groups) = decode(bytes) else { return false };
    assert!(groups.iter().all(|group| group.len() > 1));
    assert_eq!(encode(groups), bytes, "a second encoding of the same groups");
    true
}
