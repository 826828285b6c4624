//! A tree made path by path, in any order, as tar extracts: later entries replace earlier ones, and
//! links copy what stands at their target then.
//!
//! Invariant: only the end makes objects; until then entries can come, go and be replaced. Memory
//! is that of the names and the encoded metadata.

use std::collections::BTreeMap;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::{is_name, join};
use crate::format::codec::put_bytes;
use crate::format::links;
use crate::format::snapshot::Counts;
use crate::format::tree::{self, Entry, Metadata, Node};
use crate::store::{ObjectSink, WriteError, put_any};

/// The mode of a directory that nothing but the paths below it tells of. Its owner and group are 0,
/// and so is its time.
pub(super) const IMPLIED_DIRECTORY_MODE: u16 = 0o755;

const ROOT: usize = 0;

/// Why an entry cannot be put where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum BuildError {
    /// A name is empty, `.`, `..`, over 255 bytes, or has a `/` or NUL in it.
    #[error("a name that cannot stand in a tree")]
    Name,
    /// The path has more than 4,096 components.
    #[error("over 4096 levels deep")]
    TooDeep,
    /// The path is inside a tree that was put as a whole.
    #[error("inside a tree that was put as a whole")]
    Whole,
    /// There is no such entry, or it is a directory.
    #[error("there is nothing that a link can be made to")]
    NoTarget,
}

/// What became of a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BuiltTree {
    /// The tree of the root directory.
    pub(super) tree: Id,
    /// The metadata of the root directory, if it was told.
    pub(super) root: Option<Metadata>,
    /// Figures of the tree; of trees that were put as a whole, only their directory.
    pub(super) counts: Counts,
    /// The groups of paths that share an inode.
    pub(super) links: links::Groups,
}

/// A tree that is being made.
#[derive(Debug)]
pub(super) struct TreeBuilder {
    /// The root first, each directory before what is in it. One that was removed stays empty.
    directories: Vec<Directory>,
    groups: u32,
}

#[derive(Debug, Default)]
struct Directory {
    /// `None` until it is told.
    metadata: Option<Metadata>,
    entries: BTreeMap<Box<[u8]>, Slot>,
}

/// What stands under a name.
#[derive(Debug)]
enum Slot {
    /// A directory, by its place among them.
    Directory(usize),
    /// Anything else.
    Leaf(Leaf),
}

/// An encoded entry without its name.
#[derive(Debug, Clone)]
struct Leaf {
    encoded: Box<[u8]>,
    /// The number of the inode that it shares with other names; 0 if it shares none.
    group: u32,
    is_tree: bool,
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeBuilder {
    /// Starts with an empty root directory.
    pub(super) fn new() -> Self {
        Self { directories: vec![Directory::default()], groups: 0 }
    }

    /// Puts a directory, or gives one that is there this metadata. The empty path is the root.
    ///
    /// # Errors
    ///
    /// The path cannot stand in the tree.
    pub(super) fn insert_directory(
        &mut self,
        path: &[&[u8]],
        metadata: Metadata,
    ) -> Result<(), BuildError> {
        // What is in a directory lies one level deeper.
        if path.len() >= DEPTH_MAX {
            return Err(BuildError::TooDeep);
        }
        let at = self.open(path)?;
        if let Some(directory) = self.directories.get_mut(at) {
            directory.metadata = Some(metadata);
        }
        Ok(())
    }

    /// Puts anything but a directory, or a directory whose tree is known. Whatever stood there is
    /// replaced, with all below it; directories above it that are not there are made, in place of
    /// what is no directory.
    ///
    /// # Errors
    ///
    /// The path is empty or cannot stand in the tree.
    pub(super) fn insert(
        &mut self,
        path: &[&[u8]],
        metadata: Metadata,
        node: Node,
    ) -> Result<(), BuildError> {
        let is_tree = matches!(node, Node::Directory { .. });
        let leaf = Leaf { encoded: encoded(metadata, node), group: 0, is_tree };
        self.put(path, leaf)
    }

    /// Puts another name of an entry that is there.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoTarget`] if it is not there, or a directory; as [`TreeBuilder::insert`].
    pub(super) fn link(&mut self, path: &[&[u8]], target: &[&[u8]]) -> Result<(), BuildError> {
        let next_group = self.groups.saturating_add(1);
        let leaf = self.leaf_mut(target).ok_or(BuildError::NoTarget)?;
        if path == target {
            return Ok(());
        }
        let is_new = leaf.group == 0;
        if is_new {
            leaf.group = next_group;
        }
        let leaf = leaf.clone();
        if is_new {
            self.groups = next_group;
        }
        self.put(path, leaf)
    }

    /// Ends the tree: encodes every directory from below, and hands it to the sink.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub(super) fn finish<S: ObjectSink + ?Sized>(
        mut self,
        sink: &mut S,
    ) -> Result<BuiltTree, WriteError> {
        let (order, links) = self.order();
        let mut counts = Counts::default();
        let mut trees = vec![None; self.directories.len()];
        for at in order.into_iter().rev() {
            let Some(directory) = self.directories.get_mut(at) else { continue };
            let entries = std::mem::take(&mut directory.entries);
            let mut bytes = Vec::new();
            for (name, slot) in entries {
                match slot {
                    Slot::Leaf(leaf) => {
                        put_bytes(&mut bytes, &name);
                        bytes.extend_from_slice(&leaf.encoded);
                    }
                    Slot::Directory(below) => {
                        let told = self.directories.get_mut(below).and_then(|d| d.metadata.take());
                        let metadata = told.unwrap_or_else(implied);
                        let tree = trees.get(below).copied().flatten();
                        let node = Node::Directory { tree: tree.ok_or(WriteError::Stopped)? };
                        Entry { name, metadata, node }.encode(&mut bytes);
                    }
                }
            }
            count(&bytes, &mut counts);
            if let Some(tree) = trees.get_mut(at) {
                *tree = Some(put_any(sink, Kind::Tree, &bytes)?);
            }
        }
        let tree = trees.first().copied().flatten().ok_or(WriteError::Stopped)?;
        let root = self.directories.get_mut(ROOT).and_then(|root| root.metadata.take());
        Ok(BuiltTree { tree, root, counts, links })
    }

