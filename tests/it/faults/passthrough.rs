//! A file system over a real directory, in which each change may be made to fail.
//!
//! Invariant: nothing is kept here that the real directory does not have, and every change goes
//! through the injector; reading does not.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::injector::{Injector, Operation, Request, Share};
use super::nodes::{Nodes, Opened};

/// Nothing is remembered by the kernel, since the real directory is changed behind its back.
const AT_ONCE: Duration = Duration::ZERO;
const FIRST: Generation = Generation(0);

/// The file system.
#[derive(Debug)]
pub(super) struct Passthrough {
    nodes: Nodes,
    injector: Arc<Injector>,
    /// Whether `RENAME_NOREPLACE` is refused, as by file systems that do not know it.
    refuses_noreplace: Arc<AtomicBool>,
}

impl Passthrough {
    pub(super) fn new(
        real: &Path,
        injector: Arc<Injector>,
        refuses_noreplace: Arc<AtomicBool>,
    ) -> Result<Self, Errno> {
        Ok(Self { nodes: Nodes::new(real)?, injector, refuses_noreplace })
    }

    /// Does something with a name in a directory.
    fn perform_at<T>(
        &self,
        request: &fuser::Request,
        operation: Operation,
        name: &OsStr,
        act: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let name = name.to_string_lossy();
        let request = Request { caller: request.pid(), operation, inode: 0, name: &name };
        self.injector.perform(request, |_| act())
    }

    /// Does something with a file.
    fn perform_on<T>(
        &self,
        request: &fuser::Request,
        operation: Operation,
        inode: INodeNo,
        act: impl FnOnce(Share) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let caller = request.pid();
        let name = format!("inode {}", inode.0);
        self.injector.perform(Request { caller, operation, inode: inode.0, name: &name }, act)
    }

    fn attributes(&self, inode: INodeNo) -> Result<FileAttr, Errno> {
        Ok(attributes(&rustix::fs::fstat(self.nodes.place(inode.0)?)?))
    }
}

fn error(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

fn kind(kind: rustix::fs::FileType) -> FileType {
    match kind {
        rustix::fs::FileType::Directory => FileType::Directory,
        rustix::fs::FileType::Symlink => FileType::Symlink,
        _ => FileType::RegularFile,
    }
}

fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let since = Duration::new(seconds.max(0).unsigned_abs(), nanoseconds as u32);
    UNIX_EPOCH + since
}

