//! Sessions of a local repository: files that live as long as their owner holds their lock.
//!
//! Invariant: a session is never seen unlocked while its owner lives, so whoever finds one unlocked
//! knows that its owner is dead, and no clock or process table is asked.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::local::{Shared, directory_of};
use super::{BackendError, Published, Session};
use crate::base::id::hex;

/// Digits of the name of a session.
pub const SESSION_ID_DIGITS: usize = 32;
/// How often a file is made that somebody clears away before it is locked.
pub(super) const TRIES: usize = 8;

/// A session of this process.
#[derive(Debug)]
pub struct LocalSession {
    shared: Arc<Shared>,
    id: String,
    file: File,
    is_open: bool,
}

impl LocalSession {
    pub(super) fn open(shared: &Arc<Shared>) -> Result<Self, BackendError> {
        remove_leftovers(shared);
        let mut last = Errno::EXIST;
        for _ in 0..TRIES {
            let id = random_id()?;
            let (temporary, name) = (format!("tmp/{id}"), format!("sessions/{id}"));
            // Locked under a name that nobody takes for a session, then moved: so it is never seen
            // unlocked. Somebody who clears away leftovers may take it in between; then again.
            let file = shared.create_exclusively(&temporary)?;
            let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            match locked.and_then(|()| shared.rename_new(&temporary, &name)) {
                Ok(()) => {
                    return Ok(Self { shared: Arc::clone(shared), id, file, is_open: true });
                }
                Err(error) => last = error,
            }
            let _ignored = rustix::fs::unlinkat(&shared.root, temporary.as_str(), AtFlags::empty());
        }
        Err(shared.error("open a session in", "sessions", last))
    }

    fn name(&self) -> String {
        format!("sessions/{}", self.id)
    }

    /// Replaces what the file holds.
    fn write(&self, record: &[u8]) -> Result<(), BackendError> {
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(record, 0));
        written.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> BackendError {
        let name = self.name();
        match Errno::from_io_error(&source) {
            Some(errno) => self.shared.error("write", &name, errno),
            None => BackendError::Io { action: "write", name, source },
        }
    }
}

pub(super) fn random_id() -> Result<String, BackendError> {
    let mut bytes = [0; SESSION_ID_DIGITS / 2];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(count) if count == bytes.len() => Ok(hex(&bytes)),
        Ok(_) => Err(BackendError::io("read", "random bytes", Errno::IO)),
        Err(error) => Err(BackendError::io("read", "random bytes", error)),
    }
}

/// The file under this name, locked, if its owner is dead.
fn lock_of_dead(shared: &Shared, name: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::openat(&shared.root, name, flags, Mode::empty()).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// Whether a session is over; see [`Backend::end_session`](super::Backend::end_session).
pub(super) fn end(shared: &Shared, session: &str, fences: bool) -> Result<bool, BackendError> {
    let name = format!("sessions/{session}");
    if !shared.stands(session)? {
        return Ok(true);
    }
    if let Some(_locked) = lock_of_dead(shared, &name) {
        // Those who lean on it look for its name.
        let removed = rustix::fs::unlinkat(&shared.root, name.as_str(), AtFlags::empty());
        return match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(error) => Err(shared.error("remove", &name, error)),
        };
    }
    // Publication by link takes two steps, between which a fence would leave two names.
    if !fences || !shared.exclusive_rename {
        return Ok(false);
    }
    match shared.rename_new(&name, &format!("fenced/{session}")) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(error) => Err(shared.error("fence", &name, error)),
    }
}

/// Removes sessions of dead owners and their temporary files.
///
/// A fenced session whose owner lives has its file in `fenced` and still writes.
///
/// What cannot be listed or removed is left for a later session: it only takes space.
fn remove_leftovers(shared: &Shared) {
    let names = |directory: &str| -> Vec<String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&shared.root, directory, flags, Mode::empty());
        let entries = opened.and_then(|opened| rustix::fs::Dir::read_from(&opened));
        let Ok(entries) = entries else { return Vec::new() };
        entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect()
    };
    let remove = |name: &str| {
        let _ignored = rustix::fs::unlinkat(&shared.root, name, AtFlags::empty());
    };
    // Temporary files are listed before sessions are asked, so the session of each was there then.
    let temporary = names("tmp");
    for directory in ["sessions", "fenced"] {
        for id in names(directory) {
            let name = format!("{directory}/{id}");
            if let Some(_locked) = lock_of_dead(shared, &name) {
                remove(&name);
            }
        }
    }
    for file in temporary {
        let owner = file.split_once('-').map_or(file.as_str(), |(owner, _)| owner);
        if owner.len() != SESSION_ID_DIGITS {
            continue;
        }
        let has_ended = ["sessions", "fenced"].iter().all(|directory| {
            let session = format!("{directory}/{owner}");
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let stat = rustix::fs::statat(&shared.root, session.as_str(), flags);
            stat.is_err_and(|error| error == Errno::NOENT)
                || lock_of_dead(shared, &session).is_some()
        });
        let name = format!("tmp/{file}");
        // One that is written outside of any session is locked.
        if has_ended && let Some(_locked) = lock_of_dead(shared, &name) {
            remove(&name);
        }
    }
}

impl Session for LocalSession {
    fn id(&self) -> &str {
        &self.id
    }

    fn publish(&mut self, record: &[u8], name: &str) -> Result<Published, BackendError> {
        self.write(record)?;
        self.file.sync_data().map_err(|source| self.failed(source))?;
        let shared = &self.shared;
        let locked = shared.lock_publication(&self.id);
        if let Err(BackendError::Fenced) = locked {
            self.is_open = false;
            return Ok(Published::Fenced);
        }
        let _lock = locked?;
        match shared.rename_new(&self.name(), name) {
            Ok(()) => {
                self.is_open = false;
                shared.sync_directory(directory_of(name))?;
                Ok(Published::Done)
            }
            Err(Errno::EXIST) => Ok(Published::Taken),
            // Fenced since it was looked up; or the directory of the name is gone.
            Err(Errno::NOENT) if !shared.stands(&self.id)? => {
                self.is_open = false;
                Ok(Published::Fenced)
            }
            Err(error) => Err(shared.error("publish", name, error)),
        }
    }

    fn note(&mut self, record: &[u8]) -> Result<(), BackendError> {
        self.write(record)
    }
}

impl Drop for LocalSession {
    fn drop(&mut self) {
        if self.is_open {
            let name = self.name();
            let _ignored = rustix::fs::unlinkat(&self.shared.root, name.as_str(), AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Created, Local};

    #[test]
    fn what_is_written_outside_of_sessions_is_left_as_long_as_somebody_writes_it() {
        let folder = tempfile::tempdir().expect("folder");
        let local = Local::init(&folder.path().join("repository")).expect("init");
        let mut file = local.create_alone().expect("create");
        let names = || local.list("tmp").expect("list").len();
        file.write(b"text").expect("write");
        drop(local.open_session().expect("session"));
        assert_eq!(names(), 1);
        assert_eq!(file.publish("config").expect("publish"), Created::New);
        // As of a program that was killed.
        let left = format!("tmp/{}-0", random_id().expect("id"));
        std::fs::write(local.path().join(left), b"text").expect("write");
        assert_eq!(names(), 1);
        drop(local.open_session().expect("session"));
        assert_eq!(names(), 0);
    }
}
