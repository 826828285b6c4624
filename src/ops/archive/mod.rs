//! A tree becomes a tar archive, member by member, in the order of its paths.
//!
//! Invariant: the header of a file is written only once the file is proved, or its list is; after
//! that the archive has as many bytes of it as the header says, or ends in an error.

mod content;
mod links;
mod walk;

use std::collections::BTreeMap;
use std::io;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::{Action, Monitor, Problem};
use crate::format::tar::{self, AclTexts, Format, Member, MemberKind, acl};
use crate::format::tree::{Entry, Metadata, Node, XattrValue};
use crate::ops::with_causes;
use crate::os::xattr::{ACL_ACCESS, ACL_DEFAULT};
use crate::store::{ReadError, Store};

use self::links::{Claim, Names};

/// What to make an archive of.
#[derive(Debug, Clone)]
pub struct ArchiveRequest<'a> {
    /// The tree of the directory that paths in the archive start from.
    pub tree: Id,
    /// Where it stands in its snapshot: the paths of `links` start from that one's root.
    pub place: &'a [u8],
    /// The groups of paths that share an inode.
    pub links: Option<Id>,
    /// The metadata of the directory itself; it is a member only if this is known.
    pub root: Option<Metadata>,
    /// Names of owners, by number.
    pub users: BTreeMap<u32, String>,
    /// Names of groups, by number.
    pub groups: BTreeMap<u32, String>,
    /// Only these paths of the tree and what is below them; all if there is none.
    pub wanted: &'a [Vec<u8>],
    /// The dialect.
    pub format: Format,
    /// Whether long runs of zeros are left out of files, which are sparse members then.
    pub is_sparse: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// Members that were written.
    pub members: u64,
    /// Entries that an archive of this dialect cannot hold, or not whole.
    pub errors: u64,
    /// Entries that were left out because what is stored of them is damaged or missing.
    pub damaged: u64,
}

/// Why an archive could not be written to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The tree or the links cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A path that was asked for is not in the tree.
    #[error("no {path:?} in the tree")]
    NoPath {
        /// The path.
        path: String,
    },
    /// What is stored could not have been made by a backup.
    #[error("refused: {what} in links {id}")]
    Hostile {
        /// What is wrong.
        what: &'static str,
        /// The object.
        id: Id,
    },
    /// A long file turned out damaged after its header was written.
    #[error("the archive ends inside {path}")]
    Cut {
        /// The path.
        path: String,
        /// What is wrong.
        source: ReadError,
    },
    /// Whoever takes the archive wants no more of it.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// The user interrupted it.
    #[error("interrupted")]
    Cancelled,
}

/// Receives the archive.
pub type Write<'w> = dyn FnMut(&[u8]) -> io::Result<()> + 'w;

/// Writes a tree as an archive.
///
/// What the archive cannot hold, and files that are damaged, are left out, handed to `monitor` and
/// counted.
///
/// # Errors
///
/// A path is not there; the archive cannot be written; a long file turns out damaged half-way.
pub fn archive(
    store: &Store,
    request: &ArchiveRequest<'_>,
    write: &mut Write<'_>,
    monitor: &dyn Monitor,
) -> Result<ArchiveReport, ArchiveError> {
    walk::check_wanted(store, &request.tree, request.wanted)?;
    let mut archiver = Archiver {
        store,
        request,
        monitor,
        write,
        written_bytes: 0,
        names: Names::load(store, request.links)?,
        report: ArchiveReport::default(),
        header: Vec::new(),
        without_xattrs: 0,
    };
    archiver.root()?;
    walk::walk(&mut archiver)?;
    archiver.finish()
}

/// An archive that is being written.
struct Archiver<'a, 'w> {
    store: &'a Store,
    request: &'a ArchiveRequest<'a>,
    monitor: &'a dyn Monitor,
    write: &'a mut Write<'w>,
    written_bytes: u64,
    names: Names,
    report: ArchiveReport,
    header: Vec<u8>,
    without_xattrs: u64,
}

impl Archiver<'_, '_> {
    /// Writes the member of the directory that paths start from, where its metadata is known.
    fn root(&mut self) -> Result<(), ArchiveError> {
        let Some(metadata) = self.request.root.as_ref().filter(|_| self.request.wanted.is_empty())
        else {
            return Ok(());
        };
        let Some(mut member) = self.member(b".", metadata) else { return Ok(()) };
        member.path = b"./".to_vec();
        self.put_whole(&member, b"").map(|_| ())
    }

