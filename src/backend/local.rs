//! A repository in a local directory.
//!
//! Invariant: bytes are synced before they get a name, a name is synced before anything relies on
//! it, and no file is changed or truncated once it has its name. Order and reasons:
//! runup-repository(5), WRITE PROTOCOL.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::flush::{Failed, Flushes};
use super::lost;
use super::session::{self, LocalSession, TRIES, random_id};
use super::{Backend, BackendError, Created, Listed, Mapped, NewFile, RandomRead, Session};
use crate::base::time::FileTime;

/// Directories of every repository, made by [`Local::init`].
const DIRECTORIES: [&str; 10] = [
    "objects",
    "packs",
    "index",
    "jobs",
    "forgotten",
    "pruned",
    "sessions",
    "gc",
    "fenced",
    "refs",
];

/// Held shared while a name is published, and alone, once, by a prune when the sessions are over that
/// it has waited for.
const PUBLICATION_LOCK: &str = "publication.lock";
/// Held by the prune, or by whoever merges indexes.
const MAINTENANCE_LOCK: &str = "maintenance.lock";
/// Files of every repository that are empty.
const LOCKS: [&str; 2] = [PUBLICATION_LOCK, MAINTENANCE_LOCK];
/// Room for a prune of a full disk: enough for a generation that condemns a thousand packs.
const RESERVE: &str = "reserve";
/// Bytes of it.
const RESERVE_BYTES: usize = 128 << 10;
/// The session id of files that are written before there are sessions.
const NO_SESSION: &str = "init";

/// What a file system can do, found out by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Whether `renameat2` with `RENAME_NOREPLACE` works.
    pub exclusive_rename: bool,
}

/// A repository in a local directory.
#[derive(Debug, Clone)]
pub struct Local {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: OwnedFd,
    path: PathBuf,
    pub(super) exclusive_rename: bool,
    next_temporary: AtomicU64,
    flushes: Flushes,
    /// The session of somebody else without which nothing is published.
    leaned_on: OnceLock<String>,
}

