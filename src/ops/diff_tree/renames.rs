//! Which additions and removals are the same content at another path.
//!
//! Invariant: the pairs depend on the two trees alone; each path is in one pair at most.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::path::split_last;
use crate::format::tree::{Entry, Node};

/// An entry that has no counterpart at its own path.
#[derive(Debug)]
struct Single {
    kind: Kind,
    id: Id,
    /// Its place in the order of paths.
    number: usize,
    path: Vec<u8>,
    entry: Entry,
}

impl Single {
    fn content(&self) -> (Kind, Id) {
        (self.kind, self.id)
    }

    fn name(&self) -> &[u8] {
        split_last(&self.path).1
    }
}

/// Additions and removals, and then the pairs among them.
#[derive(Debug, Default)]
pub(super) struct Renames {
    removed: Vec<Single>,
    added: Vec<Single>,
    /// Where the entry at a new path comes from.
    origins: HashMap<Vec<u8>, (Vec<u8>, Entry)>,
    /// All paths that one comes from.
    old_paths: HashSet<Vec<u8>>,
}

impl Renames {
    /// Notes a change; in the order of paths. What is empty proves nothing, and where directories
    /// are gone into, they follow from what is in them.
    pub(super) fn note(
        &mut self,
        path: &[u8],
        old: Option<&Entry>,
        new: Option<&Entry>,
        is_recursive: bool,
    ) {
        let (side, entry) = match (old, new) {
            (Some(entry), None) => (&mut self.removed, entry),
            (None, Some(entry)) => (&mut self.added, entry),
            _ => return,
        };
        let (kind, id) = match entry.node {
            Node::File { size_bytes: 1.., id } => (Kind::Blob, id),
            Node::Directory { tree } if !is_recursive && tree != object_id(Kind::Tree, b"") => {
                (Kind::Tree, tree)
            }
            _ => return,
        };
        let number = side.len();
        side.push(Single { kind, id, number, path: path.to_vec(), entry: entry.clone() });
    }

    /// Finds the pairs: first those that have the same name, then the rest as they come.
    pub(super) fn pair_off(&mut self) {
        let mut pairs = Vec::new();
        for side in [&mut self.removed, &mut self.added] {
            side.sort_by(|a, b| by_name(a, b).then(a.number.cmp(&b.number)));
        }
        join(&mut self.removed, &mut self.added, by_name, &mut pairs);
        for side in [&mut self.removed, &mut self.added] {
            side.sort_by_key(|single| (single.content(), single.number));
        }
        let by_content = |a: &Single, b: &Single| a.content().cmp(&b.content());
        join(&mut self.removed, &mut self.added, by_content, &mut pairs);
        self.removed.clear();
        self.added.clear();
        for (old, new) in pairs {
            self.old_paths.insert(old.path.clone());
            self.origins.insert(new.path, (old.path, old.entry));
        }
    }

    /// Where the entry that was added at a path comes from.
    pub(super) fn origin(&self, path: &[u8]) -> Option<(&[u8], &Entry)> {
        self.origins.get(path).map(|(path, entry)| (path.as_slice(), entry))
    }

    /// Whether what was removed at a path stands elsewhere now.
    pub(super) fn is_origin(&self, path: &[u8]) -> bool {
        self.old_paths.contains(path)
    }
}

fn by_name(a: &Single, b: &Single) -> Ordering {
    (a.content(), a.name()).cmp(&(b.content(), b.name()))
}

/// Takes pairs of equals out of two sorted lists.
fn join(
    removed: &mut Vec<Single>,
    added: &mut Vec<Single>,
    compare: impl Fn(&Single, &Single) -> Ordering,
    pairs: &mut Vec<(Single, Single)>,
) {
    let mut old = std::mem::take(removed).into_iter().peekable();
    let mut new = std::mem::take(added).into_iter().peekable();
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        match compare(a, b) {
            Ordering::Less => removed.extend(old.next()),
            Ordering::Greater => added.extend(new.next()),
            Ordering::Equal => pairs.extend(old.next().zip(new.next())),
        }
    }
    removed.extend(old);
    added.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::Metadata;

    fn file(path: &str, content: u8) -> (&str, Entry) {
        let name = split_last(path.as_bytes()).1.into();
        let node = Node::File { size_bytes: 1, id: Id::from_bytes([content; 32]) };
        (path, Entry { name, metadata: Metadata::default(), node })
    }

    #[test]
    fn names_go_before_order_and_each_path_is_used_once() {
        let mut renames = Renames::default();
        for (path, entry) in [file("a/x", 1), file("b/y", 1), file("c/z", 1), file("d", 2)] {
            renames.note(path.as_bytes(), Some(&entry), None, true);
        }
        for (path, entry) in [file("m", 1), file("n/z", 1), file("o/z", 1), file("p", 3)] {
            renames.note(path.as_bytes(), None, Some(&entry), true);
        }
        renames.pair_off();
        let origin = |path: &str| {
            let origin = renames.origin(path.as_bytes()).map(|(path, _)| path.to_vec());
            origin.map(|path| String::from_utf8(path).expect("text"))
        };
        assert_eq!(origin("n/z").as_deref(), Some("c/z"));
        assert_eq!(origin("m").as_deref(), Some("a/x"));
        assert_eq!(origin("o/z").as_deref(), Some("b/y"));
        assert_eq!(origin("p"), None);
        assert!(renames.is_origin(b"b/y") && !renames.is_origin(b"d"));
    }
}