    /// The directories that are in the tree, each before those in it; and the groups of links.
    fn order(&self) -> (Vec<usize>, links::Groups) {
        let mut order = Vec::new();
        let mut groups = BTreeMap::<u32, Vec<Box<[u8]>>>::new();
        let mut waiting = vec![(ROOT, Vec::new())];
        while let Some((at, path)) = waiting.pop() {
            order.push(at);
            let Some(directory) = self.directories.get(at) else { continue };
            for (name, slot) in &directory.entries {
                match slot {
                    Slot::Directory(below) => waiting.push((*below, join(&path, name))),
                    Slot::Leaf(Leaf { group: 0, .. }) => {}
                    Slot::Leaf(Leaf { group, .. }) => {
                        groups.entry(*group).or_default().push(join(&path, name).into());
                    }
                }
            }
        }
        (order, groups.into_values().filter(|paths| paths.len() > 1).collect())
    }

    fn put(&mut self, path: &[&[u8]], leaf: Leaf) -> Result<(), BuildError> {
        let (name, above) = path.split_last().ok_or(BuildError::Name)?;
        if path.len() > DEPTH_MAX {
            return Err(BuildError::TooDeep);
        }
        if !is_name(name) {
            return Err(BuildError::Name);
        }
        let at = self.open(above)?;
        let replaced = self
            .directories
            .get_mut(at)
            .and_then(|directory| directory.entries.insert((*name).into(), Slot::Leaf(leaf)));
        self.empty(replaced);
        Ok(())
    }

    /// The directory at a path, which is made if need be.
    fn open(&mut self, path: &[&[u8]]) -> Result<usize, BuildError> {
        if !path.iter().all(|name| is_name(name)) {
            return Err(BuildError::Name);
        }
        let mut at = ROOT;
        for name in path {
            let next = self.directories.len();
            let Some(directory) = self.directories.get_mut(at) else {
                return Err(BuildError::Name);
            };
            at = match directory.entries.get(*name) {
                Some(Slot::Directory(below)) => *below,
                Some(Slot::Leaf(leaf)) if leaf.is_tree => return Err(BuildError::Whole),
                _ => {
                    directory.entries.insert((*name).into(), Slot::Directory(next));
                    self.directories.push(Directory::default());
                    next
                }
            };
        }
        Ok(at)
    }

    /// The directory at a path, if there is one.
    fn find(&self, path: &[&[u8]]) -> Option<usize> {
        path.iter().try_fold(ROOT, |at, name| {
            match self.directories.get(at)?.entries.get(*name)? {
                Slot::Directory(below) => Some(*below),
                Slot::Leaf(_) => None,
            }
        })
    }

    fn leaf_mut(&mut self, path: &[&[u8]]) -> Option<&mut Leaf> {
        let (name, above) = path.split_last()?;
        let at = self.find(above)?;
        match self.directories.get_mut(at)?.entries.get_mut(*name)? {
            Slot::Leaf(leaf) if !leaf.is_tree => Some(leaf),
            _ => None,
        }
    }

    /// Frees what was below an entry that is gone.
    fn empty(&mut self, removed: Option<Slot>) {
        let mut waiting: Vec<Slot> = removed.into_iter().collect();
        while let Some(slot) = waiting.pop() {
            let Slot::Directory(at) = slot else { continue };
            if let Some(directory) = self.directories.get_mut(at) {
                waiting.extend(std::mem::take(directory).entries.into_values());
            }
        }
    }
}

fn implied() -> Metadata {
    Metadata { mode: IMPLIED_DIRECTORY_MODE, ..Metadata::default() }
}

fn encoded(metadata: Metadata, node: Node) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(64);
    Entry { name: Box::default(), metadata, node }.encode(&mut bytes);
    // An empty name is the one byte of its length.
    bytes.split_off(1).into()
}

