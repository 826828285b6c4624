//! A backend over the disk in memory, which stops before each operation.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use runup::backend::{
    Backend, BackendError, Created, Listed, Mapped, NewFile, Published, RandomRead, Session,
};
use runup::base::time::FileTime;

use super::Flaw;
use super::turns::Turns;
use super::world::{Refused, World};

/// What the processes of a schedule share.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) turns: Arc<Turns>,
}

impl Machine {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The backend of one program that a process runs.
#[derive(Debug, Clone)]
pub(super) struct Simulated {
    machine: Machine,
    /// `None` for somebody who only looks, and whom no process notices.
    process: Option<usize>,
    unsynced: Arc<Mutex<BTreeSet<String>>>,
    /// Directories whose names this program has made durable.
    anchored: Arc<Mutex<BTreeSet<String>>>,
    leaned_on: Arc<OnceLock<String>>,
}

fn directory_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn missing(name: &str) -> BackendError {
    BackendError::Missing { name: name.to_owned() }
}

/// Lets go of a lock of the process when it is dropped.
#[derive(Debug)]
struct Held {
    own: Simulated,
    is_maintenance: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut world = self.own.machine.world();
        if self.is_maintenance {
            world.maintenance = world.maintenance.filter(|owner| Some(*owner) != self.own.process);
        } else if let Some(at) =
            world.publishing.iter().position(|owner| Some(*owner) == self.own.process)
        {
            world.publishing.remove(at);
        }
    }
}

impl Simulated {
    pub(super) fn new(machine: &Machine, process: Option<usize>) -> Self {
        Self {
            machine: machine.clone(),
            process,
            unsynced: Arc::default(),
            anchored: Arc::default(),
            leaned_on: Arc::default(),
        }
    }

    /// Does one operation when it is this process's turn.
    fn step<T>(
        &self,
        operation: &'static str,
        name: &str,
        work: impl FnOnce(&mut World) -> T,
    ) -> T {
        let turn = self.process.map(|process| self.machine.turns.take(process, operation, name));
        let done = work(&mut self.machine.world());
        drop(turn);
        done
    }

    fn unsynced(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds off a prune's last look, and makes sure that the session may publish.
    fn lock_publication(&self, session: &str) -> Result<Held, BackendError> {
        self.step("lock for publication", session, |world| {
            world.publishing.extend(self.process);
        });
        let held = Held { own: self.clone(), is_maintenance: false };
        self.step("look up session", session, |world| {
            if world.flaw == Flaw::FenceNotSeen {
                return Ok(held);
            }
            if self.leaned_on.get().is_some_and(|outer| !world.stands(outer)) {
                return Err((held, BackendError::SessionEnded));
            }
            match world.stands(session) {
                true => Ok(held),
                false => Err((held, BackendError::Fenced)),
            }
        })
        .map_err(|(held, error)| {
            drop(held);
            error
        })
    }

    fn sync_now(&self, directory: &str) {
        self.step("sync", directory, |world| world.sync(directory));
    }

    fn sync_noted(&self, directory: &str) {
        let parent = directory_of(directory);
        let anchored = || self.anchored.lock().unwrap_or_else(PoisonError::into_inner);
        let is_anchored = parent.is_empty() || anchored().contains(directory);
        let is_unsynced = self.unsynced().remove(parent);
        if is_unsynced || !is_anchored {
            self.sync_now(parent);
            anchored().insert(directory.to_owned());
        }
        let is_unsynced = self.unsynced().remove(directory);
        if is_unsynced {
            self.sync_now(directory);
        }
    }
}

impl Backend for Simulated {
    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }

    fn read(&self, name: &str, _limit_bytes: u64) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.step("read", name, |world| world.file(name)).map(|bytes| bytes.to_vec()))
    }

    fn open(&self, name: &str) -> Result<Box<dyn RandomRead>, BackendError> {
        let bytes = self.step("open", name, |world| world.file(name));
        Ok(Box::new(OpenFile(bytes.ok_or_else(|| missing(name))?)))
    }

    fn map(&self, name: &str) -> Result<Mapped, BackendError> {
        let bytes = self.step("map", name, |world| world.file(name));
        Ok(Mapped::memory(bytes.ok_or_else(|| missing(name))?.to_vec()))
    }

    fn list(&self, directory: &str) -> Result<Vec<Listed>, BackendError> {
        let listed = self.step("list", directory, |world| world.list(directory));
        let listed = listed.into_iter().map(|(name, node)| Listed {
            name,
            length_bytes: node.as_ref().map_or(0, |bytes| bytes.len() as u64),
            is_directory: node.is_none(),
        });
        Ok(listed.collect())
    }

    fn changed(&self, _directory: &str) -> Result<Option<FileTime>, BackendError> {
        Ok(None)
    }

    fn length(&self, name: &str) -> Result<Option<u64>, BackendError> {
        let bytes = self.step("look up", name, |world| world.file(name));
        Ok(bytes.map(|bytes| bytes.len() as u64))
    }

    fn create(&self, session: &str) -> Result<Box<dyn NewFile>, BackendError> {
        Ok(Box::new(File { own: self.clone(), session: session.to_owned(), bytes: Vec::new() }))
    }

    fn sync(&self, directory: &str) -> Result<(), BackendError> {
        self.sync_noted(directory);
        Ok(())
    }

    fn note_unsynced(&self, directory: &str) {
        self.unsynced().insert(directory.to_owned());
    }

    fn sync_all(&self) -> Result<(), BackendError> {
        let directories = self.unsynced().clone();
        directories.iter().for_each(|directory| self.sync_noted(directory));
        Ok(())
    }

    fn try_lock_maintenance(
        &self,
    ) -> Result<Option<Box<dyn std::fmt::Debug + Send>>, BackendError> {
        let is_locked = self.step("lock for maintenance", "", |world| {
            let is_free = world.maintenance.is_none();
            if is_free {
                world.maintenance = self.process;
            }
            is_free || world.flaw == Flaw::TwoPrunes
        });
        Ok(is_locked.then(|| Box::new(Held { own: self.clone(), is_maintenance: true }) as Box<_>))
    }

    fn remove(&self, name: &str) -> Result<(), BackendError> {
        self.step("remove", name, |world| world.remove(name));
        Ok(())
    }

    fn remove_empty_directory(&self, name: &str) -> Result<(), BackendError> {
        self.step("remove directory", name, |world| world.remove_empty_directory(name));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), BackendError> {
        match self.step("rename", from, |world| world.rename(from, to)) {
            Ok(()) => {}
            Err(Refused::Taken) => self.remove(from)?,
            Err(Refused::Missing) => return Ok(()),
        }
        self.note_unsynced(directory_of(from));
        self.note_unsynced(directory_of(to));
        Ok(())
    }

    fn end_session(&self, session: &str, fences: bool) -> Result<bool, BackendError> {
        let name = format!("sessions/{session}");
        let look = |world: &mut World| (world.stands(session), world.is_alive(session));
        Ok(match self.step("look up session", session, look) {
            (false, _) => true,
            (true, false) => {
                self.step("remove session", session, |world| world.remove(&name));
                true
            }
            (true, true) if fences => {
                let fenced = format!("fenced/{session}");
                let moved = self.step("fence", session, |world| world.rename(&name, &fenced));
                moved != Err(Refused::Taken)
            }
            (true, true) => self.machine.world().flaw == Flaw::SessionsNotAwaited,
        })
    }

    fn await_publications(&self) -> Result<(), BackendError> {
        let is_quiet = |world: &mut World| world.publishing.is_empty();
        while !self.step("await publications", "", is_quiet) {}
        Ok(())
    }

    fn pause(&self, _time: Duration) {
        self.step("pause", "", |_| ());
    }

    fn release_reserve(&self) -> Result<bool, BackendError> {
        Ok(false)
    }

    fn has_sound_reserve(&self) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn restore_reserve(&self, _session: &str) -> Result<(), BackendError> {
        Ok(())
    }

    fn set_aside(&self, name: &str) -> Result<String, BackendError> {
        let lost = format!("lost/{}", name.replace('/', "-"));
        self.rename(name, &lost)?;
        self.sync("lost")?;
        self.sync(directory_of(name))?;
        Ok(lost)
    }

    fn make_missing(&self, _name: &str) -> Result<bool, BackendError> {
        Ok(false)
    }

    fn open_session(&self) -> Result<Box<dyn Session>, BackendError> {
        let process = self.process.expect("whoever only looks opens no session");
        let id = self.step("open session", "", |world| world.open_session(process));
        Ok(Box::new(OpenSession { own: self.clone(), id, is_open: true }))
    }

    fn lean_on(&self, session: &str) {
        self.leaned_on.get_or_init(|| session.to_owned());
    }
}

#[derive(Debug)]
struct OpenFile(Arc<[u8]>);

impl RandomRead for OpenFile {
    fn length_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), BackendError> {
        let bytes = self.0.get(offset as usize..).unwrap_or_default();
        let Some(bytes) = bytes.get(..buffer.len()) else {
            return Err(BackendError::Damaged { name: "a file".to_owned(), what: "cut short" });
        };
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct File {
    own: Simulated,
    session: String,
    bytes: Vec<u8>,
}

impl NewFile for File {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn publish(self: Box<Self>, name: &str) -> Result<Created, BackendError> {
        let _lock = self.own.lock_publication(&self.session)?;
        let bytes: Arc<[u8]> = self.bytes.as_slice().into();
        let is_new = self.own.step("publish", name, |world| world.create(name, bytes));
        self.own.note_unsynced(directory_of(name));
        Ok(if is_new { Created::New } else { Created::Existed })
    }
}

#[derive(Debug)]
struct OpenSession {
    own: Simulated,
    id: String,
    is_open: bool,
}

impl OpenSession {
    fn name(&self) -> String {
        format!("sessions/{}", self.id)
    }
}

impl Session for OpenSession {
    fn id(&self) -> &str {
        &self.id
    }

    fn publish(&mut self, record: &[u8], name: &str) -> Result<Published, BackendError> {
        self.own.step("write session", &self.id, |world| world.overwrite(&self.name(), record));
        let lock = self.own.lock_publication(&self.id);
        if let Err(BackendError::Fenced) = lock {
            self.is_open = false;
            return Ok(Published::Fenced);
        }
        let _lock = lock?;
        let rename = |world: &mut World| match world.rename(&self.name(), name) {
            Err(Refused::Missing) if world.flaw == Flaw::FenceNotSeen => {
                let fenced = format!("fenced/{}", self.id);
                world.overwrite(&fenced, record);
                world.rename(&fenced, name)
            }
            renamed => renamed,
        };
        match self.own.step("publish", name, rename) {
            Ok(()) => {
                self.is_open = false;
                self.own.sync_now(directory_of(name));
                Ok(Published::Done)
            }
            Err(Refused::Taken) => Ok(Published::Taken),
            Err(Refused::Missing) => {
                self.is_open = false;
                Ok(Published::Fenced)
            }
        }
    }

    fn note(&mut self, record: &[u8]) -> Result<(), BackendError> {
        self.own.step("write session", &self.id, |world| world.overwrite(&self.name(), record));
        Ok(())
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        // Of a process that was killed, the session stays, with nobody to hold its lock.
        if self.is_open && !std::thread::panicking() {
            self.own.step("close session", &self.id, |world| world.close_session(&self.id));
        }
    }
}
