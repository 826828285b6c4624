//! Entries of trees as records: what ls-tree, diff-tree and hash-object print, and mktree reads.
//!
//! Invariant: a record of an entry says all that its tree says, so that a tree can be made of the
//! records of its entries.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::json::PathText;
use crate::base::id::Id;
use crate::base::path::join;
use crate::format::tree::{Entry, Metadata, Node, Xattr, XattrValue};
use crate::repository::Repository;

/// One entry of a tree. What it does not have is null.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "entry")]
pub(super) struct EntryRecord {
    /// The path in the tree that was listed, or as it was given; with replacement characters where
    /// it is not UTF-8. Null only for standard input.
    pub(super) path: Option<String>,
    /// The exact path, base64, where it is not UTF-8.
    pub(super) path_b64: Option<String>,
    /// What it is: file, dir, symlink, fifo, socket, chardev, dev (a block device); null where that
    /// could not be found out.
    pub(super) r#type: Option<&'static str>,
    /// Permission bits, four octal digits; null for a stream, like all metadata.
    pub(super) mode: Option<String>,
    /// Numeric owner.
    pub(super) uid: Option<u32>,
    /// Numeric group.
    pub(super) gid: Option<u32>,
    /// Name of the owner, where it is known.
    pub(super) user: Option<String>,
    /// Name of the group, where it is known.
    pub(super) group: Option<String>,
    /// Bytes of a file.
    pub(super) size_bytes: Option<u64>,
    /// Time of last modification: seconds with nine decimals.
    pub(super) mtime: Option<String>,
    /// The blob of a file; the tree of a directory, where it was made.
    pub(super) id: Option<Id>,
    /// Where a symbolic link leads.
    pub(super) target: Option<String>,
    /// The exact target, base64, where it is not UTF-8.
    pub(super) target_b64: Option<String>,
    /// Major number of a device.
    pub(super) major: Option<u32>,
    /// Minor number of a device.
    pub(super) minor: Option<u32>,
    /// Extended attributes, ACLs included, sorted by name.
    pub(super) xattrs: Vec<XattrRecord>,
    /// The same for all paths of a listing that share an inode, and for no others; null where none
    /// is shared.
    pub(super) link_group: Option<String>,
}

/// One extended attribute.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "xattr")]
pub(super) struct XattrRecord {
    /// Its full name, such as `user.comment`.
    pub(super) name: String,
    /// The exact name, base64, where it is not UTF-8.
    pub(super) name_b64: Option<String>,
    /// Bytes of its value.
    pub(super) size_bytes: u64,
    /// The value, base64; null where it is a blob.
    pub(super) value_b64: Option<String>,
    /// The blob of a value over 512 bytes.
    pub(super) blob: Option<Id>,
}

impl EntryRecord {
    /// What metadata says of anything at a path.
    pub(super) fn of_metadata(path: &[u8], word: &'static str, metadata: &Metadata) -> Self {
        let PathText { path, path_b64 } = PathText::new(path);
        Self {
            path: Some(path),
            path_b64,
            r#type: Some(word),
            mode: Some(format!("{:04o}", metadata.mode)),
            uid: Some(metadata.uid),
            gid: Some(metadata.gid),
            mtime: Some(metadata.mtime.to_string()),
            xattrs: metadata.xattrs.iter().map(XattrRecord::new).collect(),
            ..Self::default()
        }
    }

    /// The record of an entry at a path.
    pub(super) fn new(path: &[u8], entry: &Entry) -> Self {
        let mut record = Self::of_metadata(path, entry.node.word(), &entry.metadata);
        match &entry.node {
            Node::File { size_bytes, id } => {
                (record.size_bytes, record.id) = (Some(*size_bytes), Some(*id));
            }
            Node::Directory { tree } => record.id = Some(*tree),
            Node::Symlink { target } => {
                let target = PathText::new(target);
                (record.target, record.target_b64) = (Some(target.path), target.path_b64);
            }
            Node::CharDevice { major, minor } | Node::BlockDevice { major, minor } => {
                (record.major, record.minor) = (Some(*major), Some(*minor));
            }
            Node::Fifo | Node::Socket => {}
        }
        record
    }
}

impl XattrRecord {
    fn new(xattr: &Xattr) -> Self {
        let PathText { path: name, path_b64: name_b64 } = PathText::new(&xattr.name);
        let (size_bytes, value_b64, blob) = match &xattr.value {
            XattrValue::Inline(value) => (value.len() as u64, Some(BASE64.encode(value)), None),
            XattrValue::Blob { size_bytes, id } => (*size_bytes, None, Some(*id)),
        };
        Self { name, name_b64, size_bytes, value_b64, blob }
    }

    /// The attribute; `None` where the fields contradict each other.
    pub(super) fn decode(&self) -> Option<Xattr> {
        let name = PathText { path: self.name.clone(), path_b64: self.name_b64.clone() };
        let value = match (&self.value_b64, self.blob) {
            (Some(value), None) => XattrValue::Inline(BASE64.decode(value).ok()?.into()),
            (None, Some(id)) => XattrValue::Blob { size_bytes: self.size_bytes, id },
            _ => return None,
        };
        Some(Xattr { name: name.bytes()?.into(), value })
    }
}

/// What a snapshot knows of the entries of its tree beside the tree itself.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
    links: HashMap<Box<[u8]>, String>,
    /// Where in the snapshot the tree stands that is listed.
    place: Vec<u8>,
}

impl Surroundings {
    /// What a snapshot knows of the tree at this place in it.
    pub(super) fn of(
        repository: &Repository,
        snapshot: &Id,
        place: Vec<u8>,
    ) -> Result<Self, Failure> {
        let root = repository.snapshot(snapshot)?.root;
        let names = |map: BTreeMap<String, String>| {
            let parsed = map.into_iter().map(|(number, name)| Some((number.parse().ok()?, name)));
            parsed.flatten().collect()
        };
        // Groups of several listings must not be taken for each other.
        let of = root.links.map(|links| links.short()).unwrap_or_default();
        let groups = repository.links(&root)?.into_iter().zip(1..);
        let links = groups.flat_map(|(paths, number)| {
            let group = format!("{of}:{number}");
            paths.into_iter().map(move |path| (path, group.clone()))
        });
        Ok(Self {
            users: names(root.users),
            groups: names(root.groups),
            links: links.collect(),
            place,
        })
    }

    /// Adds what is known of the entry at this path of the tree.
    pub(super) fn complete(&self, path: &[u8], record: &mut EntryRecord) {
        record.user = record.uid.and_then(|uid| self.users.get(&uid).cloned());
        record.group = record.gid.and_then(|gid| self.groups.get(&gid).cloned());
        let path = match self.place.is_empty() {
            true => Cow::Borrowed(path),
            false => Cow::Owned(join(&self.place, path)),
        };
        record.link_group = self.links.get(&*path).cloned();
    }
}
