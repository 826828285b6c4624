//! Links: the groups of paths of a snapshot that share an inode.
//!
//! Invariant: groups are sorted by first path, paths inside a group too, and no path stands twice.
//! Format: runup-repository(5), LINKS.

use std::collections::BTreeSet;

use super::codec::{DecodeError, Reader, put_bytes, put_length};
use crate::base::limits::DEPTH_MAX;

/// Most bytes of a path in a group (`PATH_MAX` is no bound of trees).
const PATH_BYTES_MAX: usize = 1 << 20;

/// Groups of at least two paths each, relative to the root of the snapshot's tree.
pub type Groups = Vec<Vec<Box<[u8]>>>;

/// Encodes groups, bringing them into their one order.
pub fn encode(mut groups: Groups) -> Vec<u8> {
    for group in &mut groups {
        group.sort();
    }
    groups.sort();
    let mut out = Vec::new();
    for group in &groups {
        put_length(&mut out, group.len());
        for path in group {
            put_bytes(&mut out, path);
        }
    }
    out
}

/// Decodes groups.
///
/// # Errors
///
/// The bytes are not the one encoding of groups of at least two different paths.
pub fn decode(bytes: &[u8]) -> Result<Groups, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut groups = Groups::new();
    let mut seen = BTreeSet::new();
    if reader.is_at_end() {
        return Err(reader.error("no group of links"));
    }
    while !reader.is_at_end() {
        let at = reader.error("group of links that is not canonical");
        let count = reader.count(2)?;
        let mut group: Vec<Box<[u8]>> = Vec::with_capacity(count);
        for _ in 0..count {
            let path: Box<[u8]> = reader.bytes(PATH_BYTES_MAX, "path too long")?.into();
            let parts = crate::base::path::components(&path)
                .filter(|parts| !parts.is_empty() && parts.len() <= DEPTH_MAX);
            let clean = parts.map(|parts| parts.join(&b'/'));
            let in_order = group.last().is_none_or(|last| *last < path);
            if clean.as_deref() != Some(&path[..]) || !in_order || !seen.insert(path.clone()) {
                return Err(at);
            }
            group.push(path);
        }
        if count < 2 || groups.last().is_some_and(|last| *last >= group) {
            return Err(at);
        }
        groups.push(group);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_round_trip_in_one_order() {
        let path = |text: &str| text.as_bytes().into();
        let groups = vec![vec![path("z"), path("m/n")], vec![path("b"), path("a"), path("c")]];
        let bytes = encode(groups.clone());
        assert_eq!(bytes, encode(groups.into_iter().rev().collect()));
        let decoded = decode(&bytes).expect("canonical");
        assert_eq!(decoded[0], vec![path("a"), path("b"), path("c")]);
    }

    #[test]
    fn hostile_groups_are_refused() {
        let group = |paths: &[&str]| paths.iter().map(|p| p.as_bytes().into()).collect::<Vec<_>>();
        for bad in [&["a"][..], &["a", "a"], &["../x", "a"], &["/etc", "a"], &["a", "a//b"]] {
            assert!(decode(&encode(vec![group(bad)])).is_err(), "{bad:?}");
        }
        assert!(decode(&encode(vec![group(&["a", "b"]), group(&["b", "c"])])).is_err());
        let deep = "a/".repeat(DEPTH_MAX) + "a";
        assert!(decode(&encode(vec![group(&["a", &deep])])).is_err());
        for bad in [&[0xff; 20][..], &[], &[2, 0, 2, b'a', b'b']] {
            assert!(decode(bad).is_err());
        }
    }
}
