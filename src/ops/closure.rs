//! Everything that an object refers to, directly or not.
//!
//! Invariant: each object is met once, however often it is referred to.

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::join;
use crate::format::codec::DecodeError;
use crate::format::delta::Base;
use crate::format::index::Place;
use crate::format::list::{List, Section, Segment};
use crate::format::snapshot::{RootRecord, RootXattr, Snapshot};
use crate::format::tree::{self, Entry, Node, XattrValue};
use crate::store::{Found, ObjectSet, ReadError, Store, Stored};

/// Ids and kinds of objects.
pub type References = Vec<(Id, Kind)>;

/// What a tree entry refers to.
pub fn of_entry(entry: &Entry) -> impl Iterator<Item = (Id, Kind)> {
    let blob = |xattr: &tree::Xattr| match xattr.value {
        XattrValue::Blob { id, .. } => Some((id, Kind::Blob)),
        XattrValue::Inline(_) => None,
    };
    let content = match &entry.node {
        Node::Directory { tree } => Some((*tree, Kind::Tree)),
        Node::File { id, .. } => Some((*id, Kind::Blob)),
        _ => None,
    };
    entry.metadata.xattrs.iter().filter_map(blob).chain(content)
}

/// What a snapshot's root refers to.
pub fn of_root(root: &RootRecord) -> References {
    let mut references = vec![(root.tree, Kind::Tree)];
    references.extend(root.links.map(|links| (links, Kind::Links)));
    let xattrs = root.root.iter().flat_map(|metadata| &metadata.xattrs);
    references.extend(xattrs.filter_map(|xattr: &RootXattr| xattr.blob.map(|id| (id, Kind::Blob))));
    references
}

/// What a snapshot refers to; its parent is only mentioned.
///
/// # Errors
///
/// The snapshot is missing or damaged.
pub fn of_snapshot(store: &Store, id: &Id) -> Result<References, ReadError> {
    let bytes = store.read(id, Kind::Snapshot)?;
    let snapshot = Snapshot::decode(&bytes);
    Ok(of_root(&snapshot.map_err(|source| damaged(id, Kind::Snapshot, source))?.root))
}

/// What a tree refers to.
///
/// # Errors
///
/// The tree is missing or damaged.
pub fn of_tree(store: &Store, id: &Id) -> Result<References, ReadError> {
    let bytes = store.read(id, Kind::Tree)?;
    let mut references = References::new();
    for entry in tree::entries(&bytes) {
        references.extend(of_entry(&entry.map_err(|source| damaged(id, Kind::Tree, source))?));
    }
    Ok(references)
}

fn damaged(id: &Id, kind: Kind, source: DecodeError) -> ReadError {
    ReadError::Damaged { id: *id, kind, file: "the repository".into(), source }
}

/// What the list of a long object refers to: its pages and chunks.
///
/// # Errors
///
/// A page is missing or damaged.
pub fn of_list(store: &Store, kind: Kind, list: &List) -> Result<References, ReadError> {
    let mut references = References::new();
    references.extend(pages(list).map(|page| (page, Kind::Page)));
    store.for_each_segment(list, |segment| {
        if let Segment::Chunk { id, .. } = segment {
            references.push((id, kind.chunk_kind()));
        }
        Ok(())
    })?;
    Ok(references)
}

/// What an object refers to itself: the list that stands for it, and the object's own bytes.
///
/// # Errors
///
/// It is missing or damaged.
pub fn of_object(store: &Store, id: &Id, kind: Kind) -> Result<References, ReadError> {
    let mut references = match kind {
        Kind::Tree => of_tree(store, id)?,
        Kind::Snapshot => of_snapshot(store, id)?,
        _ => References::new(),
    };
    if kind.may_be_list()
        && let Stored::List(list) = store.load(id, kind)?
    {
        references.extend(of_list(store, kind, &list)?);
    }
    Ok(references)
}

