//! Extended attributes, ACLs included.
//!
//! Invariant: only the namespaces that a tree may hold are read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    Mode, OFlags, XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr, listxattr,
    openat, removexattr, setxattr,
};
use rustix::io::Errno;

use super::object::{Object, proc_path};
use crate::base::limits::{XATTR_VALUE_BYTES_MAX, XATTRS_MAX};

/// Names and values, sorted by name.
pub type Xattrs = Vec<(Box<[u8]>, Vec<u8>)>;

/// The access ACL of an object.
pub const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// The ACL that new objects in a directory get.
pub const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

// Most bytes that the kernel gives for a list of names (`XATTR_LIST_MAX`).
const LIST_BYTES_MAX: usize = 64 << 10;
// Lists and values that fit here cost one call and no allocation.
const STACK_BYTES: usize = 1 << 10;

/// Whether attributes of this name belong in a tree.
pub fn is_kept(name: &[u8]) -> bool {
    let spaces: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    spaces.iter().any(|space| name.starts_with(space)) || name == ACL_ACCESS || name == ACL_DEFAULT
}

/// The extended attributes of an open file or directory.
///
/// Costs one system call where there are none, which is the common case. A file system without
/// extended attributes has none; an attribute that vanishes meanwhile is left out.
///
/// # Errors
///
/// What `flistxattr` and `fgetxattr` report; `InvalidData` for more attributes than a tree holds.
pub fn read_xattrs(object: impl AsFd) -> io::Result<Xattrs> {
    Object::Open(object.as_fd()).xattrs()
}

/// The extended attributes of what stands under `name` in `directory`, a symbolic link itself
/// included.
///
/// # Errors
///
/// As [`read_xattrs`]; also where `/proc` is not mounted.
pub fn read_xattrs_at(directory: impl AsFd, name: &[u8]) -> io::Result<Xattrs> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let object = openat(directory, name, flags, Mode::empty())?;
    Object::Path(object.as_fd()).xattrs()
}