impl Local {
    /// Opens the directory of a repository.
    ///
    /// `exclusive_rename` is what [`Local::probe`] found when the repository was made.
    ///
    /// # Errors
    ///
    /// There is no such directory, or it may not be read.
    pub fn open(path: &Path, exclusive_rename: bool) -> Result<Self, BackendError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name = path.to_string_lossy();
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|error| BackendError::io("open", &name, error))?;
        let shared = Shared {
            root,
            path: path.to_owned(),
            exclusive_rename,
            next_temporary: AtomicU64::new(0),
            flushes: Flushes::default(),
            leaned_on: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes the directories of a repository, durable on return. What exists is left as it is.
    ///
    /// # Errors
    ///
    /// The system refuses to make one.
    pub fn init(path: &Path) -> Result<Self, BackendError> {
        let io = |error| BackendError::io("create", &path.to_string_lossy(), error);
        let made = match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(io(error)),
        };
        if made {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let parent = parent.unwrap_or(Path::new("."));
            let parent = rustix::fs::openat(CWD, parent, flags, Mode::empty());
            parent.and_then(|parent| sync_open_directory(&parent)).map_err(|error| {
                BackendError::io("sync the parent of", &path.to_string_lossy(), error)
            })?;
        }
        let local = Self::open(path, true)?;
        for directory in DIRECTORIES.into_iter().chain(["tmp"]) {
            local.shared.make_directory(directory)?;
        }
        for lock in LOCKS {
            local.make_lock(lock)?;
        }
        local.shared.sync_directory("")?;
        Ok(local)
    }

    fn make_lock(&self, name: &str) -> Result<(), BackendError> {
        match self.shared.create_exclusively(name) {
            Err(BackendError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Finds out what the file system can do, with two files that it removes again.
    ///
    /// # Errors
    ///
    /// The directory cannot be written to.
    pub fn probe(&self) -> Result<Probe, BackendError> {
        let shared = &self.shared;
        // What is left of them where the program is killed is cleared away by a later session.
        let id = random_id()?;
        let (one, other) = (format!("tmp/{id}-1"), format!("tmp/{id}-2"));
        let renamed =
            shared.create_exclusively(&one).map(|_| self.rename_exclusively(&one, &other));
        let again = shared.create_exclusively(&one).map(|_| self.rename_exclusively(&one, &other));
        for name in [&one, &other] {
            self.remove(name)?;
        }
        // A taken name is refused before the file system is asked, so that alone tells nothing.
        let exclusive_rename = match renamed? {
            Ok(()) => match again? {
                Ok(()) => false,
                Err(Errno::EXIST) => true,
                Err(error) => return Err(shared.error("rename", &one, error)),
            },
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => false,
            Err(error) => return Err(shared.error("rename", &one, error)),
        };
        Ok(Probe { exclusive_rename })
    }

    fn rename_exclusively(&self, from: &str, to: &str) -> Result<(), Errno> {
        let root = &self.shared.root;
        rustix::fs::renameat_with(root, from, root, to, RenameFlags::NOREPLACE)
    }

    /// Whether a name is one that every repository has, made before its `config`.
    pub fn is_initial_name(name: &str) -> bool {
        let is_made = DIRECTORIES.contains(&name) || LOCKS.contains(&name);
        is_made || name == "tmp" || name == RESERVE
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Takes the room that is kept for a prune of a full disk, when the repository is made.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn reserve(&self) -> Result<(), BackendError> {
        write_reserve(|| self.create_alone())
    }

    /// Writes a small file and makes it and its name durable, unless the name exists.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> Result<Created, BackendError> {
        let mut file = self.create_alone()?;
        file.write(bytes)?;
        let created = file.publish(name)?;
        self.sync(directory_of(name))?;
        Ok(created)
    }

    /// Creates a file outside of any session. As long as it is open, it is locked; once the program is killed, a
    /// later session clears it away.
    pub(super) fn create_alone(&self) -> Result<Box<dyn NewFile>, BackendError> {
        let shared = &self.shared;
        for _ in 0..TRIES {
            let temporary = format!("tmp/{}-0", random_id()?);
            let file = shared.create_exclusively(&temporary)?;
            let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            // Somebody who clears away leftovers may have taken it before it was locked.
            if locked.is_ok() && self.length(&temporary)?.is_some() {
                let (shared, session) = (Arc::clone(shared), NO_SESSION.to_owned());
                return Ok(Box::new(LocalNewFile { shared, session, file, temporary }));
            }
            self.remove(&temporary)?;
        }
        Err(shared.error("create a file in", "tmp", Errno::AGAIN))
    }
}

/// Writes the reserve to a file that `create` makes.
fn write_reserve(
    create: impl FnOnce() -> Result<Box<dyn NewFile>, BackendError>,
) -> Result<(), BackendError> {
    let write = || {
        let mut file = create()?;
        file.write(&reserve_bytes())?;
        file.publish(RESERVE)
    };
    match write() {
        Err(error) if error.is_no_space() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// What fills the reserve: bytes that no file system stores in less room.
fn reserve_bytes() -> Vec<u8> {
    let mut noise = vec![0; RESERVE_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

impl Shared {
    pub(super) fn error(&self, action: &'static str, name: &str, error: Errno) -> BackendError {
        BackendError::io(action, &self.path.join(name).to_string_lossy(), error)
    }

    pub(super) fn make_directory(&self, name: &str) -> Result<(), BackendError> {
        match rustix::fs::mkdirat(&self.root, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {
                self.flushes.note(directory_of(name));
                Ok(())
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(self.error("create", name, error)),
        }
    }

    pub(super) fn create_exclusively(&self, name: &str) -> Result<File, BackendError> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let open = || rustix::fs::openat(&self.root, name, flags, Mode::from_raw_mode(0o600));
        let opened = match open() {
            Err(Errno::NOENT) => {
                self.make_directory(directory_of(name))?;
                open()
            }
            other => other,
        };
        opened.map(File::from).map_err(|error| self.error("create", name, error))
    }

    fn open_file(&self, name: &str) -> Result<File, BackendError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = rustix::fs::openat(&self.root, name, flags, Mode::empty())
            .map_err(|error| self.error("open", name, error))?;
        let stat = rustix::fs::fstat(&opened).map_err(|error| self.error("open", name, error))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            Ok(opened.into())
        } else {
            let name = self.path.join(name).to_string_lossy().into_owned();
            Err(BackendError::Damaged { name, what: "not a regular file" })
        }
    }

    /// Makes sure that this session may publish, and holds off a prune's last look meanwhile.
    ///
    /// A writer that was stopped between two calls may have been fenced in the meantime, and the
    /// session that it leans on may be over. A prune takes the lock alone once before it looks again,
    /// so either it sees the name that is published under the lock, or the writer sees that one of
    /// the two is gone.
    pub(super) fn lock_publication(&self, session: &str) -> Result<Option<File>, BackendError> {
        if session == NO_SESSION {
            return Ok(None);
        }
        let lock = self.open_file(PUBLICATION_LOCK)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockShared))
            .map_err(|error| self.error("lock", PUBLICATION_LOCK, error))?;
        if let Some(outer) = self.leaned_on.get()
            && !self.stands(outer)?
        {
            return Err(BackendError::SessionEnded);
        }
        if self.stands(session)? { Ok(Some(lock)) } else { Err(BackendError::Fenced) }
    }

    /// Whether a session is neither over nor fenced, as far as its name tells.
    pub(super) fn stands(&self, session: &str) -> Result<bool, BackendError> {
        let name = format!("sessions/{session}");
        match rustix::fs::statat(&self.root, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.error("look up", &name, error)),
        }
    }

    /// Moves a file to a name that must not exist.
    pub(super) fn rename_new(&self, from: &str, to: &str) -> Result<(), Errno> {
        if self.exclusive_rename {
            let no_replace = RenameFlags::NOREPLACE;
            return rustix::fs::renameat_with(&self.root, from, &self.root, to, no_replace);
        }
        rustix::fs::linkat(&self.root, from, &self.root, to, AtFlags::empty())?;
        rustix::fs::unlinkat(&self.root, from, AtFlags::empty())
    }

    fn flush(&self, directory: &str) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if directory.is_empty() { "." } else { directory };
        sync_open_directory(&rustix::fs::openat(&self.root, path, flags, Mode::empty())?)
    }

    /// Flushes directories, and before them what holds them, where names in these may not be durable.
    fn flush_noted(&self, directories: &[&str]) -> Result<(), Failed> {
        let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for directory in directories {
            below.entry(directory_of(directory)).or_default().push(directory);
        }
        // Those in the root are made with the repository.
        let holders = below.iter().filter(|(holder, _)| !holder.is_empty());
        for (holder, directories) in holders {
            self.flushes.anchor(directories, holder, || self.flush(holder))?;
        }
        let mut directories = directories.iter();
        directories.try_for_each(|name| self.flushes.flush_noted(name, || self.flush(name)))
    }

    fn not_flushed(&self, (directory, error): Failed) -> BackendError {
        self.error("sync", &directory, error)
    }

    pub(super) fn sync_directory(&self, name: &str) -> Result<(), BackendError> {
        self.flushes.flush(name, || self.flush(name)).map_err(|failed| self.not_flushed(failed))
    }
}

