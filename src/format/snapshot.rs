//! Snapshots: a tree with where, when and by whom it was taken, as canonical JSON (RFC 8785).
//!
//! Invariant: one encoding for each snapshot; numbers stay below 2^53. Format:
//! runup-repository(5), SNAPSHOTS.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::codec::{DecodeError, Reader};
use super::control::canonical_json;
use super::tree::{Metadata, Node, Xattr, XattrValue};
use crate::base::id::Id;
use crate::base::limits::XATTR_INLINE_BYTES_MAX;

/// A snapshot of one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The project's name.
    pub project: String,
    /// What was stored and how.
    #[serde(flatten)]
    pub root: RootRecord,
    /// The snapshot of the same project before this one.
    pub parent: Option<Id>,
    /// When the backup began, RFC 3339.
    pub time: String,
    /// The machine.
    pub host: String,
    /// Who ran the backup.
    pub user: String,
    /// A text for people.
    pub description: Option<String>,
    /// Words to find it by, sorted.
    pub tags: Vec<String>,
    /// The program that wrote it.
    pub program_version: String,
}

/// Most bytes of the name of a project.
pub const PROJECT_NAME_BYTES_MAX: usize = 64;

/// Whether a project may have this name: it stands in file names, revisions and command lines.
///
/// One to 64 letters, digits, `.`, `_` and `-`, not starting with `.` or `-`.
pub fn is_project_name(name: &str) -> bool {
    (1..=PROJECT_NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A stored tree with all that belongs to it: what `runup-write-tree` prints and a snapshot keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RootRecord {
    /// The tree of the root directory.
    pub tree: Id,
    /// The groups of paths that share an inode; null where there are none.
    pub links: Option<Id>,
    /// The metadata of the root directory itself; null where there was no directory.
    pub root: Option<RootMetadata>,
    /// The directory that relative includes start from.
    pub context: BytesText,
    /// What was included, as it was given; sorted by nothing.
    pub includes: Vec<BytesText>,
    /// What was excluded, as it was given; later ones win.
    pub excludes: Vec<BytesText>,
    /// What was not read, and why.
    pub skipped: Vec<Skipped>,
    /// Names of the owners, by uid.
    pub users: BTreeMap<String, String>,
    /// Names of the groups, by gid.
    pub groups: BTreeMap<String, String>,
    /// Figures of the tree.
    pub counts: Counts,
}

impl RootRecord {
    /// The record of a tree that nothing else is known of, its figures included: all of it is what
    /// was included, wherever it came from.
    pub fn of_tree(tree: Id) -> Self {
        Self {
            tree,
            links: None,
            root: None,
            context: BytesText::new(b"/"),
            includes: vec![BytesText::new(b".")],
            excludes: Vec::new(),
            skipped: Vec::new(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            counts: Counts::default(),
        }
    }
}

/// Figures of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "counts")]
pub struct Counts {
    /// Regular files.
    pub files: u64,
    /// Directories, without the root.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Pipes, sockets, devices.
    pub others: u64,
    /// Bytes of all regular files.
    pub size_bytes: u64,
}

impl Counts {
    /// Counts an entry.
    pub fn add(&mut self, node: &Node) {
        match node {
            Node::Directory { .. } => self.directories += 1,
            Node::File { size_bytes, .. } => {
                self.files += 1;
                self.size_bytes = self.size_bytes.saturating_add(*size_bytes);
            }
            Node::Symlink { .. } => self.symlinks += 1,
            _ => self.others += 1,
        }
    }

    /// Takes over what was counted elsewhere.
    pub fn join(&mut self, other: &Self) {
        self.directories += other.directories;
        self.files += other.files;
        self.symlinks += other.symlinks;
        self.others += other.others;
        self.size_bytes = self.size_bytes.saturating_add(other.size_bytes);
    }

    /// Whether JSON readers that keep numbers as doubles read them exactly.
    fn is_exact(&self) -> bool {
        let Self { files, directories, symlinks, others, size_bytes } = *self;
        [files, directories, symlinks, others, size_bytes].iter().all(|count| *count < 1 << 53)
    }
}

/// Bytes as text where they are UTF-8, with base64 where they are not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "bytes")]
pub struct BytesText {
    /// The bytes, with replacement characters where they are not UTF-8.
    pub path: String,
    /// The exact bytes where they are not UTF-8, else null.
    pub path_b64: Option<String>,
}

impl BytesText {
    /// Writes bytes as text.
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(path) => Self { path: path.to_owned(), path_b64: None },
            Err(_) => Self {
                path: String::from_utf8_lossy(bytes).into_owned(),
                path_b64: Some(BASE64.encode(bytes)),
            },
        }
    }

    /// The exact bytes; `None` where text and base64 disagree.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let bytes = match &self.path_b64 {
            None => self.path.clone().into_bytes(),
            Some(encoded) => BASE64.decode(encoded).ok()?,
        };
        (Self::new(&bytes) == *self).then_some(bytes)
    }
}

