//! Snapshots.

use runup::format::snapshot::Snapshot;

use super::sealed::canonical;

/// Whether the bytes are a snapshot, or would be with their JSON in its one form.
pub fn check(bytes: &[u8]) -> bool {
    let is_taken = is_snapshot(bytes);
    match canonical(bytes) {
        Some(json) if json != bytes => is_snapshot(&json) || is_taken,
        _ => is_taken,
    }
}

fn is_snapshot(bytes: &[u8]) -> bool {
    let Ok(snapshot) = Snapshot::decode(bytes) else { return false };
    assert_eq!(snapshot.encode(), bytes, "a second encoding of one snapshot");
    let root = &snapshot.root;
    // Decoded once, these are used without a second look.
    let texts = root.includes.iter().chain(&root.excludes).chain([&root.context]);
    let paths = texts.chain(root.skipped.iter().map(|skipped| &skipped.path));
    assert!(paths.into_iter().all(|text| text.bytes().is_some()));
    assert!(root.root.as_ref().is_none_or(|metadata| metadata.decode().is_some()));
    true
}
