//! Where commands run against a repository that may fail, and against the same without faults.
//!
//! Invariant: the faulty repository and the real one are the same files, so what a fault left is
//! judged without it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::BackgroundSession;

use super::injector::Injector;
use super::passthrough::Passthrough;
use crate::mounts::Mounted;
use crate::patience::{Ended, Running};
use crate::sandbox::{Sandbox, look_at};

/// A directory, and the faulty file system over it.
pub(super) struct Stage {
    folder: PathBuf,
    pub(super) injector: Arc<Injector>,
    refuses_noreplace: Arc<AtomicBool>,
    // Unmounted first: that ends the session.
    _mounted: Mounted,
    _session: BackgroundSession,
}

impl Stage {
    /// A stage in a new directory.
    ///
    /// # Errors
    ///
    /// Why nothing can be mounted.
    pub(super) fn new(folder: PathBuf) -> Result<Self, String> {
        for name in ["real", "faulty"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let injector = Arc::new(Injector::default());
        let refuses_noreplace = Arc::new(AtomicBool::new(false));
        let real = folder.join("real");
        let files = Passthrough::new(&real, Arc::clone(&injector), Arc::clone(&refuses_noreplace));
        let faulty = folder.join("faulty");
        let session = fuser::spawn_mount(files.unwrap(), &faulty, &fuser::Config::default());
        let session = session.map_err(|error| format!("FUSE cannot be mounted: {error}"))?;
        let mounted = Mounted::adopt(&faulty);
        Ok(Self { folder, injector, refuses_noreplace, _mounted: mounted, _session: session })
    }

    /// Whether the file system knows `RENAME_NOREPLACE` from now on.
    pub(super) fn set_refuses_noreplace(&self, refuses: bool) {
        self.refuses_noreplace.store(refuses, Ordering::Relaxed);
    }

    /// The repository as it is.
    pub(super) fn real(&self) -> PathBuf {
        self.folder.join("real/repository")
    }

    /// The same behind the faults.
    pub(super) fn faulty(&self) -> PathBuf {
        self.folder.join("faulty/repository")
    }

    /// The cache directory of the commands.
    pub(super) fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    /// Where a command restores to that is tried.
    pub(super) fn restored_to(&self) -> PathBuf {
        self.folder.join("restored")
    }

    /// Runs a script in the context of a sandbox to its end.
    pub(super) fn run(
        &self,
        sandbox: &Sandbox,
        repository: &Path,
        script: &str,
    ) -> Result<Ended, String> {
        let mut command = sandbox.shell(script);
        command.env("RUNUP_REPOSITORY", repository).env("RUNUP_CACHE_DIR", self.cache());
        command.env("RESTORED", self.restored_to());
        Running::start(command, &self.folder).end()
    }

    /// What a restore of a job, or else of the latest, brings back of `src`.
    pub(super) fn restored(
        &self,
        sandbox: &Sandbox,
        job: Option<u64>,
    ) -> Result<Vec<String>, String> {
        let out = self.folder.join("out");
        let job = job.map_or_else(String::new, |job| format!("--job {job} "));
        let script = format!("exec runup restore --json --force {job}--location {}", out.display());
        let ended = self.run(sandbox, &self.real(), &script)?.exits(&[0]);
        let found = ended.map(|_| look_at(&out.join("src")));
        if out.exists() {
            std::fs::remove_dir_all(&out).unwrap();
        }
        found
    }
}

/// Makes `to` a copy of the directory `from`.
pub(super) fn copy(from: &Path, to: &Path) {
    if to.symlink_metadata().is_ok() {
        std::fs::remove_dir_all(to).unwrap();
    }
    if !from.exists() {
        return;
    }
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}
