//! Which directories have names that are not durable yet, and their flushes.
//!
//! Invariant: a directory is flushed by one thread at a time, and whoever relies on what another one
//! is flushing waits for how it ends. A flush that failed is never tried again: the system would tell
//! success, as it has forgotten what it could not write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

/// The directories of one repository, by their names in it.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// With names that are not durable yet.
    unsynced: BTreeSet<String>,
    /// Being flushed.
    busy: BTreeSet<String>,
    /// Could not be flushed, so that nobody knows what of them is durable.
    failed: BTreeMap<String, Errno>,
    /// Durable in the directory that holds them, as far as this process relies on it.
    anchored: BTreeSet<String>,
}

/// The directory, and why it could not be flushed, now or before.
pub(super) type Failed = (String, Errno);

impl Flushes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that names in this directory may not be durable.
    pub(super) fn note(&self, directory: &str) {
        self.state().unsynced.insert(directory.to_owned());
    }

    /// Flushes a directory, if any names in it are not durable.
    pub(super) fn flush_noted(
        &self,
        directory: &str,
        act: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Failed> {
        let state = self.wait(directory)?;
        match state.unsynced.contains(directory) {
            true => self.act(state, directory, act),
            false => Ok(()),
        }
    }

    /// Flushes a directory.
    pub(super) fn flush(
        &self,
        directory: &str,
        act: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Failed> {
        let state = self.wait(directory)?;
        self.act(state, directory, act)
    }

    /// Flushes the directory that holds these, if the names of some are not known to be durable: another
    /// process may have made them just now.
    pub(super) fn anchor(
        &self,
        directories: &[&str],
        parent: &str,
        act: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Failed> {
        let is_anchored =
            |state: &State| directories.iter().all(|directory| state.anchored.contains(*directory));
        if is_anchored(&self.state()) {
            return self.flush_noted(parent, act);
        }
        self.flush(parent, act)?;
        let anchored = directories.iter().map(|directory| (*directory).to_owned());
        self.state().anchored.extend(anchored);
        Ok(())
    }

    /// Directories with names that are not durable yet.
    pub(super) fn noted(&self) -> Vec<String> {
        let state = self.state();
        state.unsynced.union(&state.busy).cloned().collect()
    }

    /// Fails if any flush has failed.
    pub(super) fn check(&self) -> Result<(), Failed> {
        match self.state().failed.first_key_value() {
            Some((directory, error)) => Err((directory.clone(), *error)),
            None => Ok(()),
        }
    }

    /// Waits until nobody flushes the directory; fails if that has failed.
    fn wait(&self, directory: &str) -> Result<MutexGuard<'_, State>, Failed> {
        let is_busy = |state: &mut State| state.busy.contains(directory);
        let waited = self.ended.wait_while(self.state(), is_busy);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        match state.failed.get(directory) {
            Some(error) => Err((directory.to_owned(), *error)),
            None => Ok(state),
        }
    }

    fn act(
        &self,
        mut state: MutexGuard<'_, State>,
        directory: &str,
        act: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Failed> {
        // What is noted from here on may come too late for this flush.
        state.unsynced.remove(directory);
        state.busy.insert(directory.to_owned());
        drop(state);
        let flushed = act();
        let mut state = self.state();
        state.busy.remove(directory);
        if let Err(error) = flushed {
            state.failed.insert(directory.to_owned(), error);
        }
        drop(state);
        self.ended.notify_all();
        flushed.map_err(|error| (directory.to_owned(), error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_another_thread_flushes_is_waited_for() {
        for ends in [Ok(()), Err(Errno::IO)] {
            let flushes = Flushes::default();
            flushes.note("objects");
            let (began, begun) = channel();
            let (allow, allowed) = channel::<()>();
            let (told, tells) = channel();
            std::thread::scope(|scope| {
                let flushes = &flushes;
                scope.spawn(move || {
                    let _flushed = flushes.flush_noted("objects", || {
                        began.send(()).unwrap();
                        allowed.recv().unwrap();
                        ends
                    });
                });
                begun.recv().unwrap();
                scope.spawn(move || {
                    told.send(flushes.flush_noted("objects", || unreachable!())).unwrap();
                });
                assert_eq!(flushes.noted(), ["objects"]);
                let early = tells.recv_timeout(Duration::from_millis(50));
                assert!(early.is_err(), "nobody knows yet: {early:?}");
                allow.send(()).unwrap();
                let expected = ends.map_err(|error| ("objects".to_owned(), error));
                assert_eq!(tells.recv().unwrap(), expected);
                assert_eq!(flushes.check(), expected);
            });
        }
    }

    #[test]
    fn what_failed_is_not_tried_again() {
        let flushes = Flushes::default();
        assert!(flushes.flush("jobs", || Err(Errno::NOSPC)).is_err());
        flushes.note("jobs");
        let again = flushes.flush_noted("jobs", || unreachable!());
        assert_eq!(again, Err(("jobs".to_owned(), Errno::NOSPC)));
        assert_eq!(flushes.flush("packs", || Ok(())), Ok(()));
    }

    #[test]
    fn the_name_of_a_directory_is_made_durable_once() {
        let flushes = Flushes::default();
        let count = AtomicU32::new(0);
        let flush = || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let (ab, cd): (&[_], &[_]) = (&["objects/ab"], &["objects/ab", "objects/cd"]);
        for (directories, expected) in [(ab, 1), (ab, 1), (cd, 2), (cd, 2)] {
            flushes.anchor(directories, "objects", flush).unwrap();
            assert_eq!(count.load(Ordering::Relaxed), expected, "{directories:?}");
        }
        flushes.note("objects");
        flushes.anchor(ab, "objects", flush).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }
}
