//! Tar archives: members to headers and back, in the dialects of v7, ustar, pax and GNU.
//!
//! Invariant: a header that readers are known to take in different ways is an error, not a guess,
//! and no length in one is believed before it is compared with a bound.
//!
//! The `tar` crate was weighed and not taken: it reads no sparse files of pax archives, writes no
//! sparse files, holds extended headers of any length in memory, and lets malformed ones pass.
//!
//! Sources: POSIX.1-2017 (pax), the manual of GNU tar, appendix "Tar internals", and tar(5) of
//! libarchive.

pub mod acl;
mod block;
mod decode;
mod encode;
mod pax;
pub mod sparse;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, Decoder, Extension, MapPlace, Step};
pub use encode::{Format, encode, padding, trailer};
pub use sparse::Extent;

use crate::base::time::FileTime;

/// Bytes of a block: archives are made of nothing else.
pub const BLOCK_BYTES: usize = 512;
/// Blocks that are written and read together, unless something else is asked for.
pub const RECORD_BYTES: usize = 20 * BLOCK_BYTES;
/// Most bytes of one extended header, long name or long link target.
pub const EXTENSION_BYTES_MAX: u64 = 16 << 20;

/// One block.
pub type Block = [u8; BLOCK_BYTES];

/// Why a block or extended header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// It is not what any tar writes, or readers disagree about what it means.
    #[error("{0}")]
    Malformed(&'static str),
    /// It claims more than may be held.
    #[error("{0}")]
    OverLimit(&'static str),
    /// It needs something that is not known here.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// What an archive says of one path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// The path as it stands in the archive: any bytes but NUL.
    pub path: Vec<u8>,
    /// What stands there.
    pub kind: MemberKind,
    /// Permission bits with setuid, setgid and sticky, at most `0o7777`.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Name of the owner; empty if it is not told.
    pub user: Vec<u8>,
    /// Name of the group; empty if it is not told.
    pub group: Vec<u8>,
    /// Time of last modification.
    pub mtime: FileTime,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Box<[u8]>, Vec<u8>)>,
    /// ACLs as text, which some archives have beside or instead of the attributes.
    pub acls: AclTexts,
}

/// The ACLs of a member as text; empty if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AclTexts {
    /// The access ACL.
    pub access: Vec<u8>,
    /// The ACL that new objects in a directory get.
    pub default: Vec<u8>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MemberKind {
    /// A directory.
    #[default]
    Directory,
    /// A regular file.
    File {
        /// Bytes of the file.
        size_bytes: u64,
        /// The stretches that the archive holds, where it does not hold all.
        extents: Option<Vec<Extent>>,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Vec<u8>,
    },
    /// Another name of an earlier member.
    HardLink {
        /// The path of that member.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
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
    /// Something that is no file: its type flag.
    Other(u8),
}