/// A path that was not read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "skipped")]
pub struct Skipped {
    /// The path in the tree.
    #[serde(flatten)]
    pub path: BytesText,
    /// Why, in a few words.
    pub reason: String,
}

/// The metadata of the root directory, which no tree holds an entry for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "root-metadata")]
pub struct RootMetadata {
    /// Permission bits, four octal digits.
    pub mode: String,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Time of last modification: seconds with nine decimals.
    pub mtime: String,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<RootXattr>,
}

/// An extended attribute of the root directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "root-xattr")]
pub struct RootXattr {
    /// The name, base64.
    pub name_b64: String,
    /// The value, base64; null where it is a blob.
    pub value_b64: Option<String>,
    /// The blob of a long value.
    pub blob: Option<Id>,
    /// Bytes of the value.
    pub size_bytes: u64,
}

impl From<&Metadata> for RootMetadata {
    fn from(metadata: &Metadata) -> Self {
        let xattr = |xattr: &Xattr| {
            let name_b64 = BASE64.encode(&xattr.name);
            match &xattr.value {
                XattrValue::Inline(value) => RootXattr {
                    name_b64,
                    value_b64: Some(BASE64.encode(value)),
                    blob: None,
                    size_bytes: value.len() as u64,
                },
                XattrValue::Blob { size_bytes, id } => RootXattr {
                    name_b64,
                    value_b64: None,
                    blob: Some(*id),
                    size_bytes: *size_bytes,
                },
            }
        };
        Self {
            mode: format!("{:04o}", metadata.mode),
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: metadata.mtime.to_string(),
            xattrs: metadata.xattrs.iter().map(xattr).collect(),
        }
    }
}

impl RootMetadata {
    /// The metadata; `None` where a text in it is not what it should be.
    pub fn decode(&self) -> Option<Metadata> {
        let xattr = |xattr: &RootXattr| {
            let value = match (&xattr.value_b64, xattr.blob) {
                (Some(value), None) => XattrValue::Inline(BASE64.decode(value).ok()?.into()),
                (None, Some(id)) => XattrValue::Blob { size_bytes: xattr.size_bytes, id },
                _ => return None,
            };
            let inline_fits = match &value {
                XattrValue::Inline(value) => value.len() <= XATTR_INLINE_BYTES_MAX,
                XattrValue::Blob { size_bytes, .. } => *size_bytes > XATTR_INLINE_BYTES_MAX as u64,
            };
            let name = BASE64.decode(&xattr.name_b64).ok()?.into();
            inline_fits.then_some(Xattr { name, value })
        };
        let mode = u16::from_str_radix(&self.mode, 8).ok()?;
        let metadata = Metadata {
            mode,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime.parse().ok()?,
            xattrs: self.xattrs.iter().map(xattr).collect::<Option<_>>()?,
        };
        // The bounds and the order are those of trees; the texts must be the ones written here.
        let mut encoded = Vec::new();
        metadata.encode(&mut encoded);
        let decoded = Metadata::decode(&mut Reader::new(&encoded)).ok()?;
        (decoded == metadata && Self::from(&metadata) == *self).then_some(metadata)
    }
}

