//! A disk in memory, and the locks of its kernel.
//!
//! Invariant: each method is one atomic operation. What is not flushed, a power cut keeps or undoes, name
//! by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Flaw;
use crate::random::Random;

/// The bytes of a file; `None` for a directory.
pub(super) type Node = Option<Arc<[u8]>>;

/// All that processes share.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) flaw: Flaw,
    now: BTreeMap<String, Node>,
    /// What a power cut is certain to leave.
    disk: BTreeMap<String, Node>,
    /// Sessions that are open, and the processes that hold their locks.
    owners: BTreeMap<String, usize>,
    /// Who holds the maintenance lock.
    pub(super) maintenance: Option<usize>,
    /// Who holds the publication lock, shared with others.
    pub(super) publishing: Vec<usize>,
    sessions: u64,
    /// How often anything changed.
    pub(super) changes: u64,
    /// How often a file vanished from where it was, or a job or table of refs came.
    pub(super) risks: u64,
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Whether a directory is there from the beginning on.
fn is_initial(directory: &str) -> bool {
    !directory.contains('/')
}

impl World {
    pub(super) fn file(&self, name: &str) -> Option<Arc<[u8]>> {
        self.now.get(name).cloned().flatten()
    }

    pub(super) fn is_there(&self, name: &str) -> bool {
        self.now.contains_key(name)
    }

    /// Names in a directory, without it, and what they stand for.
    pub(super) fn list(&self, directory: &str) -> Vec<(String, Node)> {
        let prefix = format!("{directory}/");
        let below = self.now.range(prefix.clone()..);
        let below = below.take_while(|(name, _)| name.starts_with(&prefix));
        below
            .filter(|(name, _)| !name[prefix.len()..].contains('/'))
            .map(|(name, node)| (name[prefix.len()..].to_owned(), node.clone()))
            .collect()
    }

    fn changed(&mut self, is_risk: bool) {
        self.changes += 1;
        self.risks += u64::from(is_risk);
    }

    /// Gives a file a name, in a directory that is made if need be; whether the name was free.
    pub(super) fn create(&mut self, name: &str, bytes: Arc<[u8]>) -> bool {
        if self.is_there(name) {
            return false;
        }
        if !is_initial(parent(name)) {
            self.now.entry(parent(name).to_owned()).or_default();
        }
        self.now.insert(name.to_owned(), Some(bytes));
        let is_root = name.starts_with("jobs/") || name.starts_with("refs/");
        self.changed(is_root);
        true
    }

    pub(super) fn overwrite(&mut self, name: &str, bytes: &[u8]) {
        if let Some(node) = self.now.get_mut(name) {
            *node = Some(bytes.into());
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.now.remove(name).is_some() {
            self.changed(true);
        }
    }

    pub(super) fn remove_empty_directory(&mut self, name: &str) {
        if self.list(name).is_empty() {
            self.now.remove(name);
        }
    }

    /// Changes or loses a file for good, as a disk does.
    pub(super) fn harm(&mut self, name: &str, bytes: Option<&Arc<[u8]>>) {
        for names in [&mut self.now, &mut self.disk] {
            match bytes {
                Some(bytes) => names.insert(name.to_owned(), Some(Arc::clone(bytes))),
                None => names.remove(name),
            };
        }
    }

    /// Moves a file to a name that must be free; whether it is there now.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), Refused> {
        if self.is_there(to) {
            return Err(Refused::Taken);
        }
        let Some(bytes) = self.file(from) else { return Err(Refused::Missing) };
        self.create(to, bytes);
        self.remove(from);
        Ok(())
    }

    /// Flushes the names in a directory.
    pub(super) fn sync(&mut self, directory: &str) {
        if self.flaw == Flaw::NothingFlushed {
            return;
        }
        let is_in = |name: &str| parent(name) == directory;
        self.disk.retain(|name, _| !is_in(name));
        let synced = self.now.iter().filter(|(name, _)| is_in(name));
        self.disk.extend(synced.map(|(name, node)| (name.clone(), node.clone())));
    }

    /// Keeps or undoes each change of a name since its last flush. Nobody survives it.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        let names: BTreeSet<String> = self.now.keys().chain(self.disk.keys()).cloned().collect();
        for name in names {
            let (now, disk) = (self.now.get(&name).cloned(), self.disk.get(&name).cloned());
            let is_flushed = match (&now, &disk) {
                (Some(Some(now)), Some(Some(disk))) => Arc::ptr_eq(now, disk),
                (now, disk) => now.is_some() == disk.is_some(),
            };
            let left = if is_flushed || random.one_in(2) { now } else { disk };
            match left {
                Some(node) => self.now.insert(name, node),
                None => self.now.remove(&name),
            };
        }
        let directories: BTreeSet<String> = self.now.keys().cloned().collect();
        self.now.retain(|name, _| is_initial(parent(name)) || directories.contains(parent(name)));
        self.disk = self.now.clone();
        self.owners.clear();
        self.maintenance = None;
        self.publishing.clear();
        self.changed(true);
    }

    /// Lets go of the locks of a process.
    pub(super) fn release(&mut self, process: usize) {
        self.owners.retain(|_, owner| *owner != process);
        self.maintenance = self.maintenance.filter(|owner| *owner != process);
        self.publishing.retain(|owner| *owner != process);
    }

    pub(super) fn open_session(&mut self, process: usize) -> String {
        self.sessions += 1;
        let session = format!("{:032x}", self.sessions);
        self.create(&format!("sessions/{session}"), Arc::default());
        self.owners.insert(session.clone(), process);
        session
    }

    pub(super) fn is_alive(&self, session: &str) -> bool {
        self.owners.contains_key(session)
    }

    /// Whether a session is neither over nor fenced.
    pub(super) fn stands(&self, session: &str) -> bool {
        self.is_there(&format!("sessions/{session}"))
    }

    /// Ends a session that was not published.
    pub(super) fn close_session(&mut self, session: &str) {
        self.owners.remove(session);
        self.now.remove(&format!("sessions/{session}"));
    }
}

/// Why a file was not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Taken,
    Missing,
}
