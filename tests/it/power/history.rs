//! A source that changes, its backups, and what each of them is to restore.
//!
//! Invariant: a job is known here as soon as its backup was told as done, and what is known of it
//! never changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::patience::{Ended, Running};
use crate::sandbox::{Sandbox, look_at, noise};

/// What was told as done.
#[derive(Debug, Default, Clone)]
pub(super) struct Acknowledged {
    /// What each job is to restore.
    pub(super) jobs: BTreeMap<u64, Vec<String>>,
    pub(super) forgotten: BTreeSet<u64>,
}

/// The source, in a context of its own.
pub(super) struct History {
    sandbox: Sandbox,
    folder: PathBuf,
    version: u32,
}

impl History {
    pub(super) fn new(folder: &Path) -> Self {
        let sandbox = Sandbox::within(folder);
        sandbox.write("runup.yaml", b"version: '1'\nproject:\n  app:\n    include: [src]\n");
        for number in 0..20_u32 {
            let length = 100 + 1500 * number as usize;
            sandbox.write(&format!("src/{}/{number}", number % 4), &noise(length, number));
        }
        Self { sandbox, folder: folder.to_owned(), version: 0 }
    }

    /// Changes the source: a few files are new, one is changed, one comes again elsewhere.
    pub(super) fn change(&mut self) {
        self.version += 1;
        let version = self.version;
        let write = |name: &str, length, seed| self.sandbox.write(name, &noise(length, seed));
        for number in 0..3 {
            write(&format!("src/new/{version}-{number}"), 30_000, 1000 * version + number);
        }
        write("src/changed", 9000, version);
        write(&format!("src/{}/again", version % 4), 30_000, 1000 * version);
        if version > 3 {
            for number in 0..3 {
                let old = self.sandbox.path(&format!("src/new/{}-{number}", version - 3));
                std::fs::remove_file(old).unwrap();
            }
        }
    }

    /// What is in the source.
    pub(super) fn source(&self) -> Vec<String> {
        look_at(&self.sandbox.path("src"))
    }

    /// Starts a script that uses a repository; what it caches outlives power cuts.
    pub(super) fn start(&self, repository: &Path, script: &str) -> Running {
        let mut command = self.sandbox.shell(script);
        command.env("RUNUP_REPOSITORY", repository);
        Running::start(command, &self.folder)
    }

    /// Runs a script that must succeed.
    pub(super) fn run(&self, repository: &Path, script: &str) -> Result<Ended, String> {
        self.start(repository, script).end()?.exits(&[0])
    }

    /// Runs a backup without what earlier ones remember of the source; its job.
    pub(super) fn back_up(&self, repository: &Path, cache: &Path) -> Result<u64, String> {
        let script = format!("RUNUP_CACHE_DIR={} exec runup backup --json", cache.display());
        let told = self.run(repository, &script)?;
        job(&told).ok_or_else(|| format!("no job: {told}"))
    }

    /// The jobs that a repository lists.
    pub(super) fn listed(&self, repository: &Path) -> Result<BTreeSet<u64>, String> {
        let listed = self.run(repository, "exec runup snapshots --json")?;
        Ok(listed.records().iter().filter_map(|record| record["job"].as_u64()).collect())
    }

    /// Asserts that a job restores exactly, to a directory that is not there before or after.
    pub(super) fn restores(
        &self,
        repository: &Path,
        out: &Path,
        job: u64,
        expected: &[String],
    ) -> Result<(), String> {
        let script =
            format!("exec runup restore --json --force --job {job} --location {}", out.display());
        self.run(repository, &script)?;
        let found = look_at(&out.join("src"));
        std::fs::remove_dir_all(out).unwrap();
        if found == expected { Ok(()) } else { Err(format!("job {job} restored as {found:#?}")) }
    }

    /// Asserts that a repository lists exactly the jobs that were acknowledged and not forgotten, and
    /// perhaps the one that may have been made and the one that may have been forgotten since; that
    /// every byte in it is sound; and that the newest of these jobs and another one restore exactly.
    pub(super) fn judge(
        &self,
        repository: &Path,
        out: &Path,
        acknowledged: &Acknowledged,
        maybe_forgotten: Option<u64>,
    ) -> Result<BTreeSet<u64>, String> {
        self.run(repository, "exec runup check --read-data --json")?;
        let listed = self.listed(repository)?;
        let Acknowledged { jobs, forgotten } = acknowledged;
        let must_be = |job: &&u64| !forgotten.contains(job) && maybe_forgotten != Some(**job);
        let lost: Vec<_> =
            jobs.keys().filter(must_be).filter(|job| !listed.contains(job)).collect();
        let back: Vec<_> = listed.intersection(forgotten).collect();
        if !lost.is_empty() || !back.is_empty() {
            return Err(format!("lost: jobs {lost:?}; forgotten, and yet there: {back:?}"));
        }
        let known: Vec<_> = jobs.iter().filter(|(job, _)| listed.contains(job)).collect();
        let other = known.get(known.len() * 2 / 3).filter(|_| known.len() > 1);
        for (job, expected) in known.last().into_iter().chain(other) {
            self.restores(repository, out, **job, expected)?;
        }
        Ok(listed)
    }
}

/// The job of a backup that was told as done.
pub(super) fn job(ended: &Ended) -> Option<u64> {
    ended.records().first().and_then(|record| record["job"].as_u64())
}
