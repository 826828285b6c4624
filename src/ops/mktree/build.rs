//! Edits become trees, from the leaves up.
//!
//! Invariant: a directory in which nothing is named is taken by its id, and not even read.

use std::collections::{BTreeMap, HashSet};

use super::edits::{Change, Content, Directory, Edits, PartialMetadata, encode};
use super::{MktreeError, shown};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::path::join;
use crate::base::time::FileTime;
use crate::format::links::Groups;
use crate::format::snapshot::Counts;
use crate::format::tree::{self, Entry, Metadata, Node};
use crate::ops::closure::References;
use crate::store::{Found, ObjectSink, ReadError, Store, put_any};

/// A tree may be 4,096 levels deep, and is built by calls.
const STACK_BYTES: usize = 256 << 20;

/// What entries get of which nothing is said and where nothing stood before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Defaults {
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: FileTime,
}

impl Defaults {
    /// The metadata of an entry of this type.
    pub fn metadata(&self, word: &str) -> Metadata {
        let mode = match word {
            "dir" => 0o755,
            "symlink" => 0o777,
            _ => 0o644,
        };
        let Self { uid, gid, mtime } = *self;
        Metadata { mode, uid, gid, mtime, xattrs: Vec::new() }
    }
}

/// A tree that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The tree.
    pub tree: Id,
    /// Its figures; `None` if a part of it was taken by its id.
    pub counts: Option<Counts>,
    /// What it was found to refer to outside of itself.
    pub relied_on: References,
}

