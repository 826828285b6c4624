//! Paths inside trees: bytes, `/` between components, never absolute, never `..`.

use super::limits::NAME_BYTES_MAX;

/// Whether `name` may stand in a tree: not empty, `.` or `..`, without `/` and NUL, at most 255 bytes.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name != b"."
        && name != b".."
        && name.len() <= NAME_BYTES_MAX
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// The components of `path`, or `None` if one of them could not stand in a tree.
///
/// Empty components and `.` are dropped, so `./a//b/` is `a`, `b`; the empty path has none.
pub fn components(path: &[u8]) -> Option<Vec<&[u8]>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(|part| is_name(part).then_some(part)).collect()
}

/// `parent` and `name` with a `/` between them; just `name` at the root.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    path.extend_from_slice(parent);
    if !parent.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The path without its last component, and that component; the root is its own parent.
pub fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// Whether `path` is `ancestor` or below it; everything is below the root.
pub fn is_within(path: &[u8], ancestor: &[u8]) -> bool {
    ancestor.is_empty()
        || path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_components() {
        assert!(is_name(b"a") && is_name(&[0xff, b' ']) && is_name(&[b'x'; 255]));
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0", &[b'x'; 256]] {
            assert!(!is_name(bad));
        }
        assert_eq!(components(b"./a//b/"), Some(vec![&b"a"[..], b"b"]));
        assert_eq!(components(b""), Some(vec![]));
        assert_eq!(components(b"a/../b"), None);
    }

    #[test]
    fn containment_is_by_component() {
        assert!(is_within(b"a/b", b"a") && is_within(b"a", b"a") && is_within(b"x", b""));
        assert!(!is_within(b"ab", b"a") && !is_within(b"a", b"a/b"));
        assert_eq!(split_last(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split_last(b"c"), (&b""[..], &b"c"[..]));
    }
}