/// The pages of a list.
pub fn pages(list: &List) -> impl Iterator<Item = Id> {
    fn of<T>(section: &Section<T>) -> &[Id] {
        match section {
            Section::Inline(_) => &[],
            Section::Paged(pages) => pages,
        }
    }
    of(&list.segments).iter().chain(of(&list.values)).copied()
}

/// An object met on a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached<'p> {
    /// The object.
    pub id: Id,
    /// Its kind, as what refers to it says.
    pub kind: Kind,
    /// The path that it was met at: of its entry, or of the entry whose attribute it is. `None` for
    /// what has no path of its own (pages, chunks, links, bases), and where the walk began without one.
    pub path: Option<&'p [u8]>,
}

/// Receives each object; returns what is known of it, or `None` to leave out what it refers to.
pub type Meet<'m, E> = dyn FnMut(&Reached<'_>) -> Result<Option<Found>, E> + 'm;

/// Walks from objects to all that they refer to, meeting each object once in all its walks.
///
/// An object that another one is stored as a difference from is met with that one: it is needed as
/// well. What it refers to is not, unless something else leads there.
///
/// Depth first, in the order of names: the order in which backups pack trees, so that trees which
/// are stored together are read together. Memory: two [`ObjectSet`]s, and the directories and lists
/// that wait beside the path from the root to the tree at hand.
#[derive(Debug)]
pub struct Walk<'s> {
    store: &'s Store,
    seen: ObjectSet,
    /// What was met because something is stored as a difference from it.
    bases: ObjectSet,
    waiting: Vec<Waiting>,
}

/// An object that was met and not read yet.
#[derive(Debug)]
struct Waiting {
    id: Id,
    kind: Kind,
    is_list: bool,
    path: Option<Vec<u8>>,
}

impl<'s> Walk<'s> {
    /// Prepares for walks.
    pub fn new(store: &'s Store) -> Self {
        let (seen, bases) = (store.object_set(), store.object_set());
        Self { store, seen, bases, waiting: Vec::new() }
    }

    /// Marks an object as met; whether it was not met before.
    pub fn mark(&mut self, id: &Id) -> bool {
        self.seen.insert(id)
    }

    /// All objects that were met, but for those that were met only because something is stored as a
    /// difference from them.
    pub fn into_reached(self) -> ObjectSet {
        self.seen
    }

    /// Meets an object and all below it that was not met before.
    ///
    /// # Errors
    ///
    /// A tree, list or snapshot is damaged or of another kind than is said; whatever `meet` returns.
    pub fn run<E: From<ReadError>>(
        &mut self,
        root: &Reached<'_>,
        meet: &mut Meet<'_, E>,
    ) -> Result<(), E> {
        self.waiting.clear();
        self.reach(root, meet)?;
        while let Some(next) = self.waiting.pop() {
            let from = self.waiting.len();
            self.enter(&next, meet)?;
            self.waiting[from..].reverse();
        }
        Ok(())
    }

    fn reach<E: From<ReadError>>(
        &mut self,
        reached: &Reached<'_>,
        meet: &mut Meet<'_, E>,
    ) -> Result<(), E> {
        let Reached { id, kind, path } = *reached;
        if !self.seen.insert(&id) {
            return Ok(());
        }
        let found = match self.bases.contains(&id) {
            // Met already, but not what it refers to.
            true => self.store.find_anywhere(&id)?,
            false => meet(reached)?,
        };
        let Some(found) = found else { return Ok(()) };
        if let Some(base) = found.base() {
            self.reach_base(&base, meet)?;
        }
        if found.kind != kind {
            return Err(ReadError::WrongKind { id, expected: kind, found: found.kind }.into());
        }
        let has_path = matches!(kind, Kind::Tree | Kind::Snapshot);
        let path = path.filter(|_| has_path).map(<[u8]>::to_vec);
        let depth = path.iter().flatten().filter(|byte| **byte == b'/').count();
        if depth >= DEPTH_MAX {
            let source = DecodeError { what: "over 4096 levels deep", offset: 0 };
            return Err(damaged(&id, kind, source).into());
        }
        if has_path || found.is_list {
            self.waiting.push(Waiting { id, kind, is_list: found.is_list, path });
        }
        Ok(())
    }

