//! Shapes that several JSON records share. These are not stored anywhere.
//!
//! Invariant: no field is ever left out; what does not apply is null.

use serde::Serialize;

use crate::base::id::Id;
use crate::format::snapshot::{BytesText, Snapshot};
use crate::format::tree::{Entry, Node, XattrValue};

/// Bytes as text, with base64 where they are not UTF-8.
pub(super) type PathText = BytesText;

/// One entry of a tree, as `ls-tree` prints it and other programs read it.
#[derive(Debug, Serialize)]
pub(super) struct EntryRecord {
    pub(super) path: String,
    pub(super) path_b64: Option<String>,
    pub(super) r#type: &'static str,
    pub(super) mode: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size_bytes: Option<u64>,
    pub(super) mtime: String,
    pub(super) id: Option<Id>,
    pub(super) target: Option<String>,
    pub(super) target_b64: Option<String>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) xattrs: Vec<XattrRecord>,
}

/// One extended attribute of an entry.
#[derive(Debug, Serialize)]
pub(super) struct XattrRecord {
    name: String,
    name_b64: Option<String>,
    size_bytes: u64,
    value_b64: Option<String>,
    blob: Option<Id>,
}

impl EntryRecord {
    /// The record of an entry at a path.
    pub(super) fn new(path: &[u8], entry: &Entry) -> Self {
        use base64::Engine;
        let BytesText { path, path_b64 } = BytesText::new(path);
        let metadata = &entry.metadata;
        let target = match &entry.node {
            Node::Symlink { target } => Some(BytesText::new(target)),
            _ => None,
        };
        let (size_bytes, id) = match entry.node {
            Node::File { size_bytes, id } => (Some(size_bytes), Some(id)),
            Node::Directory { tree } => (None, Some(tree)),
            _ => (None, None),
        };
        let (major, minor) = match entry.node {
            Node::CharDevice { major, minor } | Node::BlockDevice { major, minor } => {
                (Some(major), Some(minor))
            }
            _ => (None, None),
        };
        let xattr = |xattr: &crate::format::tree::Xattr| {
            let BytesText { path: name, path_b64: name_b64 } = BytesText::new(&xattr.name);
            let (size_bytes, value_b64, blob) = match &xattr.value {
                XattrValue::Inline(value) => {
                    let encoded = base64::engine::general_purpose::STANDARD.encode(value);
                    (value.len() as u64, Some(encoded), None)
                }
                XattrValue::Blob { size_bytes, id } => (*size_bytes, None, Some(*id)),
            };
            XattrRecord { name, name_b64, size_bytes, value_b64, blob }
        };
        Self {
            path,
            path_b64,
            r#type: entry.node.word(),
            mode: format!("{:04o}", metadata.mode),
            uid: metadata.uid,
            gid: metadata.gid,
            size_bytes,
            mtime: metadata.mtime.to_string(),
            id,
            target: target.as_ref().map(|target| target.path.clone()),
            target_b64: target.and_then(|target| target.path_b64),
            major,
            minor,
            xattrs: metadata.xattrs.iter().map(xattr).collect(),
        }
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