/// Makes the names in a directory durable.
fn sync_open_directory(directory: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fsync(directory)?;
    // XFS that is shut down, as it does by itself after an error, forgets what it has not written and
    // then finds nothing to flush. But it lets nobody look any more.
    rustix::fs::fstat(directory).map(drop)
}

/// The directory part of a name; empty for the root.
pub(super) fn directory_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn io_error(action: &'static str, name: String, source: std::io::Error) -> BackendError {
    match Errno::from_io_error(&source) {
        Some(errno) => BackendError::io(action, &name, errno),
        None => BackendError::Io { action, name, source },
    }
}

/// Opens a regular file that need not be in a repository.
///
/// # Errors
///
/// It is not there, not a regular file, or may not be read.
pub fn open_file(path: &Path) -> Result<Box<dyn RandomRead>, BackendError> {
    let name = path.to_string_lossy().into_owned();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|error| BackendError::io("open", &name, error))?;
    let file = File::from(opened);
    match file.metadata() {
        Ok(status) if status.is_file() => {
            Ok(Box::new(LocalFile { file, length: status.len(), name }))
        }
        Ok(_) => Err(BackendError::Damaged { name, what: "not a regular file" }),
        Err(error) => Err(io_error("open", name, error)),
    }
}

impl Backend for Local {
    fn describe(&self, name: &str) -> String {
        self.shared.path.join(name).to_string_lossy().into_owned()
    }