    /// Writes the member of an entry.
    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<(), ArchiveError> {
        if self.monitor.is_cancelled() {
            return Err(ArchiveError::Cancelled);
        }
        let Some(member) = self.member(path, &entry.metadata) else { return Ok(()) };
        let full_path = crate::base::path::join(self.request.place, path);
        let is_written = match self.names.claim(&full_path, path, entry) {
            Claim::Same(target) => {
                let kind = MemberKind::HardLink { target };
                let (xattrs, acls) = (Vec::new(), AclTexts::default());
                self.put_whole(&Member { kind, xattrs, acls, ..member }, path)?
            }
            Claim::First | Claim::Different => self.node(path, member, &entry.node)?,
        };
        if !is_written {
            self.names.release(&full_path);
        }
        Ok(())
    }

    /// Writes the member of what an entry is; false if it was left out, which is told.
    fn node(&mut self, path: &[u8], member: Member, node: &Node) -> Result<bool, ArchiveError> {
        let kind = match node {
            Node::File { size_bytes, id } => {
                return content::write_file(self, path, member, id, *size_bytes);
            }
            Node::Directory { .. } => MemberKind::Directory,
            Node::Symlink { target } => MemberKind::Symlink { target: target.to_vec() },
            Node::Fifo => MemberKind::Fifo,
            &Node::CharDevice { major, minor } => MemberKind::CharDevice { major, minor },
            &Node::BlockDevice { major, minor } => MemberKind::BlockDevice { major, minor },
            Node::Socket => {
                let message = "a socket, which no tar archive holds".to_owned();
                self.leave_out("socket", path, message);
                return Ok(false);
            }
        };
        self.put_whole(&Member { kind, ..member }, path)
    }

    /// What is the same for every kind of entry; `None` if an attribute of it is damaged.
    fn member(&mut self, path: &[u8], metadata: &Metadata) -> Option<Member> {
        let mut xattrs = Vec::with_capacity(metadata.xattrs.len());
        let has_xattrs = self.request.format == Format::Pax;
        if !has_xattrs && !metadata.xattrs.is_empty() {
            self.without_xattrs += 1;
        }
        for xattr in metadata.xattrs.iter().filter(|_| has_xattrs) {
            let value = match &xattr.value {
                XattrValue::Inline(value) => value.to_vec(),
                XattrValue::Blob { id, .. } => match self.store.read(id, Kind::Blob) {
                    Ok(value) => value,
                    Err(error) => {
                        self.damaged(path, &error);
                        return None;
                    }
                },
            };
            xattrs.push((xattr.name.clone(), value));
        }
        let acl = |wanted: &[u8]| {
            let attribute = xattrs.iter().find(|(name, _)| **name == *wanted);
            attribute.and_then(|(_, value)| acl::to_text(value)).unwrap_or_default()
        };
        let acls = AclTexts { access: acl(ACL_ACCESS), default: acl(ACL_DEFAULT) };
        let name = |names: &BTreeMap<u32, String>, number: u32| {
            names.get(&number).map(|name| name.clone().into_bytes()).unwrap_or_default()
        };
        Some(Member {
            path: path.to_vec(),
            kind: MemberKind::Directory,
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            user: name(&self.request.users, metadata.uid),
            group: name(&self.request.groups, metadata.gid),
            mtime: metadata.mtime,
            xattrs,
            acls,
        })
    }

    /// Writes a member without content; false if it was left out, which is told.
    fn put_whole(&mut self, member: &Member, path: &[u8]) -> Result<bool, ArchiveError> {
        let is_written = self.put_header(member, path)?;
        if is_written {
            self.monitor.path(Action::New, path, 0);
        }
        Ok(is_written)
    }

    /// Writes the header of a member; false if it has none, which is told.
    fn put_header(&mut self, member: &Member, path: &[u8]) -> Result<bool, ArchiveError> {
        let mut header = std::mem::take(&mut self.header);
        header.clear();
        let encoded = tar::encode(member, self.request.format, &mut header);
        if let Err(error) = encoded {
            self.leave_out("not_archived", path, error.to_string());
            return Ok(false);
        }
        self.put(&header).map_err(ArchiveError::Write)?;
        self.header = header;
        self.report.members += 1;
        Ok(true)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        (self.write)(bytes)?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    fn leave_out(&mut self, code: &'static str, path: &[u8], message: String) {
        self.report.errors += 1;
        self.monitor.problem(Problem { code, subject: path.to_vec(), message });
    }

    fn damaged(&mut self, path: &[u8], error: &ReadError) {
        self.report.damaged += 1;
        let message = format!("left out: {}", with_causes(error));
        self.monitor.problem(Problem { code: "damaged", subject: path.to_vec(), message });
    }

    fn finish(mut self) -> Result<ArchiveReport, ArchiveError> {
        if self.without_xattrs > 0 {
            let count = self.without_xattrs;
            let message = format!(
                "extended attributes of {count} entries are left out: archives of this format \
                 hold none"
            );
            self.leave_out("xattrs", b"", message);
        }
        let trailer = tar::trailer(self.written_bytes);
        self.put(&trailer).map_err(ArchiveError::Write)?;
        Ok(self.report)
    }
}