    /// Reaches what an object is decoded from. Its bytes are needed and not what it refers to.
    fn reach_base<E: From<ReadError>>(
        &mut self,
        base: &Base,
        meet: &mut Meet<'_, E>,
    ) -> Result<(), E> {
        let Base { id, kind } = *base;
        if !self.seen.contains(&id) && self.bases.insert(&id) {
            meet(&Reached { id, kind, path: None })?;
        }
        Ok(())
    }

    /// Reaches all that an object refers to itself.
    fn enter<E: From<ReadError>>(
        &mut self,
        Waiting { id, kind, is_list, path }: &Waiting,
        meet: &mut Meet<'_, E>,
    ) -> Result<(), E> {
        let store = self.store;
        if *is_list && let Stored::List(list) = store.load(id, *kind)? {
            for (id, kind) in of_list(store, *kind, &list)? {
                self.reach(&Reached { id, kind, path: None }, meet)?;
            }
        }
        match kind {
            Kind::Tree => {
                let bytes = store.read(id, Kind::Tree)?;
                for entry in tree::entries(&bytes) {
                    let entry = entry.map_err(|source| damaged(id, Kind::Tree, source))?;
                    let path = path.as_ref().map(|path| join(path, &entry.name));
                    for (id, kind) in of_entry(&entry) {
                        self.reach(&Reached { id, kind, path: path.as_deref() }, meet)?;
                    }
                }
            }
            Kind::Snapshot => {
                let snapshot = Snapshot::decode(&store.read(id, Kind::Snapshot)?)
                    .map_err(|source| damaged(id, Kind::Snapshot, source))?;
                for (id, kind) in of_root(&snapshot.root) {
                    let path = path.as_deref().filter(|_| kind != Kind::Links);
                    self.reach(&Reached { id, kind, path }, meet)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Why a search ended before the end.
enum Stop {
    Absent(Id, Kind),
    Failed(ReadError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

/// Finds the first of some objects, and of all that they refer to, that is not present, or
/// condemned; `None` if all are there.
///
/// # Errors
///
/// A snapshot, tree or list is damaged, or an object is of another kind; the backend fails.
pub fn first_absent(store: &Store, roots: References) -> Result<Option<(Id, Kind)>, ReadError> {
    let mut walk = Walk::new(store);
    let searched = roots.into_iter().try_for_each(|(id, kind)| {
        walk.run(&Reached { id, kind, path: None }, &mut |reached| {
            let found = store.find(&reached.id)?;
            if store.is_present(&reached.id)? {
                let is_present = |base: &Base| store.is_present(&base.id);
                let found = match found.as_ref().and_then(Found::base) {
                    // Another copy will do.
                    Some(base) if !is_present(&base)? => {
                        let has_base = |_: &_, place: &Place, _| {
                            place.base.is_none_or(|base| is_present(&base).unwrap_or(false))
                        };
                        store.find_where(&reached.id, |_| true, has_base)?
                    }
                    _ => found,
                };
                return found.map(Some).ok_or(Stop::Absent(reached.id, reached.kind));
            }
            // What it cannot be decoded without is what has to come back.
            let base = found.and_then(|found| found.base());
            Err(match base {
                Some(base) if !store.is_present(&base.id)? => Stop::Absent(base.id, base.kind),
                _ => Stop::Absent(reached.id, reached.kind),
            })
        })
    });
    match searched {
        Ok(()) => Ok(None),
        Err(Stop::Absent(id, kind)) => Ok(Some((id, kind))),
        Err(Stop::Failed(error)) => Err(error),
    }
}