    fn read(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, BackendError> {
        use std::io::Read;
        let file = match self.shared.open_file(name) {
            Ok(file) => file,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        let read = file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| io_error("read", self.describe(name), error))?;
        if bytes.len() as u64 > limit_bytes {
            return Err(BackendError::Damaged { name: self.describe(name), what: "too long" });
        }
        Ok(Some(bytes))
    }

    fn open(&self, name: &str) -> Result<Box<dyn RandomRead>, BackendError> {
        let file = self.shared.open_file(name)?;
        let length =
            file.metadata().map_err(|error| io_error("open", self.describe(name), error))?;
        Ok(Box::new(LocalFile { file, length: length.len(), name: self.describe(name) }))
    }

    fn map(&self, name: &str) -> Result<Mapped, BackendError> {
        let file = self.shared.open_file(name)?;
        Mapped::file(&file).map_err(|error| io_error("map", self.describe(name), error))
    }

    fn list(&self, directory: &str) -> Result<Vec<Listed>, BackendError> {
        let shared = &self.shared;
        let failed = |error| shared.error("list", directory, error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if directory.is_empty() { "." } else { directory };
        let opened = match rustix::fs::openat(&shared.root, path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut listed = Vec::new();
        for entry in rustix::fs::Dir::read_from(&opened).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            // A name that vanished since it was listed is as if it had never been there.
            let stat = match rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(failed)?,
            };
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            listed.push(Listed {
                name: std::ffi::OsStr::from_bytes(name.to_bytes()).to_string_lossy().into_owned(),
                length_bytes: if is_directory { 0 } else { stat.st_size.cast_unsigned() },
                is_directory,
            });
        }
        listed.sort();
        Ok(listed)
    }

    fn changed(&self, directory: &str) -> Result<Option<FileTime>, BackendError> {
        match rustix::fs::statat(&self.shared.root, directory, AtFlags::SYMLINK_NOFOLLOW) {
            // Not the time of modification, which anybody may set.
            Ok(stat) => Ok(Some(FileTime {
                seconds: stat.st_ctime,
                nanoseconds: u32::try_from(stat.st_ctime_nsec).unwrap_or_default(),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.shared.error("look up", directory, error)),
        }
    }

    fn length(&self, name: &str) -> Result<Option<u64>, BackendError> {
        match rustix::fs::statat(&self.shared.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.st_size.cast_unsigned())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.shared.error("look up", name, error)),
        }
    }

    fn create(&self, session: &str) -> Result<Box<dyn NewFile>, BackendError> {
        let number = self.shared.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("tmp/{session}-{number}");
        let file = self.shared.create_exclusively(&temporary)?;
        let session = session.to_owned();
        Ok(Box::new(LocalNewFile { shared: Arc::clone(&self.shared), session, file, temporary }))
    }

    fn sync(&self, directory: &str) -> Result<(), BackendError> {
        let shared = &self.shared;
        // It holds the directories, so new ones are made durable with what they hold.
        let root = shared.flushes.flush_noted("", || shared.flush(""));
        let flushed = root.and_then(|()| shared.flush_noted(&[directory]));
        flushed.map_err(|failed| shared.not_flushed(failed))
    }

    fn note_unsynced(&self, directory: &str) {
        self.shared.flushes.note(directory);
    }

    fn sync_all(&self) -> Result<(), BackendError> {
        let shared = &self.shared;
        let noted = shared.flushes.noted();
        let noted: Vec<&str> = noted.iter().map(String::as_str).collect();
        let flushed = shared.flushes.check().and_then(|()| shared.flush_noted(&noted));
        flushed.map_err(|failed| shared.not_flushed(failed))
    }

    fn try_lock_maintenance(
        &self,
    ) -> Result<Option<Box<dyn std::fmt::Debug + Send>>, BackendError> {
        let file = self.shared.open_file(MAINTENANCE_LOCK)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(self.shared.error("lock", MAINTENANCE_LOCK, error)),
        }
    }

