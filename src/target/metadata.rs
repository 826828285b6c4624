//! Gives an object the metadata of a tree entry.
//!
//! Invariant: owner, then extended attributes, then mode, then time, as each may undo the ones
//! after it; and setuid or setgid only where the owner and group are the wanted ones. What the
//! system did not keep is returned, whether it refused or only pretended.

use std::fmt;
use std::io;

use crate::base::time::FileTime;
use crate::format::tree::Metadata;
use crate::os::xattr::{ACL_ACCESS, ACL_DEFAULT, is_kept};
use crate::os::{FileIdentity, Object, Status, Xattrs};

/// Setuid and setgid.
const SPECIAL_BITS: u16 = 0o6000;

/// The metadata that an object is to get, and the loaded values of its extended attributes.
#[derive(Debug, Clone, Copy)]
pub struct WantedMetadata<'a> {
    /// Owner, group, mode and time; its extended attributes are not looked at.
    pub metadata: &'a Metadata,
    /// Names and values.
    pub xattrs: &'a [(&'a [u8], &'a [u8])],
}

/// A part of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Aspect {
    /// The owner.
    Owner,
    /// The group.
    Group,
    /// Setuid or setgid.
    SpecialBits,
    /// The other permission bits.
    Mode,
    /// The time of last modification.
    Mtime,
    /// An ACL.
    Acl,
    /// Another extended attribute.
    Xattr,
}

impl Aspect {
    /// The word for it, as in messages and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Group => "group",
            Self::SpecialBits => "setuid/setgid",
            Self::Mode => "mode",
            Self::Mtime => "mtime",
            Self::Acl => "acl",
            Self::Xattr => "xattr",
        }
    }

    fn of_xattr(name: &[u8]) -> Self {
        if name == ACL_ACCESS || name == ACL_DEFAULT { Self::Acl } else { Self::Xattr }
    }
}

/// Something of the metadata that the system did not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotKept {
    /// What.
    pub what: Aspect,
    /// What was wanted, what is, and why, on one line.
    pub detail: String,
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not kept: {}", self.what.word(), self.detail)
    }
}

/// What an object has, or is thought to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: Option<u16>,
    pub(super) mtime: Option<FileTime>,
}

impl From<&Status> for Held {
    fn from(status: &Status) -> Self {
        let (mode, mtime) = (Some(status.mode), Some(status.mtime));
        Self { uid: status.uid, gid: status.gid, mode, mtime }
    }
}

/// An object that is to get metadata.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'fd> {
    pub(super) object: Object<'fd>,
    /// What a new object should have; asked of the system if absent.
    pub(super) held: Option<Held>,
    /// Whether it is a symbolic link, whose mode nothing can set.
    pub(super) is_link: bool,
    /// Whether it has no extended attributes yet.
    pub(super) bare: bool,
    pub(super) as_root: bool,
}

/// What came of [`Subject::apply`].
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) identity: FileIdentity,
    pub(super) not_kept: Vec<NotKept>,
}

impl Subject<'_> {
    /// Sets what differs, then looks at what the system made of it.
    pub(super) fn apply(&self, wanted: &WantedMetadata<'_>) -> io::Result<Applied> {
        let special = wanted.metadata.mode & SPECIAL_BITS != 0;
        let mut held = match self.held {
            Some(held) if !special => held,
            _ => Held::from(&self.object.status()?),
        };
        let mut attempt = Attempt::new(self, wanted);
        attempt.run(&mut held)?;
        let mut status = self.object.status()?;
        let believed = (held.uid, held.gid, held.mode);
        if !self.is_link && believed != (status.uid, status.gid, Some(status.mode)) {
            // A new object got something from its directory, or a call changed more than asked.
            attempt = Attempt::new(self, wanted);
            attempt.run(&mut Held::from(&status))?;
            status = self.object.status()?;
        }
        let not_kept = attempt.report(&status);
        Ok(Applied { identity: status.identity(), not_kept })
    }
}

/// One pass over the metadata of an object, and what failed in it.
struct Attempt<'a> {
    subject: &'a Subject<'a>,
    wanted: &'a WantedMetadata<'a>,
    failed_owner: Option<io::Error>,
    failed_mode: Option<io::Error>,
    failed_mtime: Option<io::Error>,
    xattrs: Vec<NotKept>,
}

impl<'a> Attempt<'a> {
    fn new(subject: &'a Subject<'a>, wanted: &'a WantedMetadata<'a>) -> Self {
        let (failed_owner, failed_mode, failed_mtime) = (None, None, None);
        Self { subject, wanted, failed_owner, failed_mode, failed_mtime, xattrs: Vec::new() }
    }

    fn run(&mut self, held: &mut Held) -> io::Result<()> {
        self.set_owner(held)?;
        self.set_xattrs(held);
        self.set_mode(held);
        self.set_mtime(held);
        Ok(())
    }

