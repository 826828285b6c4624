//! Everything that an object refers to, directly or not.
//!
//! Invariant: each object is visited once, however often it is referred to.

use std::collections::HashSet;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::codec::DecodeError;
use crate::format::list::{List, Section, Segment};
use crate::format::snapshot::{RootRecord, RootXattr};
use crate::format::tree::{self, Entry, Metadata, Node, XattrValue};
use crate::store::{ReadError, Store, Stored};

/// Ids and kinds of objects.
pub type References = Vec<(Id, Kind)>;

/// What a tree entry refers to.
pub fn of_entry(entry: &Entry) -> References {
    let mut references = of_metadata(&entry.metadata);
    match &entry.node {
        Node::Directory { tree } => references.push((*tree, Kind::Tree)),
        Node::File { id, .. } => references.push((*id, Kind::Blob)),
        _ => {}
    }
    references
}

fn of_metadata(metadata: &Metadata) -> References {
    let blob = |xattr: &tree::Xattr| match xattr.value {
        XattrValue::Blob { id, .. } => Some((id, Kind::Blob)),
        XattrValue::Inline(_) => None,
    };
    metadata.xattrs.iter().filter_map(blob).collect()
}

/// What a snapshot's root refers to.
pub fn of_root(root: &RootRecord) -> References {
    let mut references = vec![(root.tree, Kind::Tree)];
    references.extend(root.links.map(|links| (links, Kind::Links)));
    let xattrs = root.root.iter().flat_map(|metadata| &metadata.xattrs);
    references.extend(xattrs.filter_map(|xattr: &RootXattr| xattr.blob.map(|id| (id, Kind::Blob))));
    references
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
        references.extend(of_entry(&entry.map_err(|source| damaged(id, source))?));
    }
    Ok(references)
}

fn damaged(id: &Id, source: DecodeError) -> ReadError {
    ReadError::Damaged { id: *id, kind: Kind::Tree, file: "the repository".into(), source }
}

/// What the list of a long object refers to: its pages and chunks.
///
/// # Errors
///
/// A page is missing or damaged.
pub fn of_list(store: &Store, kind: Kind, list: &List) -> Result<References, ReadError> {
    let mut references = References::new();
    for section in [pages(&list.segments), pages(&list.values)] {
        references.extend(section.iter().map(|page| (*page, Kind::Page)));
    }
    store.for_each_segment(list, |segment| {
        if let Segment::Chunk { id, .. } = segment {
            references.push((id, kind.chunk_kind()));
        }
        Ok(())
    })?;
    Ok(references)
}

fn pages<T>(section: &Section<T>) -> &[Id] {
    match section {
        Section::Inline(_) => &[],
        Section::Paged(pages) => pages,
    }
}

/// Finds the first object in the closure of a root that is not present, or condemned; `None` if all
/// are there.
///
/// # Errors
///
/// A tree or list is damaged; the backend fails.
pub fn first_absent(store: &Store, root: &RootRecord) -> Result<Option<(Id, Kind)>, ReadError> {
    first_absent_of(store, of_root(root))
}

/// As [`first_absent`], in the closure of several objects.
///
/// # Errors
///
/// As [`first_absent`].
pub fn first_absent_of(
    store: &Store,
    mut waiting: References,
) -> Result<Option<(Id, Kind)>, ReadError> {
    let mut seen = HashSet::new();
    while let Some((id, kind)) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        if !store.is_present(&id)? {
            return Ok(Some((id, kind)));
        }
        if kind == Kind::Tree {
            waiting.extend(of_tree(store, &id)?);
        }
        let is_list = store.find(&id)?.is_some_and(|found| found.is_list);
        if is_list && let Stored::List(list) = store.load(&id, kind)? {
            waiting.extend(of_list(store, kind, &list)?);
        }
    }
    Ok(None)
}