    fn remove(&self, name: &str) -> Result<(), BackendError> {
        match rustix::fs::unlinkat(&self.shared.root, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.shared.error("remove", name, error)),
        }
    }

    fn remove_empty_directory(&self, name: &str) -> Result<(), BackendError> {
        match rustix::fs::unlinkat(&self.shared.root, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(self.shared.error("remove", name, error)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), BackendError> {
        let shared = &self.shared;
        let mut renamed = shared.rename_new(from, to);
        // The file may be gone, or the directory of its new name not be there yet.
        if renamed == Err(Errno::NOENT) && self.length(from)?.is_some() {
            shared.make_directory(directory_of(to))?;
            renamed = shared.rename_new(from, to);
        }
        match renamed {
            Ok(()) => {}
            Err(Errno::EXIST) => self.remove(from)?,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(shared.error("rename", from, error)),
        }
        self.note_unsynced(directory_of(from));
        self.note_unsynced(directory_of(to));
        Ok(())
    }

    fn end_session(&self, session: &str, fences: bool) -> Result<bool, BackendError> {
        session::end(&self.shared, session, fences)
    }

    fn await_publications(&self) -> Result<(), BackendError> {
        let lock = self.shared.open_file(PUBLICATION_LOCK)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockExclusive))
            .map_err(|error| self.shared.error("lock", PUBLICATION_LOCK, error))
    }

    fn release_reserve(&self) -> Result<bool, BackendError> {
        let is_there = self.length(RESERVE)?.is_some();
        self.remove(RESERVE)?;
        Ok(is_there)
    }

    fn has_sound_reserve(&self) -> Result<bool, BackendError> {
        let has_length = self.length(RESERVE)? == Some(RESERVE_BYTES as u64);
        let read = || self.read(RESERVE, RESERVE_BYTES as u64);
        Ok(has_length && read()?.is_some_and(|bytes| bytes == reserve_bytes()))
    }

    fn restore_reserve(&self, session: &str) -> Result<(), BackendError> {
        match self.has_sound_reserve() {
            Ok(false) => self.remove(RESERVE)?,
            // What stands there instead is left for people to look at.
            Ok(true) | Err(BackendError::Damaged { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        write_reserve(|| self.create(session))
    }

    fn set_aside(&self, name: &str) -> Result<String, BackendError> {
        lost::set_aside(&self.shared, name)
    }

    fn make_missing(&self, name: &str) -> Result<bool, BackendError> {
        let listed = self.list("")?;
        let is_there = listed.iter().any(|listed| listed.name == name);
        match name {
            _ if is_there => return Ok(false),
            _ if DIRECTORIES.contains(&name) => self.shared.make_directory(name)?,
            _ if LOCKS.contains(&name) => self.make_lock(name)?,
            _ => return Ok(false),
        }
        self.shared.sync_directory("")?;
        Ok(true)
    }

    fn open_session(&self) -> Result<Box<dyn Session>, BackendError> {
        Ok(Box::new(LocalSession::open(&self.shared)?))
    }

    fn lean_on(&self, session: &str) {
        self.shared.leaned_on.get_or_init(|| session.to_owned());
    }
}

#[derive(Debug)]
struct LocalFile {
    file: File,
    length: u64,
    name: String,
}

impl RandomRead for LocalFile {
    fn length_bytes(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), BackendError> {
        let name = || self.name.clone();
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                BackendError::Damaged { name: name(), what: "cut short" }
            }
            _ => io_error("read", name(), error),
        })
    }

    fn will_need(&self, range: std::ops::Range<u64>) {
        let length = std::num::NonZeroU64::new(range.end.saturating_sub(range.start));
        // A hint: where it is refused, reading waits for the disk.
        let _hint =
            rustix::fs::fadvise(&self.file, range.start, length, rustix::fs::Advice::WillNeed);
    }
}

#[derive(Debug)]
struct LocalNewFile {
    shared: Arc<Shared>,
    session: String,
    file: File,
    temporary: String,
}

impl NewFile for LocalNewFile {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), BackendError> {
        while !bytes.is_empty() {
            match rustix::io::write(self.file.as_fd(), bytes) {
                Ok(0) => return Err(self.shared.error("write", &self.temporary, Errno::IO)),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.shared.error("write", &self.temporary, error)),
            }
        }
        Ok(())
    }

    fn publish(self: Box<Self>, name: &str) -> Result<Created, BackendError> {
        let shared = &self.shared;
        rustix::fs::fdatasync(&self.file)
            .map_err(|error| shared.error("sync", &self.temporary, error))?;
        let _lock = shared.lock_publication(&self.session)?;
        let mut renamed = shared.rename_new(&self.temporary, name);
        if renamed == Err(Errno::NOENT) {
            shared.make_directory(directory_of(name))?;
            renamed = shared.rename_new(&self.temporary, name);
        }
        match renamed {
            Ok(()) => {
                shared.flushes.note(directory_of(name));
                Ok(Created::New)
            }
            // Whoever was first may not have made the name durable yet.
            Err(Errno::EXIST) => {
                shared.flushes.note(directory_of(name));
                Ok(Created::Existed)
            }
            Err(error) => Err(shared.error("publish", name, error)),
        }
    }
}

impl Drop for LocalNewFile {
    fn drop(&mut self) {
        // Nobody refers to a temporary name; where it became a real one, this finds nothing. One
        // that cannot be removed is cleared away by a later session.
        let _ignored =
            rustix::fs::unlinkat(&self.shared.root, self.temporary.as_str(), AtFlags::empty());
    }
}
