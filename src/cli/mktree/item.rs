//! Items that mktree reads: records of entries, removals, and lines of b3sum.
//!
//! Invariant: what an item does not say is left open, and nothing that it says is passed over.

use serde::Deserialize;

use super::super::entry::XattrRecord;
use super::super::failure::Failure;
use super::super::input;
use crate::base::id::Id;
use crate::format::snapshot::{BytesText, RootMetadata};
use crate::format::tree::Node;
use crate::ops::mktree::{Content, PartialMetadata};

/// What is read of a record of ls-tree, hash-object, diff-tree, write-tree or rev-parse.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Item {
    pub(super) path: Option<String>,
    pub(super) path_b64: Option<String>,
    pub(super) r#type: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) size_bytes: Option<u64>,
    pub(super) mtime: Option<String>,
    pub(super) id: Option<Id>,
    pub(super) tree: Option<Id>,
    pub(super) root: Option<RootMetadata>,
    pub(super) target: Option<String>,
    pub(super) target_b64: Option<String>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) xattrs: Option<Vec<XattrRecord>>,
    pub(super) link_group: Option<String>,
    pub(super) links: Option<Id>,
    pub(super) status: Option<String>,
    pub(super) old: Option<OldPath>,
    pub(super) error: Option<ErrorField>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OldPath {
    pub(super) path: String,
    pub(super) path_b64: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorField {
    pub(super) message: String,
}

impl Item {
    /// A line as b3sum prints it: an id, two spaces, a path.
    pub(super) fn from_b3sum(line: &[u8]) -> Result<Self, Failure> {
        let refuse = || {
            let start: String = String::from_utf8_lossy(line).chars().take(80).collect();
            Failure::usage(format!("neither a record nor an id, two spaces and a path: {start}"))
        };
        let (line, is_escaped) = match line.strip_prefix(b"\\") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let (digits, rest) = line.split_at_checked(64).ok_or_else(refuse)?;
        let id = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let path = rest.strip_prefix(b"  ").ok_or_else(refuse)?;
        let path = if is_escaped { unescape(path).ok_or_else(refuse)? } else { path.to_vec() };
        let BytesText { path, path_b64 } = BytesText::new(&path);
        let id: Id = id.ok_or_else(refuse)?;
        Ok(Self { path: Some(path), path_b64, id: Some(id), ..Self::default() })
    }

    pub(super) fn path(&self) -> Result<Vec<u8>, Failure> {
        let path = self.path.clone().ok_or_else(|| {
            Failure::usage("a record without a `path`: `hash-object --stdin` takes one with --path")
        })?;
        input::path_bytes(path, self.path_b64.clone())
    }

    pub(super) fn metadata(&self, path: &[u8]) -> Result<PartialMetadata, Failure> {
        let refuse = |field: &str| {
            let path = String::from_utf8_lossy(path).into_owned();
            Failure::usage(format!("{path:?}: `{field}` is not what ls-tree would print"))
        };
        // The record of write-tree has the metadata of its directory apart.
        if let Some(root) = &self.root {
            let metadata = root.decode().ok_or_else(|| refuse("root"))?;
            return Ok(PartialMetadata {
                mode: Some(metadata.mode),
                uid: Some(metadata.uid),
                gid: Some(metadata.gid),
                mtime: Some(metadata.mtime),
                xattrs: Some(metadata.xattrs),
            });
        }
        let mode = self.mode.as_deref().map(|mode| u16::from_str_radix(mode, 8)).transpose();
        let mtime = self.mtime.as_deref().map(str::parse).transpose();
        let xattrs = self
            .xattrs
            .as_ref()
            .map(|xattrs| xattrs.iter().map(XattrRecord::decode).collect::<Option<Vec<_>>>());
        Ok(PartialMetadata {
            mode: mode.map_err(|_| refuse("mode"))?,
            uid: self.uid,
            gid: self.gid,
            mtime: mtime.map_err(|_| refuse("mtime"))?,
            xattrs: xattrs.map(|xattrs| xattrs.ok_or_else(|| refuse("xattrs"))).transpose()?,
        })
    }

    pub(super) fn content(&self, path: &[u8], is_recursive: bool) -> Result<Content, Failure> {
        let refuse = |what: &str| {
            let path = String::from_utf8_lossy(path).into_owned();
            Failure::usage(format!("{path:?}: {what}"))
        };
        if self.tree.is_some() {
            return Ok(Content::Directory { tree: self.tree });
        }
        let device =
            || self.major.zip(self.minor).ok_or_else(|| refuse("`major` and `minor` are needed"));
        let node = match self.r#type.as_deref() {
            None => {
                return self.id.map(Content::Object).ok_or_else(|| refuse("`id` is needed"));
            }
            Some("file") => {
                let id = self.id.ok_or_else(|| refuse("`id` is needed"))?;
                return Ok(Content::File { id, size_bytes: self.size_bytes });
            }
            // With --recursive a directory is what is named below it, so that records that were
            // left out of a listing are not in the tree either.
            Some("dir") => {
                let tree = self.id.filter(|_| !is_recursive);
                return Ok(Content::Directory { tree });
            }
            Some("symlink") => {
                let target = self.target.clone().ok_or_else(|| refuse("`target` is needed"))?;
                let target = input::path_bytes(target, self.target_b64.clone())?;
                Node::Symlink { target: target.into() }
            }
            Some("fifo") => Node::Fifo,
            Some("socket") => Node::Socket,
            Some("chardev") => device().map(|(major, minor)| Node::CharDevice { major, minor })?,
            Some("dev") => device().map(|(major, minor)| Node::BlockDevice { major, minor })?,
            Some(other) => return Err(refuse(&format!("`type` {other:?} is not known"))),
        };
        Ok(Content::Special(node))
    }
}

/// Undoes how b3sum writes names with a backslash or a line end.
fn unescape(path: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            other => *other,
        });
    }
    Some(plain)
}
