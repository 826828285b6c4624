//! Why something could not be written to a target.
//!
//! Invariant: each names the path it is about, below the target as the user named it.

use std::io;

/// What went wrong in a target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A directory is needed where something else stands, such as a symbolic link.
    #[error("not a directory: {path}")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// Nothing stands there.
    #[error("no such file or directory: {path}")]
    Missing {
        /// The path.
        path: String,
    },
    /// A name or path that could lead elsewhere, or that the kernel cannot take: empty, absolute,
    /// `..`, with NUL, too long.
    #[error("unsafe path: {path}")]
    UnsafePath {
        /// The path.
        path: String,
    },
    /// Something stands there, and may not or cannot be replaced.
    #[error("something else stands at {path}")]
    Occupied {
        /// The path.
        path: String,
    },
    /// Something of another type was expected.
    #[error("not a {wanted}: {path}")]
    WrongKind {
        /// The path.
        path: String,
        /// What was expected.
        wanted: &'static str,
    },
    /// Somebody put something else there meanwhile.
    #[error("replaced while it was worked on: {path}")]
    Replaced {
        /// The path.
        path: String,
    },
    /// Another file system is mounted there, so it is not removed.
    #[error("mounted file system at {path}")]
    MountPoint {
        /// The path.
        path: String,
    },
    /// The file system is full, or a quota is used up.
    #[error("no space for {path}")]
    NoSpace {
        /// The path.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The storage below the file system failed.
    #[error("storage failed at {path}")]
    Faulty {
        /// The path.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The user may not do that.
    #[error("not permitted to {doing} {path}")]
    Denied {
        /// What was tried.
        doing: &'static str,
        /// The path.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Any other failure.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The path.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
}
