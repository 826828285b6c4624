//! Why a backend could not do what it was asked.

/// An operation of a backend failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The file is not there.
    #[error("{name} is missing")]
    Missing {
        /// The file.
        name: String,
    },
    /// What stands under the name is no regular file, or shorter or longer than it should be.
    #[error("{name} is damaged: {what}")]
    Damaged {
        /// The file.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No space, no quota or no inodes are left.
    #[error("no space left to write {name}")]
    NoSpace {
        /// The file.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The session was fenced by a prune: nothing may be published on its behalf any more.
    #[error("the session was fenced by a prune")]
    Fenced,
    /// The session that this one leans on is over: nothing may be published any more.
    #[error("the session that this pipeline runs in has ended: run it again")]
    SessionEnded,
    /// The system refused.
    #[error("cannot {action} {name}")]
    Io {
        /// What was tried: `read`, `write`, `sync`, …
        action: &'static str,
        /// The file.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl BackendError {
    pub(super) fn io(action: &'static str, name: &str, error: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        let name = name.to_owned();
        match error {
            Errno::NOENT => Self::Missing { name },
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace { name, source: error.into() },
            Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO => Self::Damaged {
                name,
                what: "not a regular file, or below something that is no directory",
            },
            _ => Self::Io { action, name, source: error.into() },
        }
    }

    /// Whether the reason is that the file is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// Whether there is no space to write.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// Whether the repository may not be written to by this user or on this medium.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(
            source.kind(),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
        ))
    }
}