impl Object<'_> {
    /// The extended attributes of the object; see [`read_xattrs`].
    ///
    /// # Errors
    ///
    /// As [`read_xattrs`].
    pub fn xattrs(self) -> io::Result<Xattrs> {
        let mut stack = [0; STACK_BYTES];
        match self.list(&mut stack) {
            Ok(0) | Err(Errno::NOTSUP) => Ok(Vec::new()),
            Ok(length) => self.values(&stack[..length]),
            Err(Errno::RANGE) => {
                let mut heap = vec![0; LIST_BYTES_MAX];
                let length = self.list(&mut heap)?;
                self.values(&heap[..length])
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One attribute, or `None` if the object has none of this name.
    ///
    /// # Errors
    ///
    /// What `fgetxattr` reports.
    pub fn xattr(self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut stack = [0; STACK_BYTES];
        match self.get(name, &mut stack) {
            Ok(length) => Ok(Some(stack[..length].to_vec())),
            // No value is longer than this buffer, so it cannot outgrow it either.
            Err(Errno::RANGE) => {
                let mut heap = vec![0; XATTR_VALUE_BYTES_MAX];
                match self.get(name, &mut heap) {
                    Ok(length) => {
                        heap.truncate(length);
                        Ok(Some(heap))
                    }
                    Err(Errno::NODATA) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets one attribute, whether it exists or not.
    ///
    /// # Errors
    ///
    /// What `fsetxattr` reports.
    pub fn set_xattr(self, name: &[u8], value: &[u8]) -> io::Result<()> {
        match self {
            Self::Open(fd) => fsetxattr(fd, name, value, XattrFlags::empty())?,
            Self::Path(fd) => setxattr(proc_path(fd), name, value, XattrFlags::empty())?,
        }
        Ok(())
    }

    /// Removes one attribute; one that is not there is removed already.
    ///
    /// # Errors
    ///
    /// What `fremovexattr` reports.
    pub fn remove_xattr(self, name: &[u8]) -> io::Result<()> {
        let removed = match self {
            Self::Open(fd) => fremovexattr(fd, name),
            Self::Path(fd) => removexattr(proc_path(fd), name),
        };
        match removed {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn values(self, list: &[u8]) -> io::Result<Xattrs> {
        let mut xattrs = Xattrs::new();
        for name in list.split(|byte| *byte == 0).filter(|name| is_kept(name)) {
            if let Some(value) = self.xattr(name)? {
                xattrs.push((name.into(), value));
            }
        }
        if xattrs.len() > XATTRS_MAX {
            let text = "more extended attributes than a backup holds";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        xattrs.sort_unstable();
        Ok(xattrs)
    }

    fn list(self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Open(fd) => flistxattr(fd, buffer),
            Self::Path(fd) => listxattr(proc_path(fd), buffer),
        }
    }

    fn get(self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Open(fd) => fgetxattr(fd, name, buffer),
            Self::Path(fd) => getxattr(proc_path(fd), name, buffer),
        }
    }
}

/// Whether new objects in this directory get an ACL that nobody asked for.
pub(crate) fn has_default_acl(directory: BorrowedFd<'_>) -> bool {
    // An empty buffer asks for the length alone.
    rustix::fs::fgetxattr_query(directory, ACL_DEFAULT).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::symlinkat;
    use std::fs::File;

    // Where the file system of temporary files keeps none, there is nothing to test.
    fn keeps_xattrs(object: Object<'_>) -> bool {
        object.set_xattr(b"user.probe", b"").is_ok() && object.remove_xattr(b"user.probe").is_ok()
    }

    #[test]
    fn attributes_come_back_sorted_whatever_their_size() {
        let file = tempfile::tempfile().unwrap();
        let object = Object::Open(file.as_fd());
        if !keeps_xattrs(object) {
            return;
        }
        assert_eq!(read_xattrs(&file).unwrap(), vec![]);
        object.set_xattr(b"user.z", &[7; 2000]).unwrap();
        object.set_xattr(b"user.a", b"").unwrap();
        let names: Vec<Vec<u8>> =
            (0..40).map(|n| format!("user.m{n:02}{}", "n".repeat(40)).into_bytes()).collect();
        for name in &names {
            // File systems bound the sum; enough must fit to outgrow the buffer on the stack.
            if object.set_xattr(name, b"1").is_err() {
                break;
            }
        }
        let read = read_xattrs(&file).unwrap();
        assert!(read.is_sorted() && read.len() > 20, "{}", read.len());
        assert_eq!(read.first(), Some(&(b"user.a"[..].into(), vec![])));
        assert_eq!(read.last(), Some(&(b"user.z"[..].into(), vec![7; 2000])));
        object.remove_xattr(b"user.z").unwrap();
        object.remove_xattr(b"user.z").unwrap();
        assert_eq!(object.xattr(b"user.z").unwrap(), None);
    }

    #[test]
    fn links_are_asked_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        let file = File::create_new(folder.path().join("file")).unwrap();
        symlinkat(c"file", &directory, c"link").unwrap();
        if !keeps_xattrs(Object::Open(file.as_fd())) {
            return;
        }
        Object::Open(file.as_fd()).set_xattr(b"user.of", b"file").unwrap();
        assert_eq!(read_xattrs_at(&directory, b"link").unwrap(), vec![]);
        assert_eq!(read_xattrs_at(&directory, b"file").unwrap().len(), 1);
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let link = openat(&directory, c"link", flags, Mode::empty()).unwrap();
        let link = Object::Path(link.as_fd());
        if rustix::process::geteuid().is_root() && link.set_xattr(b"trusted.of", b"link").is_ok() {
            let expected = (b"trusted.of"[..].into(), b"link".to_vec());
            assert_eq!(read_xattrs_at(&directory, b"link").unwrap(), vec![expected]);
        }
    }

    #[test]
    fn only_namespaces_of_trees_are_kept() {
        for name in [&b"user.a"[..], b"trusted.a", b"security.capability", ACL_ACCESS, ACL_DEFAULT]
        {
            assert!(is_kept(name));
        }
        for name in [&b""[..], b"user", b"system.nfs4_acl", b"system.posix_acl_access2", b"btrfs.x"]
        {
            assert!(!is_kept(name));
        }
    }
}