impl Snapshot {
    /// Encodes the snapshot.
    pub fn encode(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).unwrap_or_default();
        canonical_json(&value).into_bytes()
    }

    /// Decodes a snapshot.
    ///
    /// # Errors
    ///
    /// The bytes are not the one encoding of a snapshot.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fail = |what, offset| DecodeError { what, offset };
        let snapshot: Self = serde_json::from_slice(bytes)
            .map_err(|error| fail("snapshot is not the JSON it should be", error.column()))?;
        if snapshot.encode() != bytes {
            return Err(fail("snapshot is not canonical JSON", 0));
        }
        let root = &snapshot.root;
        let texts = root.includes.iter().chain(&root.excludes).chain([&root.context]);
        let skipped = root.skipped.iter().map(|skipped| &skipped.path);
        if !is_project_name(&snapshot.project) {
            return Err(fail("snapshot of a project without a proper name", 0));
        }
        if !snapshot.tags.is_sorted_by(|a, b| a < b) || !root.counts.is_exact() {
            return Err(fail("snapshot with tags out of order or counts out of bounds", 0));
        }
        let is_number =
            |number: &String| number.parse::<u32>().is_ok_and(|n| n.to_string() == *number);
        if !root.users.keys().chain(root.groups.keys()).all(is_number) {
            return Err(fail("snapshot with the name of an owner that is no number", 0));
        }
        if texts.chain(skipped).any(|text| text.bytes().is_none())
            || root.root.as_ref().is_some_and(|metadata| metadata.decode().is_none())
        {
            return Err(fail("snapshot has a path or metadata that is not canonical", 0));
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::FileTime;

    fn snapshot() -> Snapshot {
        let xattrs =
            vec![Xattr { name: b"user.a"[..].into(), value: XattrValue::Inline([0xff].into()) }];
        let metadata = Metadata {
            mode: 0o1755,
            mtime: FileTime { seconds: -1, nanoseconds: 1 },
            xattrs,
            ..Metadata::default()
        };
        let root = RootRecord {
            tree: Id::from_bytes([1; 32]),
            links: None,
            root: Some(RootMetadata::from(&metadata)),
            context: BytesText::new(b"/home/\xff"),
            includes: vec![BytesText::new(b".")],
            excludes: vec![],
            skipped: vec![Skipped { path: BytesText::new(b"a\xfe"), reason: "unreadable".into() }],
            users: BTreeMap::from([("0".into(), "root".into())]),
            groups: BTreeMap::new(),
            counts: Counts { files: 3, ..Counts::default() },
        };
        Snapshot {
            project: "app".into(),
            root,
            parent: Some(Id::from_bytes([2; 32])),
            time: "2026-11-22T05:00:00+00:00".into(),
            host: "h".into(),
            user: "u".into(),
            description: None,
            tags: vec![],
            program_version: "0.1.0".into(),
        }
    }

    #[test]
    fn snapshots_round_trip_canonically() {
        let bytes = snapshot().encode();
        let decoded = Snapshot::decode(&bytes).expect("canonical");
        assert_eq!(decoded, snapshot());
        assert_eq!(decoded.root.context.bytes().as_deref(), Some(&b"/home/\xff"[..]));
        let metadata = decoded.root.root.and_then(|root| root.decode()).expect("metadata");
        assert_eq!(metadata.mode, 0o1755);
        let spaced = String::from_utf8_lossy(&bytes).replacen(',', ", ", 1);
        assert!(Snapshot::decode(spaced.as_bytes()).is_err());
    }

    #[test]
    fn text_and_base64_must_agree() {
        let lie = BytesText { path: "a".into(), path_b64: Some(BASE64.encode(b"b")) };
        assert_eq!(lie.bytes(), None);
        assert_eq!(BytesText::new(b"\xff\xfe").bytes().as_deref(), Some(&b"\xff\xfe"[..]));
    }
}