/// Makes the tree that `edits` say, on top of `base` where there is one.
///
/// Trees go to `sink`. What they refer to is looked for in `store`; without one nothing is looked
/// for, and kinds and sizes must have been said.
///
/// # Errors
///
/// What an entry refers to is not stored or not what it should be; trees cannot be read or stored.
pub fn build<S: ObjectSink>(
    edits: Edits,
    base: Option<Id>,
    defaults: Defaults,
    store: Option<&Store>,
    sink: &mut S,
) -> Result<Built, MktreeError> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    std::thread::scope(|scope| {
        let work = move || {
            let mut builder = Builder {
                store,
                sink,
                defaults,
                counts: Counts::default(),
                is_counted: true,
                relied_on: References::new(),
            };
            let tree = builder.directory(edits.root, base, b"", false)?;
            let counts = builder.is_counted.then_some(builder.counts);
            Ok(Built { tree, counts, relied_on: builder.relied_on })
        };
        match thread.spawn_scoped(scope, work).map_err(MktreeError::Thread)?.join() {
            Ok(built) => built,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Builder<'b, S> {
    store: Option<&'b Store>,
    sink: &'b mut S,
    defaults: Defaults,
    counts: Counts,
    is_counted: bool,
    relied_on: References,
}

impl<S: ObjectSink> Builder<'_, S> {
    /// Makes a directory of what is named in it, and of what stood there and is not.
    fn directory(
        &mut self,
        edits: Directory,
        standing: Option<Id>,
        path: &[u8],
        is_put: bool,
    ) -> Result<Id, MktreeError> {
        let base = edits.tree.or(standing);
        // Removals come before all that is put, trees as a whole too.
        let is_put = is_put || edits.tree.is_some();
        if let (true, Some(tree)) = (edits.changes.is_empty(), base) {
            self.rely_on(path, tree, Kind::Tree, "a directory")?;
            self.is_counted = false;
            return Ok(tree);
        }
        let mut standing = base.map_or(Ok(Vec::new()), |tree| self.load(path, tree))?.into_iter();
        let mut next = standing.next();
        let mut bytes = Vec::new();
        for (name, change) in edits.changes {
            while let Some(entry) = next.take_if(|entry| entry.name < name) {
                self.keep(&entry, &mut bytes);
                next = standing.next();
            }
            let replaced = next.take_if(|entry| entry.name == name);
            if replaced.is_some() {
                next = standing.next();
            }
            let path = join(path, &name);
            if is_put && change.only_removes() {
                if let Some(entry) = &replaced {
                    self.keep(entry, &mut bytes);
                }
                continue;
            }
            if let Some(entry) = self.changed(&path, &name, change, replaced.as_ref(), is_put)? {
                bytes.extend_from_slice(&entry);
            }
        }
        for entry in next.into_iter().chain(standing) {
            self.keep(&entry, &mut bytes);
        }
        Ok(put_any(self.sink, Kind::Tree, &bytes)?)
    }

    fn keep(&mut self, entry: &Entry, bytes: &mut Vec<u8>) {
        self.counts.add(&entry.node);
        self.is_counted &= !entry.is_directory();
        entry.encode(bytes);
    }

    /// The encoded entry that a change leads to; `None` for a removal.
    fn changed(
        &mut self,
        path: &[u8],
        name: &[u8],
        change: Change,
        replaced: Option<&Entry>,
        is_put: bool,
    ) -> Result<Option<Vec<u8>>, MktreeError> {
        let is_fresh = matches!(&change, Change::Directory(directory) if directory.is_fresh);
        let replaced = replaced.filter(|_| !is_fresh);
        let (partial, node) = match change {
            Change::Removal => return Ok(None),
            Change::Entry(bytes) => {
                let entry = Entry::decode(&mut crate::format::codec::Reader::new(&bytes));
                let entry = entry.map_err(|error| invalid(path, error.what))?;
                if let Node::File { id, size_bytes } = entry.node {
                    self.find_file(path, id, Some(size_bytes))?;
                }
                self.check_xattrs(path, &entry.metadata)?;
                self.counts.add(&entry.node);
                return Ok(Some(bytes.into()));
            }
            Change::Partial(partial) => {
                let (metadata, content) = *partial;
                (metadata, self.node(path, content)?)
            }
            Change::Directory(directory) => {
                let standing = replaced.and_then(|entry| match entry.node {
                    Node::Directory { tree } => Some(tree),
                    _ => None,
                });
                if !directory.is_wanted && standing.is_none() {
                    // Nothing is there to be removed from.
                    let kept = replaced.map(|entry| {
                        let mut bytes = Vec::new();
                        self.keep(entry, &mut bytes);
                        bytes
                    });
                    return Ok(kept);
                }
                if !directory.is_named && replaced.is_some_and(|entry| !entry.is_directory()) {
                    return Err(MktreeError::NotADirectory { path: shown(path) });
                }
                let partial = directory.metadata.clone();
                let tree = self.directory(*directory, standing, path, is_put)?;
                (partial, Node::Directory { tree })
            }
        };
        let metadata = self.metadata(&partial, &node, replaced);
        self.check_xattrs(path, &metadata)?;
        self.counts.add(&node);
        encode(path, Entry { name: name.into(), metadata, node }).map(Some)
    }

    /// What is said, over what stood there if that was of the same type, over the defaults.
    fn metadata(
        &self,
        partial: &PartialMetadata,
        node: &Node,
        replaced: Option<&Entry>,
    ) -> Metadata {
        let standing = replaced.filter(|entry| entry.node.word() == node.word());
        let Some(standing) = standing else {
            return partial.over(&self.defaults.metadata(node.word()));
        };
        // What becomes of a directory is seen in its entries; another content is as new.
        let is_as_it_was = standing.is_directory() || standing.node == *node;
        let mtime = if is_as_it_was { standing.metadata.mtime } else { self.defaults.mtime };
        partial.over(&Metadata { mtime, ..standing.metadata.clone() })
    }

    fn check_xattrs(&mut self, path: &[u8], metadata: &Metadata) -> Result<(), MktreeError> {
        for xattr in &metadata.xattrs {
            if let tree::XattrValue::Blob { id, size_bytes } = xattr.value {
                self.find_file(path, id, Some(size_bytes))?;
            }
        }
        Ok(())
    }

    fn node(&mut self, path: &[u8], content: Content) -> Result<Node, MktreeError> {
        let (id, said, is_file) = match content {
            Content::Special(node) => return Ok(node),
            Content::Directory { tree: None } => return Err(invalid(path, "no directory")),
            Content::Directory { tree: Some(id) } | Content::Object(id) => (id, None, false),
            Content::File { id, size_bytes } => (id, size_bytes, true),
        };
        if self.store.is_none() && said.is_none() {
            let what = "its `type` and `size_bytes` must be said where nothing is looked for";
            return Err(invalid(path, what));
        }
        if !is_file && self.find(path, id)?.is_some_and(|found| found.kind == Kind::Tree) {
            self.is_counted = false;
            self.rely_on(path, id, Kind::Tree, "a directory")?;
            return Ok(Node::Directory { tree: id });
        }
        Ok(Node::File { size_bytes: self.find_file(path, id, said)?, id })
    }

    /// Finds the blob of a file; its bytes, which are those that were said, if any were.
    fn find_file(&mut self, path: &[u8], id: Id, said: Option<u64>) -> Result<u64, MktreeError> {
        let Some(found) = self.rely_on(path, id, Kind::Blob, "a file")? else {
            return Ok(said.unwrap_or_default());
        };
        let Some(store) = self.store else { return Ok(said.unwrap_or_default()) };
        let size_bytes = store.size_bytes(&id, &found)?;
        match said {
            Some(said) if said != size_bytes => {
                Err(invalid(path, &format!("size_bytes is {said}, but {id} has {size_bytes}")))
            }
            _ => Ok(size_bytes),
        }
    }

    fn find(&self, path: &[u8], id: Id) -> Result<Option<Found>, MktreeError> {
        let Some(store) = self.store else { return Ok(None) };
        let found = if store.is_present(&id)? { store.find(&id)? } else { None };
        found.map(Some).ok_or_else(|| MktreeError::Absent { path: shown(path), id })
    }

    fn rely_on(
        &mut self,
        path: &[u8],
        id: Id,
        kind: Kind,
        wanted: &'static str,
    ) -> Result<Option<Found>, MktreeError> {
        let found = self.find(path, id)?;
        if let Some(found) = found.as_ref().filter(|found| found.kind != kind) {
            let found = found.kind;
            return Err(MktreeError::WrongKind { path: shown(path), id, found, wanted });
        }
        if self.store.is_some_and(Store::has_condemned) {
            self.relied_on.push((id, kind));
        }
        Ok(found)
    }

    fn load(&mut self, path: &[u8], id: Id) -> Result<Vec<Entry>, MktreeError> {
        let Some(store) = self.store else {
            return Err(invalid(path, "a tree to begin from needs a repository"));
        };
        self.rely_on(path, id, Kind::Tree, "a directory")?;
        let bytes = store.read(&id, Kind::Tree)?;
        let entries: Result<Vec<_>, _> = tree::entries(&bytes).collect();
        entries.map_err(|source| {
            let file = "the repository".to_owned();
            ReadError::Damaged { id, kind: Kind::Tree, file, source }.into()
        })
    }
}

fn invalid(path: &[u8], what: &str) -> MktreeError {
    MktreeError::Invalid { path: shown(path), what: what.to_owned() }
}

/// Paths that share an inode.
type Group = Vec<Box<[u8]>>;

/// Which paths of a tree share an inode.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// Paths by the name of their group and the object that they hold.
    noted: BTreeMap<(String, Option<Id>), Group>,
}

impl Links {
    /// Notes that a path belongs to a group. Paths of one group that hold different objects are not
    /// of one inode, whatever the group is called.
    pub fn add(&mut self, group: String, object: Option<Id>, path: &[u8]) {
        self.noted.entry((group, object)).or_default().push(path.into());
    }

    /// The groups of a changed tree: those noted, and those of the base and of trees that were put
    /// as a whole, as far as they still stand.
    pub fn groups(self, edits: &Edits, mut base: Groups, mut put: Groups) -> Groups {
        base.iter_mut().for_each(|paths| paths.retain(|path| !edits.touches(path)));
        put.iter_mut().for_each(|paths| paths.retain(|path| !edits.names(path)));
        let mut seen = HashSet::new();
        let groups = self.noted.into_values().chain(base).chain(put).map(|mut paths| {
            paths.retain(|path| seen.insert(path.clone()));
            paths
        });
        groups.filter(|paths| paths.len() > 1).collect()
    }
}
