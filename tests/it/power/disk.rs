//! A disk that keeps a log: one file, in which a loop device can be, and all that was written to it.
//!
//! Invariant: the log has every write and flush in the order in which they reached the disk.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::mounts::Mounted;

const NAME: &str = "disk";
const ROOT: INodeNo = INodeNo(1);
const DISK: INodeNo = INodeNo(2);
const LONG: Duration = Duration::from_secs(3600);

/// What happened to the disk, or was said of it.
#[derive(Debug)]
pub(super) enum Event<T> {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// All that was written before stays after a power cut.
    Flush,
    /// Somebody was told something.
    Told(T),
}

type Log<T> = Arc<Mutex<Vec<Event<T>>>>;

fn events<T>(log: &Log<T>) -> MutexGuard<'_, Vec<Event<T>>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A disk while it is used.
pub(super) struct Disk<T> {
    log: Log<T>,
    image: PathBuf,
    // Unmounted first: that ends the session.
    _mounted: Mounted,
    _session: BackgroundSession,
}

impl<T: Send + 'static> Disk<T> {
    /// A disk that holds what is in a file, and changes it; its own file is below `at`.
    ///
    /// # Errors
    ///
    /// Why FUSE cannot be mounted.
    pub(super) fn new(image: &Path, at: &Path) -> Result<Self, String> {
        std::fs::create_dir(at).unwrap();
        let log = Log::default();
        let opened = File::options().read(true).write(true).open(image).unwrap();
        let size = opened.metadata().unwrap().len();
        let files = Files { image: opened, size, log: Arc::clone(&log) };
        let session = fuser::spawn_mount(files, at, &fuser::Config::default());
        let session = session.map_err(|error| format!("FUSE cannot be mounted: {error}"))?;
        let mounted = Mounted::adopt(at);
        Ok(Self { log, image: at.join(NAME), _mounted: mounted, _session: session })
    }

    /// The disk as a file.
    pub(super) fn path(&self) -> &Path {
        &self.image
    }

    /// Notes that somebody was told something.
    pub(super) fn tell(&self, told: T) {
        events(&self.log).push(Event::Told(told));
    }

    /// Ends the disk; its log.
    pub(super) fn into_log(self) -> Vec<Event<T>> {
        std::mem::take(&mut *events(&self.log))
    }
}

struct Files<T> {
    image: File,
    size: u64,
    log: Log<T>,
}

impl<T> Files<T> {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_disk = inode == DISK;
        FileAttr {
            ino: inode,
            size: if is_disk { self.size } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_disk { FileType::RegularFile } else { FileType::Directory },
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl<T: Send + 'static> fuser::Filesystem for Files<T> {
    fn lookup(&self, _: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&LONG, &self.attributes(DISK), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        debug_assert!(inode == ROOT || inode == DISK);
        reply.attr(&LONG, &self.attributes(inode));
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<std::time::SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<std::time::SystemTime>,
        _chgtime: Option<std::time::SystemTime>,
        _bkuptime: Option<std::time::SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // A disk does not grow; its times are nobody's business.
        if size.is_some() {
            reply.error(Errno::EINVAL);
        } else {
            reply.attr(&LONG, &self.attributes(inode));
        }
    }

    fn open(&self, _: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let end = offset.saturating_add(u64::from(size)).min(self.size);
        let mut bytes = vec![0; end.saturating_sub(offset) as usize];
        match self.image.read_exact_at(&mut bytes, offset) {
            Ok(()) => reply.data(&bytes),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        events(&self.log).push(Event::Write { offset, bytes: bytes.to_vec() });
        match self.image.write_all_at(bytes, offset) {
            Ok(()) => reply.written(bytes.len() as u32),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fsync(
        &self,
        _: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _is_data_only: bool,
        reply: ReplyEmpty,
    ) {
        events(&self.log).push(Event::Flush);
        reply.ok();
    }
}
