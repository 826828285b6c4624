//! A file system in memory that does what a test says at the moment it is asked: the only way to have a
//! race come out the same every time, and times as coarse as on a memory stick.
//!
//! Invariant: nothing is cached by the kernel, so each question reaches the script.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEntry, ReplyOpen, Request,
};

const ROOT: u64 = 1;

/// What stands under a name.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) kind: FileType,
    pub(crate) bytes: Vec<u8>,
    /// Times of last modification and of last change, in seconds.
    pub(crate) seconds: i64,
    parent: u64,
    name: String,
}

/// Everything there is, by inode number; and the highest number that was ever given.
#[derive(Debug, Default)]
pub(crate) struct Things(BTreeMap<u64, Thing>, u64);

/// A question of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'n> {
    /// What stands under this name: before each `statx` and `openat`.
    Lookup(&'n str),
    Open(&'n str),
    /// For bytes from this place on.
    Read(&'n str, u64),
    /// For the names in a directory.
    List(&'n str),
}

/// Told of each question before it is answered; changes things, or has it answered with an error.
pub(crate) type Script = Box<dyn FnMut(&mut Things, Asked<'_>) -> Option<Errno> + Send>;

impl Things {
    fn find(&self, parent: u64, name: &str) -> Option<u64> {
        let named = |thing: &Thing| thing.parent == parent && thing.name == name;
        self.0.iter().find(|(ino, thing)| **ino != ROOT && named(thing)).map(|(ino, _)| *ino)
    }

    fn at(&self, path: &str) -> Option<u64> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(ROOT, |at, name| self.find(at, name))
    }

    /// Puts something new under a path, in place of what stood there.
    pub(crate) fn put(&mut self, path: &str, kind: FileType, bytes: &[u8], seconds: i64) {
        self.remove(path);
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.at(above).expect("a directory");
        self.1 += 1;
        let thing = Thing { kind, bytes: bytes.to_vec(), seconds, parent, name: name.to_owned() };
        self.0.insert(self.1, thing);
    }

    /// Takes away what stands under a path.
    pub(crate) fn remove(&mut self, path: &str) {
        if let Some(ino) = self.at(path) {
            self.0.remove(&ino);
        }
    }

    /// What stands under a path.
    pub(crate) fn thing(&mut self, path: &str) -> &mut Thing {
        let ino = self.at(path).expect(path);
        self.0.get_mut(&ino).expect(path)
    }

    /// Gives a name to what stands under another.
    pub(crate) fn rename(&mut self, path: &str, name: &str) {
        name.clone_into(&mut self.thing(path).name);
    }

    fn attributes(&self, ino: u64) -> Option<FileAttr> {
        let thing = self.0.get(&ino)?;
        let offset = Duration::from_secs(thing.seconds.unsigned_abs());
        let time = match thing.seconds < 0 {
            true => UNIX_EPOCH - offset,
            false => UNIX_EPOCH + offset,
        };
        let is_directory = thing.kind == FileType::Directory;
        Some(FileAttr {
            ino: INodeNo(ino),
            size: thing.bytes.len() as u64,
            blocks: (thing.bytes.len() as u64).div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: thing.kind,
            perm: if is_directory { 0o755 } else { 0o644 },
            nlink: 1,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            flags: 0,
            blksize: 512,
        })
    }
}

/// The seconds now, cut to even ones.
pub(crate) fn even_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now / 2 * 2).unwrap()
}

struct Inner {
    things: Mutex<Things>,
    script: Mutex<Script>,
}

/// The file system, as a test holds it. Dropped, it is unmounted.
pub(crate) struct Scripted {
    inner: Arc<Inner>,
    _mounted: BackgroundSession,
}

impl Scripted {
    /// Mounts an empty one; `None`, which is told, where that is not possible.
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        let root = Thing {
            kind: FileType::Directory,
            bytes: Vec::new(),
            seconds: 1_000_000_000,
            parent: 0,
            name: String::new(),
        };
        let things = Mutex::new(Things(BTreeMap::from([(ROOT, root)]), ROOT));
        let script: Script = Box::new(|_, _| None);
        let inner = Arc::new(Inner { things, script: Mutex::new(script) });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("scripted".into()), MountOption::RO];
        match fuser::spawn_mount(Answers(Arc::clone(&inner)), at, &config) {
            Ok(mounted) => Some(Self { inner, _mounted: mounted }),
            Err(error) => {
                skip(&format!("no FUSE here: {error}"));
                None
            }
        }
    }

    /// Everything there is, to be looked at and changed.
    pub(crate) fn things(&self) -> MutexGuard<'_, Things> {
        self.inner.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, this is what happens.
    pub(crate) fn play(
        &self,
        script: impl FnMut(&mut Things, Asked<'_>) -> Option<Errno> + Send + 'static,
    ) {
        *self.inner.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }
}

#[expect(clippy::print_stderr, reason = "whoever reads the test's output should know")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

struct Answers(Arc<Inner>);

impl Answers {
    fn things(&self) -> MutexGuard<'_, Things> {
        self.0.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, ino: INodeNo) -> String {
        self.things().0.get(&ino.0).map(|thing| thing.name.clone()).unwrap_or_default()
    }

    /// Lets the script happen; the error that it has in mind.
    fn ask(&self, asked: Asked<'_>) -> Result<(), Errno> {
        let mut script = self.0.script.lock().unwrap_or_else(PoisonError::into_inner);
        script(&mut self.things(), asked).map_or(Ok(()), Err)
    }
}

impl Filesystem for Answers {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_string_lossy();
        if let Err(error) = self.ask(Asked::Lookup(&name)) {
            return reply.error(error);
        }
        let things = self.things();
        let found = things.find(parent.0, &name).and_then(|ino| things.attributes(ino));
        match found {
            Some(attributes) => reply.entry(&Duration::ZERO, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.things().attributes(ino.0) {
            Some(attributes) => reply.attr(&Duration::ZERO, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.things().0.get(&ino.0) {
            Some(thing) => reply.data(&thing.bytes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.ask(Asked::Open(&self.name(ino))) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if let Err(error) = self.ask(Asked::Read(&self.name(ino), offset)) {
            return reply.error(error);
        }
        let things = self.things();
        let bytes = things.0.get(&ino.0).map_or(&[][..], |thing| &thing.bytes);
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        let end = (start + size as usize).min(bytes.len());
        reply.data(&bytes[start..end]);
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if offset == 0
            && let Err(error) = self.ask(Asked::List(&self.name(ino)))
        {
            return reply.error(error);
        }
        let things = self.things();
        let below = things.0.iter().filter(|(_, thing)| thing.parent == ino.0);
        for (number, (below, thing)) in below.enumerate().skip(usize::try_from(offset).unwrap()) {
            if reply.add(INodeNo(*below), number as u64 + 1, thing.kind, &thing.name) {
                break;
            }
        }
        reply.ok();
    }
}
