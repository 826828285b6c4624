//! Hard links to files made before.
//!
//! Invariant: what gets another name is the very object that was meant, not what stands under its
//! name by now.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, linkat};

use super::directory::TargetDirectory;
use super::error::TargetError;
use super::file::link_descriptor;
use super::temporary::{Overwrite, Temporary};
use crate::os::{FileIdentity, FileKind, status_at, status_of};

/// What gets another name.
#[derive(Debug, Clone, Copy)]
pub enum LinkSource<'a> {
    /// What an open or `O_PATH` descriptor holds.
    Descriptor(BorrowedFd<'a>),
    /// What stands under a name, if it still is the object it was.
    Name {
        /// The directory with the name.
        directory: &'a TargetDirectory,
        /// The name.
        name: &'a [u8],
        /// What must stand there.
        identity: FileIdentity,
    },
}

impl TargetDirectory {
    /// Makes `name` another name of `source`. Does nothing if it already is.
    ///
    /// # Errors
    ///
    /// [`TargetError::Replaced`] if something else than the source stands under the source's name
    /// by now; [`TargetError::Occupied`] if something stands at `name` that `overwrite` does not
    /// allow to replace.
    pub fn hard_link(
        &self,
        source: &LinkSource<'_>,
        name: &[u8],
        overwrite: Overwrite,
    ) -> Result<(), TargetError> {
        self.check(name)?;
        let identity = match *source {
            LinkSource::Descriptor(fd) => {
                status_of(fd).map_err(|error| self.error("link", name, error))?.identity()
            }
            LinkSource::Name { directory, name, identity } => {
                directory.check(name)?;
                identity
            }
        };
        if self.status(name)?.is_some_and(|status| status.identity() == identity) {
            return Ok(());
        }
        let (temporary, ()) = Temporary::make(self, name, |temporary| match *source {
            LinkSource::Descriptor(fd) => link_descriptor(fd, self, temporary.as_bytes()),
            LinkSource::Name { directory, name, .. } => {
                linkat(directory, name, self, temporary, AtFlags::empty())
            }
        })?;
        let linked = status_at(self, temporary.current_name());
        let linked = linked.map_err(|error| self.error("link", name, error))?;
        if linked.identity() != identity || linked.kind == FileKind::Directory {
            return Err(TargetError::Replaced { path: self.text(name) });
        }
        temporary.publish_link(overwrite)
    }
}
