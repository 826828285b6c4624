//! Symbolic links, FIFOs, sockets and devices.
//!
//! Invariant: they get their metadata through a descriptor that is known to hold what was just
//! made, so that nothing put in its place is given away.

use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, OFlags, makedev, mknodat, openat, symlinkat};

use super::directory::TargetDirectory;
use super::error::TargetError;
use super::metadata::{Held, NotKept, Subject, WantedMetadata};
use super::temporary::{Overwrite, Temporary};
use crate::base::limits::LINK_TARGET_BYTES_MAX;
use crate::format::tree::Node;
use crate::os::{FileKind, Object};

/// What has neither content nor entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialNode {
    /// A named pipe.
    Fifo,
    /// A socket, which nobody listens on.
    Socket,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

impl SpecialNode {
    /// The special node that a tree holds, or `None` for files, directories and symbolic links.
    pub fn from_node(node: &Node) -> Option<Self> {
        match *node {
            Node::Directory { .. } | Node::File { .. } | Node::Symlink { .. } => None,
            Node::Fifo => Some(Self::Fifo),
            Node::Socket => Some(Self::Socket),
            Node::CharDevice { major, minor } => Some(Self::CharDevice { major, minor }),
            Node::BlockDevice { major, minor } => Some(Self::BlockDevice { major, minor }),
        }
    }

    /// Whether it is a device, which only root makes.
    pub fn is_device(self) -> bool {
        matches!(self, Self::CharDevice { .. } | Self::BlockDevice { .. })
    }

    fn parts(self) -> (FileType, FileKind, (u32, u32)) {
        match self {
            Self::Fifo => (FileType::Fifo, FileKind::Fifo, (0, 0)),
            Self::Socket => (FileType::Socket, FileKind::Socket, (0, 0)),
            Self::CharDevice { major, minor } => {
                (FileType::CharacterDevice, FileKind::CharDevice, (major, minor))
            }
            Self::BlockDevice { major, minor } => {
                (FileType::BlockDevice, FileKind::BlockDevice, (major, minor))
            }
        }
    }
}

impl TargetDirectory {
    /// Makes the symbolic link `name`, which points to `target`, any bytes but NUL.
    ///
    /// # Errors
    ///
    /// [`TargetError::Occupied`] if something stands there that `overwrite` does not allow to
    /// replace; [`TargetError::UnsafePath`] if the target is empty, too long or has a NUL.
    pub fn symlink(
        &self,
        name: &[u8],
        target: &[u8],
        wanted: &WantedMetadata<'_>,
        overwrite: Overwrite,
    ) -> Result<Vec<NotKept>, TargetError> {
        if target.is_empty() || target.len() > LINK_TARGET_BYTES_MAX || target.contains(&0) {
            return Err(TargetError::UnsafePath { path: self.text(name) });
        }
        let (temporary, ()) =
            Temporary::make(self, name, |temporary| symlinkat(target, self, temporary))?;
        self.finish_node(temporary, (FileKind::Symlink, (0, 0)), wanted, overwrite)
    }

    /// Makes a FIFO, socket or device. Whether devices are to be made at all the caller decides.
    ///
    /// # Errors
    ///
    /// [`TargetError::Denied`] for a device without privilege; [`TargetError::Occupied`] if
    /// something stands there that `overwrite` does not allow to replace.
    pub fn make_node(
        &self,
        name: &[u8],
        node: SpecialNode,
        wanted: &WantedMetadata<'_>,
        overwrite: Overwrite,
    ) -> Result<Vec<NotKept>, TargetError> {
        let (file_type, kind, (major, minor)) = node.parts();
        let mode = Mode::RUSR | Mode::WUSR;
        let (temporary, ()) = Temporary::make(self, name, |temporary| {
            mknodat(self, temporary, file_type, mode, makedev(major, minor))
        })?;
        self.finish_node(temporary, (kind, (major, minor)), wanted, overwrite)
    }

    fn finish_node(
        &self,
        temporary: Temporary,
        made: (FileKind, (u32, u32)),
        wanted: &WantedMetadata<'_>,
        overwrite: Overwrite,
    ) -> Result<Vec<NotKept>, TargetError> {
        let failed = |error| temporary.error("create", error);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(self, temporary.current_name(), flags, Mode::empty());
        let opened = opened.map_err(|error| failed(error.into()))?;
        let object = Object::Path(opened.as_fd());
        let status = object.status().map_err(failed)?;
        // A hard link to somebody's device would have more names; a number that the kernel cuts
        // short would name another device.
        let found = (status.kind, (status.rdev_major, status.rdev_minor));
        if found != made || status.nlink != 1 {
            return Err(TargetError::Replaced { path: temporary.wanted_path() });
        }
        let is_link = status.kind == FileKind::Symlink;
        let bare = is_link || !self.gives_acls();
        let held = Some(Held::from(&status));
        let subject = Subject { held, is_link, bare, ..self.subject(object) };
        let applied = subject.apply(wanted).map_err(failed)?;
        temporary.publish(overwrite)?;
        Ok(applied.not_kept)
    }
}