fn attributes(stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(stat.st_ino),
        size: stat.st_size.unsigned_abs(),
        blocks: stat.st_blocks.unsigned_abs(),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: kind(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// Answers with what a block returns, or with its error.
macro_rules! answer {
    ($reply:ident, $done:expr, $value:pat => $answer:expr) => {
        match $done {
            Ok($value) => $answer,
            Err(errno) => $reply.error(error(errno)),
        }
    };
}

impl fuser::Filesystem for Passthrough {
    fn lookup(&self, _: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.nodes.look_up(parent.0, name);
        answer!(reply, found, stat => reply.entry(&AT_ONCE, &attributes(&stat), FIRST));
    }

    fn forget(&self, _: &fuser::Request, inode: INodeNo, lookups: u64) {
        self.nodes.forget(inode.0, lookups);
    }

    fn getattr(&self, _: &fuser::Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.attributes(inode), found => reply.attr(&AT_ONCE, &found));
    }

    fn setattr(
        &self,
        request: &fuser::Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // RunUp gives the files of a repository no owner and no times.
        let is_strange =
            uid.is_some() || gid.is_some() || size.is_none() && atime.or(mtime).is_some();
        let operation = if size.is_some() { Operation::Truncate } else { Operation::Attributes };
        let done = self.perform_on(request, operation, inode, |_| {
            if is_strange {
                return Err(Errno::NOSYS);
            }
            if let Some(size) = size {
                let file = self.nodes.reopen(inode.0, OFlags::WRONLY)?;
                rustix::fs::ftruncate(&file, size)?;
            }
            if let Some(mode) = mode {
                let file = self.nodes.reopen(inode.0, OFlags::RDONLY)?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
            }
            self.attributes(inode)
        });
        answer!(reply, done, found => reply.attr(&AT_ONCE, &found));
    }

    fn mkdir(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let done = self.perform_at(request, Operation::MakeDirectory, name, || {
            let place = self.nodes.place(parent.0)?;
            rustix::fs::mkdirat(&*place, name, Mode::from_raw_mode(mode & 0o7777))?;
            self.nodes.look_up(parent.0, name)
        });
        answer!(reply, done, stat => reply.entry(&AT_ONCE, &attributes(&stat), FIRST));
    }

    fn unlink(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.perform_at(request, Operation::Unlink, name, || {
            rustix::fs::unlinkat(&*self.nodes.place(parent.0)?, name, AtFlags::empty())
        });
        answer!(reply, done, () => reply.ok());
    }

    fn rmdir(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.perform_at(request, Operation::RemoveDirectory, name, || {
            rustix::fs::unlinkat(&*self.nodes.place(parent.0)?, name, AtFlags::REMOVEDIR)
        });
        answer!(reply, done, () => reply.ok());
    }

    fn rename(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() && self.refuses_noreplace.load(Ordering::Relaxed) {
            return reply.error(fuser::Errno::EINVAL);
        }
        let done = self.perform_at(request, Operation::Rename, name, || {
            let (from, to) = (self.nodes.place(parent.0)?, self.nodes.place(new_parent.0)?);
            let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
            rustix::fs::renameat_with(&*from, name, &*to, new_name, flags)
        });
        answer!(reply, done, () => reply.ok());
    }

    fn link(
        &self,
        request: &fuser::Request,
        inode: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        let done = self.perform_at(request, Operation::Link, new_name, || {
            let (file, to) = (self.nodes.place(inode.0)?, self.nodes.place(new_parent.0)?);
            rustix::fs::linkat(&*file, "", &*to, new_name, AtFlags::EMPTY_PATH)?;
            self.nodes.look_up(new_parent.0, new_name)
        });
        answer!(reply, done, stat => reply.entry(&AT_ONCE, &attributes(&stat), FIRST));
    }

    fn open(&self, _: &fuser::Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let access = OFlags::from_bits_retain(flags.0.cast_unsigned()) & OFlags::ACCMODE;
        let opened = self.nodes.reopen(inode.0, access);
        answer!(reply, opened, file => {
            let handle = self.nodes.keep(Opened::File(file));
            reply.opened(FileHandle(handle), FopenFlags::empty());
        });
    }

    fn create(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let done = self.perform_at(request, Operation::Create, name, || {
            let asked = OFlags::from_bits_retain(flags.cast_unsigned());
            let asked = asked & (OFlags::ACCMODE | OFlags::EXCL) | OFlags::CREATE | OFlags::CLOEXEC;
            let place = self.nodes.place(parent.0)?;
            let mode = Mode::from_raw_mode(mode & 0o7777);
            let file = rustix::fs::openat(&*place, name, asked | OFlags::NOFOLLOW, mode)?;
            Ok((self.nodes.look_up(parent.0, name)?, file))
        });
        answer!(reply, done, (stat, file) => {
            let handle = FileHandle(self.nodes.keep(Opened::File(file.into())));
            reply.created(&AT_ONCE, &attributes(&stat), FIRST, handle, FopenFlags::empty());
        });
    }

    fn read(
        &self,
        _: &fuser::Request,
        _inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.nodes.opened(handle.0).and_then(|opened| {
            let Opened::File(file) = &*opened else { return Err(Errno::ISDIR) };
            let mut bytes = vec![0; size as usize];
            let mut filled = 0;
            while filled < bytes.len() {
                match rustix::io::pread(file, &mut bytes[filled..], offset + filled as u64)? {
                    0 => break,
                    count => filled += count,
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        });
        answer!(reply, read, bytes => reply.data(&bytes));
    }

    fn write(
        &self,
        request: &fuser::Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let done = self.perform_on(request, Operation::Write, inode, |share| {
            let opened = self.nodes.opened(handle.0)?;
            let Opened::File(file) = &*opened else { return Err(Errno::ISDIR) };
            let count = if share == Share::Half { bytes.len().div_ceil(2) } else { bytes.len() };
            let written = file.write_all_at(&bytes[..count], offset);
            written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            Ok(count as u32)
        });
        answer!(reply, done, count => reply.written(count));
    }

    fn release(
        &self,
        _: &fuser::Request,
        _inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.nodes.close(handle.0);
        reply.ok();
    }

    // The machine under the tests does not lose its power, so there is nothing to flush.
    fn fsync(
        &self,
        request: &fuser::Request,
        inode: INodeNo,
        _handle: FileHandle,
        _is_data_only: bool,
        reply: ReplyEmpty,
    ) {
        let done = self.perform_on(request, Operation::Sync, inode, |_| Ok(()));
        answer!(reply, done, () => reply.ok());
    }

    fn fsyncdir(
        &self,
        request: &fuser::Request,
        inode: INodeNo,
        _handle: FileHandle,
        _is_data_only: bool,
        reply: ReplyEmpty,
    ) {
        let done = self.perform_on(request, Operation::SyncDirectory, inode, |_| Ok(()));
        answer!(reply, done, () => reply.ok());
    }

    fn opendir(&self, _: &fuser::Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let listed =
            self.nodes.reopen(inode.0, OFlags::RDONLY | OFlags::DIRECTORY).and_then(|file| {
                let entries = rustix::fs::Dir::read_from(file.as_fd())?;
                let entry = |entry: rustix::fs::DirEntry| {
                    (entry.ino(), entry.file_type(), entry.file_name().to_bytes().to_vec())
                };
                entries.map(|found| found.map(entry)).collect::<Result<Vec<_>, _>>()
            });
        answer!(reply, listed, listing => {
            let handle = self.nodes.keep(Opened::Listing(listing));
            reply.opened(FileHandle(handle), FopenFlags::empty());
        });
    }

    fn readdir(
        &self,
        _: &fuser::Request,
        _inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let opened = self.nodes.opened(handle.0);
        answer!(reply, opened, opened => {
            if let Opened::Listing(listing) = &*opened {
                for (number, entry) in listing.iter().enumerate().skip(offset as usize) {
                    let (inode, is, name) = entry;
                    let name = OsStr::from_bytes(name);
                    if reply.add(INodeNo(*inode), number as u64 + 1, kind(*is), name) {
                        break;
                    }
                }
            }
            reply.ok();
        });
    }

    fn releasedir(
        &self,
        _: &fuser::Request,
        _inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.nodes.close(handle.0);
        reply.ok();
    }
}
