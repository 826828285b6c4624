//! Shapes that several JSON records share. These are not stored anywhere.
//!
//! Invariant: no field is ever left out; what does not apply is null.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::id::Id;
use crate::format::snapshot::{BytesText, Counts, RootMetadata, RootRecord, Skipped, Snapshot};
use crate::store::InsertReport;

/// Bytes as text, with base64 where they are not UTF-8.
pub(super) type PathText = BytesText;

/// A tree with all that belongs to it, whose figures may not be known; write-snapshot reads it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TreeRecord {
    /// The tree of the root directory.
    pub(super) tree: Id,
    /// The groups of paths that share an inode; null where there are none.
    pub(super) links: Option<Id>,
    /// The metadata of the root directory itself; null where nobody said.
    pub(super) root: Option<RootMetadata>,
    /// The directory that relative includes start from.
    pub(super) context: PathText,
    /// What was included.
    pub(super) includes: Vec<PathText>,
    /// What was excluded.
    pub(super) excludes: Vec<PathText>,
    /// What was not read, and why.
    pub(super) skipped: Vec<Skipped>,
    /// Names of the owners, by uid.
    pub(super) users: BTreeMap<String, String>,
    /// Names of the groups, by gid.
    pub(super) groups: BTreeMap<String, String>,
    /// Figures of the tree; null where nobody has counted.
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

/// A directory or archive that was stored as a tree, for write-snapshot.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "written-tree")]
pub(super) struct WrittenTree<'a> {
    /// The directory or archive as it was given; `-` for standard input.
    pub(super) path: String,
    /// The exact path, base64, where it is not UTF-8.
    pub(super) path_b64: Option<String>,
    #[serde(flatten)]
    pub(super) root: &'a RootRecord,
    /// Sources that could not be read or kept whole, or changed while they were read.
    pub(super) errors: u64,
    /// Bytes of files that were read.
    pub(super) bytes_read: u64,
    /// Bytes of new objects, before compression.
    pub(super) data_added: u64,
    /// Bytes that they take in packs.
    pub(super) data_added_packed: u64,
}

impl<'a> WrittenTree<'a> {
    /// The record of what was stored from a path.
    pub(super) fn new(path: &Path, root: &'a RootRecord, inserted: &InsertReport) -> Self {
        let PathText { path, path_b64 } = PathText::new(path.as_os_str().as_encoded_bytes());
        Self {
            path,
            path_b64,
            root,
            errors: 0,
            bytes_read: 0,
            data_added: inserted.object_bytes,
            data_added_packed: inserted.packed_bytes,
        }
    }
}

/// A record on one line.
pub(super) fn text(record: &impl Serialize) -> String {
    serde_json::to_string(record).unwrap_or_default()
}

/// A snapshot with the names that lead to it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "snapshot")]
pub(super) struct SnapshotRecord<'a> {
    /// The snapshot.
    pub(super) id: Id,
    /// The first digits of its id.
    pub(super) short_id: String,
    /// The job that holds it; null where it was not reached through one.
    pub(super) job: Option<u64>,
    #[serde(flatten)]
    pub(super) snapshot: &'a Snapshot,
}

impl<'a> SnapshotRecord<'a> {
    pub(super) fn new(id: Id, job: Option<u64>, snapshot: &'a Snapshot) -> Self {
        Self { id, short_id: id.short(), job, snapshot }
    }
}
