//! Trees.

use runup::format::tree::{encode, entries, validate};

/// Whether the bytes are a tree; then they are the only ones of its entries.
pub fn check(bytes: &[u8]) -> bool {
    let decoded: Result<Vec<_>, _> = entries(bytes).collect();
    let valid = validate(bytes);
    assert_eq!(valid.as_ref().err(), decoded.as_ref().err(), "read whole and one by one");
    let Ok(entries) = decoded else { return false };
    assert_eq!(valid, Ok(entries.len()));
    assert_eq!(encode(&entries), bytes, "a second encoding of one tree");
    entries.iter().for_each(|entry| {
        let _words = (entry.is_directory(), entry.node.word(), entry.metadata.mtime.to_string());
    });
    true
}