fn count(tree: &[u8], counts: &mut Counts) {
    tree::entries(tree).flatten().for_each(|entry| counts.add(&entry.node));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::object_id;
    use crate::store::HashOnly;

    fn file(size_bytes: u64) -> Node {
        Node::File { size_bytes, id: Id::from_bytes([7; 32]) }
    }

    fn entry(name: &[u8], mode: u16, node: Node) -> Entry {
        Entry { name: name.into(), metadata: Metadata { mode, ..Metadata::default() }, node }
    }

    fn tree_of(entries: &[Entry]) -> Id {
        object_id(Kind::Tree, &tree::encode(entries))
    }

    #[test]
    fn any_order_of_paths_makes_the_same_tree() {
        let paths: [&[&[u8]]; 5] =
            [&[b"b", b"x"], &[b"a"], &[b"b", b"c", b"d"], &[b"b-"], &[b"b", b"c2"]];
        let inner = tree_of(&[entry(b"d", 0, file(3))]);
        let middle = tree_of(&[
            entry(b"c", 0o755, Node::Directory { tree: inner }),
            entry(b"c2", 0, file(3)),
            entry(b"x", 0, file(3)),
        ]);
        let expected = tree_of(&[
            entry(b"a", 0, file(3)),
            entry(b"b", 0o700, Node::Directory { tree: middle }),
            entry(b"b-", 0, file(3)),
        ]);
        for turn in 0..paths.len() {
            let mut builder = TreeBuilder::new();
            for number in 0..paths.len() {
                let path = paths[(number + turn) % paths.len()];
                builder.insert(path, Metadata::default(), file(3)).unwrap();
            }
            let private = Metadata { mode: 0o700, ..Metadata::default() };
            builder.insert_directory(&[b"b"], private).unwrap();
            let built = builder.finish(&mut HashOnly).unwrap();
            assert_eq!((built.tree, built.root), (expected, None));
            let counts = Counts { files: 5, directories: 2, size_bytes: 15, ..Counts::default() };
            assert_eq!(built.counts, counts);
        }
    }

    #[test]
    fn later_entries_replace_earlier_ones_and_all_below() {
        let mut builder = TreeBuilder::new();
        let insert = |builder: &mut TreeBuilder, path: &[&[u8]], size| {
            builder.insert(path, Metadata::default(), file(size)).unwrap();
        };
        insert(&mut builder, &[b"a", b"b", b"c"], 1);
        insert(&mut builder, &[b"a"], 2);
        insert(&mut builder, &[b"x"], 3);
        insert(&mut builder, &[b"x", b"y"], 4);
        let below = tree_of(&[entry(b"y", 0, file(4))]);
        let expected =
            [entry(b"a", 0, file(2)), entry(b"x", 0o755, Node::Directory { tree: below })];
        assert_eq!(builder.finish(&mut HashOnly).unwrap().tree, tree_of(&expected));
    }

    #[test]
    fn links_are_groups_of_the_names_that_are_left() {
        let mut builder = TreeBuilder::new();
        for name in [&b"a"[..], b"other", b"alone"] {
            builder.insert(&[name], Metadata::default(), file(1)).unwrap();
        }
        builder.link(&[b"d", b"b"], &[b"a"]).unwrap();
        builder.link(&[b"c"], &[b"d", b"b"]).unwrap();
        builder.link(&[b"gone"], &[b"alone"]).unwrap();
        builder.link(&[b"a"], &[b"a"]).unwrap();
        builder.insert(&[b"gone"], Metadata::default(), file(1)).unwrap();
        builder.insert(&[b"a"], Metadata::default(), file(9)).unwrap();
        assert_eq!(builder.link(&[b"e"], &[b"d"]), Err(BuildError::NoTarget));
        assert_eq!(builder.link(&[b"e"], &[b"nothing"]), Err(BuildError::NoTarget));
        let built = builder.finish(&mut HashOnly).unwrap();
        assert_eq!(built.links, vec![vec![b"c"[..].into(), b"d/b"[..].into()]]);
        assert_eq!(built.counts.files, 6);
    }

    #[test]
    fn what_cannot_stand_in_a_tree_is_refused() {
        let mut builder = TreeBuilder::new();
        let mut insert = |path: &[&[u8]], node| builder.insert(path, Metadata::default(), node);
        assert_eq!(insert(&[], file(1)), Err(BuildError::Name));
        assert_eq!(insert(&[b"a", b".."], file(1)), Err(BuildError::Name));
        assert_eq!(insert(&[b"a/b", b"c"], file(1)), Err(BuildError::Name));
        let deep = vec![&b"d"[..]; DEPTH_MAX];
        assert_eq!(insert(&deep, file(1)), Ok(()));
        assert_eq!(insert(&[&deep[..], &[b"e"]].concat(), file(1)), Err(BuildError::TooDeep));
        assert_eq!(insert(&[b"t"], Node::Directory { tree: Id::from_bytes([1; 32]) }), Ok(()));
        assert_eq!(insert(&[b"t", b"x"], file(1)), Err(BuildError::Whole));
        assert_eq!(builder.insert_directory(&deep, Metadata::default()), Err(BuildError::TooDeep));
        assert!(builder.finish(&mut HashOnly).is_ok());
    }
}