    fn set_owner(&mut self, held: &mut Held) -> io::Result<()> {
        let wanted = self.wanted.metadata;
        let uid = (wanted.uid != held.uid).then_some(wanted.uid);
        let gid = (wanted.gid != held.gid).then_some(wanted.gid);
        if uid.is_none() && gid.is_none() {
            return Ok(());
        }
        let object = self.subject.object;
        match object.set_owner(uid, gid) {
            Ok(()) => (held.uid, held.gid) = (wanted.uid, wanted.gid),
            Err(error) => {
                // A user may not give files away, but to another group of theirs.
                if uid.is_some() && gid.is_some() && object.set_owner(None, gid).is_ok() {
                    held.gid = wanted.gid;
                }
                self.failed_owner = Some(error);
            }
        }
        // A change of owner takes these bits away; and a file system that only pretended to
        // change it must not get them.
        let had_special = held.mode.is_none_or(|mode| mode & SPECIAL_BITS != 0);
        if had_special || wanted.mode & SPECIAL_BITS != 0 {
            let status = object.status()?;
            *held = Held { mtime: held.mtime, ..Held::from(&status) };
        }
        Ok(())
    }

    fn set_xattrs(&mut self, held: &mut Held) {
        let object = self.subject.object;
        let present = if self.subject.bare { Ok(Xattrs::new()) } else { object.xattrs() };
        let present = present.unwrap_or_else(|error| {
            let detail = format!("cannot read what is there: {}", cause(&error));
            self.xattrs.push(NotKept { what: Aspect::Xattr, detail });
            Xattrs::new()
        });
        for (name, _) in &present {
            let is_wanted = self.wanted.xattrs.iter().any(|(wanted, _)| **wanted == **name);
            if !is_wanted && !is_label(name) && self.may_set(name) {
                let removed = object.remove_xattr(name);
                self.note_xattr(held, name, "cannot remove", removed);
            }
        }
        for (name, value) in self.wanted.xattrs {
            let has = |(n, v): &(Box<[u8]>, Vec<u8>)| **n == **name && v == value;
            if present.iter().any(has) {
                continue;
            }
            let set = if self.may_set(name) {
                object.set_xattr(name, value)
            } else {
                Err(rustix::io::Errno::PERM.into())
            };
            self.note_xattr(held, name, "cannot set", set);
        }
    }

    fn note_xattr(&mut self, held: &mut Held, name: &[u8], what: &str, result: io::Result<()>) {
        match result {
            // An ACL and the mode share bits.
            Ok(()) if name == ACL_ACCESS => held.mode = None,
            Ok(()) => {}
            Err(error) => {
                let name_text = super::location::printable(name);
                let detail = format!("{what} {name_text}: {}", cause(&error));
                self.xattrs.push(NotKept { what: Aspect::of_xattr(name), detail });
            }
        }
    }

    /// Whether to try at all: not outside the namespaces of trees, some only as root.
    fn may_set(&self, name: &[u8]) -> bool {
        let for_root = name.starts_with(b"trusted.") || name.starts_with(b"security.");
        is_kept(name) && (self.subject.as_root || !for_root)
    }

    fn set_mode(&mut self, held: &mut Held) {
        let wanted = self.wanted.metadata;
        let mut mode = wanted.mode;
        if held.uid != wanted.uid || held.gid != wanted.gid {
            mode &= !SPECIAL_BITS;
        }
        if held.mode == Some(mode) || self.subject.is_link {
            return;
        }
        match self.subject.object.set_mode(mode) {
            Ok(()) => held.mode = Some(mode),
            Err(error) => self.failed_mode = Some(error),
        }
    }

    fn set_mtime(&mut self, held: &mut Held) {
        let mtime = self.wanted.metadata.mtime;
        if held.mtime != Some(mtime) {
            match self.subject.object.set_mtime(mtime) {
                Ok(()) => held.mtime = Some(mtime),
                Err(error) => self.failed_mtime = Some(error),
            }
        }
    }

    /// What of the wanted metadata `status` lacks.
    fn report(mut self, status: &Status) -> Vec<NotKept> {
        let wanted = self.wanted.metadata;
        let mut all = Vec::new();
        let mut note = |what, wanted: String, is: String, error: Option<&io::Error>| {
            let why = error.map_or(String::new(), |error| format!(": {}", cause(error)));
            all.push(NotKept { what, detail: format!("wanted {wanted}, is {is}{why}") });
        };
        let owner = self.failed_owner.as_ref();
        if status.uid != wanted.uid {
            note(Aspect::Owner, wanted.uid.to_string(), status.uid.to_string(), owner);
        }
        if status.gid != wanted.gid {
            note(Aspect::Group, wanted.gid.to_string(), status.gid.to_string(), owner);
        }
        let mode = (format!("{:04o}", wanted.mode), format!("{:04o}", status.mode));
        if (status.mode ^ wanted.mode) & !SPECIAL_BITS != 0 {
            note(Aspect::Mode, mode.0, mode.1, self.failed_mode.as_ref());
        } else if status.mode != wanted.mode {
            note(Aspect::SpecialBits, mode.0, mode.1, self.failed_mode.as_ref());
        }
        if status.mtime != wanted.mtime {
            let mtime = (wanted.mtime.to_string(), status.mtime.to_string());
            note(Aspect::Mtime, mtime.0, mtime.1, self.failed_mtime.as_ref());
        }
        all.append(&mut self.xattrs);
        all
    }
}

/// Whether a security module labels objects with it: not a user's, and never removed.
fn is_label(name: &[u8]) -> bool {
    let labels: [&[u8]; 5] = [
        b"security.selinux",
        b"security.SMACK64",
        b"security.apparmor",
        b"security.ima",
        b"security.evm",
    ];
    labels.iter().any(|label| name.starts_with(label))
}

fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests;
