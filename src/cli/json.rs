//! Shapes that several JSON records share. These are not stored anywhere.
//!
//! Invariant: no field is ever left out; what does not apply is null.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::id::Id;
use crate::format::snapshot::{BytesText, Counts, RootMetadata, RootRecord, Skipped, Snapshot};

/// Bytes as text, with base64 where they are not UTF-8.
pub(super) type PathText = BytesText;

/// A tree with all that belongs to it, whose figures may not be known; write-snapshot reads it.
#[derive(Debug, Serialize)]
pub(super) struct TreeRecord {
    pub(super) tree: Id,
    pub(super) links: Option<Id>,
    pub(super) root: Option<RootMetadata>,
    pub(super) context: PathText,
    pub(super) includes: Vec<PathText>,
    pub(super) excludes: Vec<PathText>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) users: BTreeMap<String, String>,
    pub(super) groups: BTreeMap<String, String>,
    pub(super) counts: Option<Counts>,
}

impl TreeRecord {
    /// The record of a tree, with these figures in place of its own.
    pub(super) fn new(root: RootRecord, counts: Option<Counts>) -> Self {
        let RootRecord {
            tree,
            links,
            root,
            context,
            includes,
            excludes,
            skipped,
            users,
            groups,
            counts: _,
        } = root;
        Self { tree, links, root, context, includes, excludes, skipped, users, groups, counts }
    }
}

/// A snapshot with the names that lead to it.
#[derive(Debug, Serialize)]
pub(super) struct SnapshotRecord<'a> {
    pub(super) id: Id,
    pub(super) short_id: String,
    pub(super) job: Option<u64>,
    #[serde(flatten)]
    pub(super) snapshot: &'a Snapshot,
}

impl<'a> SnapshotRecord<'a> {
    pub(super) fn new(id: Id, job: Option<u64>, snapshot: &'a Snapshot) -> Self {
        Self { id, short_id: id.short(), job, snapshot }
    }
}
