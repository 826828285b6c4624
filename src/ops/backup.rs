//! A backup: the tree of each project, its snapshot, and one job for all of them.
//!
//! Invariant: a backup that a prune has fenced starts again in a new session, trusting nothing it
//! knew before; a wrong fence costs work, never data.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::verified::Verified;
use super::write_snapshot::SnapshotLabels;
use super::write_tree::{Destination, TreeError, TreeReport, TreeSource, write_tree};
use crate::backend::BackendError;
use crate::base::hash::{object_id, plain};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::{Monitor, Problem};
use crate::base::time::FileTime;
use crate::format::codec::{put_bytes, put_length};
use crate::os::FileIdentity;
use crate::repository::{Repository, RepositoryError, WriteSession};
use crate::source::selection::Selection;
use crate::source::stat_index::{Binding, StatIndex, StatIndexWriter};
use crate::store::{InsertOptions, Inserter, WriteError, put_any};

/// How often a fenced backup starts again before it gives up.
const TRIES: usize = 4;

/// One project to back up.
#[derive(Debug)]
pub struct ProjectSource {
    /// What the snapshot tells beside its tree.
    pub labels: SnapshotLabels,
    /// The directory that relative includes start from, absolute.
    pub context: PathBuf,
    /// What is included and excluded.
    pub selection: Selection,
    /// The patterns that `selection` was made from.
    pub includes: Vec<Vec<u8>>,
    /// The same for excludes.
    pub excludes: Vec<Vec<u8>>,
    /// Whether directories on other file systems are left out.
    pub one_file_system: bool,
    /// Where the stat index of the project is kept; `None` reads every file.
    pub stat_index: Option<PathBuf>,
}

impl ProjectSource {
    /// A hash of all that decides which entries are stored.
    fn selection_hash(&self) -> [u8; 32] {
        let mut text = Vec::new();
        for patterns in [&self.includes, &self.excludes] {
            put_length(&mut text, patterns.len());
            patterns.iter().for_each(|pattern| put_bytes(&mut text, pattern));
        }
        text.push(u8::from(self.one_file_system));
        plain(&text)
    }
}

/// How to back up.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Threads that read and compress.
    pub workers: usize,
    /// The repository itself, which is never stored.
    pub repository: Option<FileIdentity>,
    /// The time now.
    pub now: FileTime,
    /// Where checks keep what they have learnt; what they found damaged is stored again.
    pub verified: Option<PathBuf>,
}

/// What a backup came to.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// The job, or `None` if no project could be backed up.
    pub job: Option<u64>,
    /// Each project with its snapshot, in the order given.
    pub projects: Vec<ProjectReport>,
    /// Whether everything that was asked for is in the job.
    pub is_complete: bool,
}

/// What the backup of one project came to.
#[derive(Debug, Clone)]
pub struct ProjectReport {
    /// The project.
    pub project: String,
    /// Its snapshot.
    pub snapshot: Id,
    /// The snapshot before it.
    pub parent: Option<Id>,
    /// Figures.
    pub tree: TreeReport,
}

/// A backup failed as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A tree could not be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl BackupError {
    fn is_fence(&self) -> bool {
        let write = match self {
            Self::Repository(RepositoryError::Fenced) => return true,
            Self::Repository(RepositoryError::Write(error))
            | Self::Tree(TreeError::Write(error)) => error,
            _ => return false,
        };
        matches!(write, WriteError::Backend(BackendError::Fenced))
    }
}

/// Backs up projects as one job.
///
/// On return the job is there, and survives a power cut. Sources that cannot be read are left out,
/// handed to `monitor`, and recorded in the snapshot.
///
/// # Errors
///
/// The repository cannot be read or written; nothing was published then.
pub fn backup(
    repository: &Repository,
    projects: &[ProjectSource],
    options: &BackupOptions,
    monitor: &dyn Monitor,
) -> Result<BackupReport, BackupError> {
    let mut tries = 1;
    loop {
        let attempt = Attempt { repository, options, monitor, is_first: tries == 1 };
        match attempt.run(projects) {
            Err(error) if error.is_fence() && tries < TRIES => {
                monitor.note(format_args!("a prune ended the session; starting again"));
                tries += 1;
            }
            other => return other,
        }
    }
}

struct Attempt<'a> {
    repository: &'a Repository,
    options: &'a BackupOptions,
    monitor: &'a dyn Monitor,
    is_first: bool,
}

impl Attempt<'_> {
    fn run(&self, projects: &[ProjectSource]) -> Result<BackupReport, BackupError> {
        let session = self.repository.write_session()?;
        self.repository.refuse_lost_jobs()?;
        let losses = self.losses();
        let mut reports = Vec::new();
        let mut writers = Vec::new();
        for project in projects {
            let (report, writer) = self.project(&session, project, losses.as_ref())?;
            let tree = &report.tree;
            if tree.includes == tree.missing_includes {
                self.monitor.problem(Problem {
                    code: "nothing_to_back_up",
                    subject: project.labels.project.clone().into_bytes(),
                    message: "none of its includes exists: no snapshot was made".into(),
                });
                continue;
            }
            reports.push(report);
            writers.push((project, writer));
        }
        let is_whole = reports.iter().all(|report| report.tree.errors == 0);
        let is_complete = is_whole && reports.len() == projects.len();
        if reports.is_empty() {
            return Ok(BackupReport { job: None, projects: reports, is_complete: false });
        }
        let snapshots: BTreeMap<String, Id> =
            reports.iter().map(|report| (report.project.clone(), report.snapshot)).collect();
        let job = session.publish(&snapshots)?;
        for ((project, writer), report) in writers.into_iter().zip(&reports) {
            let binding = self.binding(project, report.snapshot);
            let finish = |writer: StatIndexWriter| {
                writer.finish(&binding, report.tree.root_seen, project.selection_hash())
            };
            if let Some(Err(error)) = writer.map(finish) {
                self.monitor.note(format_args!("the next backup reads every file: {error}"));
            }
        }
        Ok(BackupReport { job: Some(job), projects: reports, is_complete })
    }

    /// A hash of all that may have been lost; `None` if that cannot be told. What checks have found
    /// damaged is not relied on from here on.
    fn losses(&self) -> Option<[u8; 32]> {
        let store = self.repository.store();
        let load = |path: &PathBuf| Verified::load(path, &self.repository.config().repository_id);
        let verified = self.options.verified.as_ref().map(load).unwrap_or_default();
        let damage = verified.damage();
        store.distrust(verified.damaged);
        Some(plain(&[store.losses().ok()?, damage].concat()))
    }

    fn binding(&self, project: &ProjectSource, snapshot: Id) -> Binding {
        Binding {
            repository_id: self.repository.config().repository_id.clone(),
            snapshot,
            context: project.context.as_os_str().as_bytes().to_vec(),
        }
    }

    fn project(
        &self,
        session: &WriteSession<'_>,
        project: &ProjectSource,
        losses: Option<&[u8; 32]>,
    ) -> Result<(ProjectReport, Option<StatIndexWriter>), BackupError> {
        let store = self.repository.store();
        let name = &project.labels.project;
        let parent = self.repository.parent_of_next(name)?;
        let parent_tree = parent.and_then(|id| self.repository.snapshot(&id).ok());
        // A stat index vouches for objects only as long as the job that it was made with is there,
        // and says nothing of what a prune has condemned since.
        let stat_index = project.stat_index.as_ref().zip(parent).filter(|_| self.is_first);
        let stat_index = stat_index
            .and_then(|(path, parent)| StatIndex::open(path, &self.binding(project, parent)));
        // It saw everything stored, and something may have been lost since.
        let is_doubted = |index: &&StatIndex| losses.is_none_or(|losses| !index.has_losses(losses));
        let doubted = stat_index.as_ref().filter(is_doubted);
        let lost_parent = doubted.zip(parent).and_then(|(index, parent)| {
            let is_its =
                !index.made().is_empty() && object_id(Kind::Snapshot, index.made()) == parent;
            let is_lost = is_its && !store.is_intact(&parent, Kind::Snapshot).ok()?;
            is_lost.then(|| index.made())
        });
        let writer = project.stat_index.as_ref().and_then(|path| {
            let writer = StatIndexWriter::create(path, stat_index.as_ref(), self.options.now);
            writer
                .inspect_err(|error| {
                    self.monitor.note(format_args!("no stat index at {}: {error}", path.display()));
                })
                .ok()
        });
        let repository = self.options.repository.map(|own| (own, "the repository itself"));
        // It changes while it is being read, and is of no use to anybody else.
        let cache = writer.as_ref().and_then(StatIndexWriter::directory);
        let cache = cache.map(|own| (own, "the cache of the repository"));
        let source = TreeSource {
            context: project.context.clone(),
            selection: &project.selection,
            includes: project.includes.clone(),
            excludes: project.excludes.clone(),
            one_file_system: project.one_file_system,
            own: repository.into_iter().chain(cache).collect(),
            is_same_selection: stat_index
                .as_ref()
                .is_some_and(|index| index.has_selection(&project.selection_hash())),
            stat_index: stat_index.as_ref(),
            doubted: doubted.map(|_| store),
            stat_index_writer: writer.as_ref(),
            previous: parent_tree.map(|snapshot| (store, snapshot.root.tree)),
        };
        let options =
            InsertOptions::new(self.options.workers, self.repository.config().compression());
        let inserter = Inserter::new(store, session.id(), options);
        let snapshot = Mutex::new(None);
        let tree = write_tree(
            &source,
            Destination::Store(&inserter),
            &|root, sink| {
                if let Some(lost) = lost_parent {
                    put_any(sink, Kind::Snapshot, lost)?;
                }
                let bytes = project.labels.snapshot(root.clone(), parent).encode();
                let id = put_any(sink, Kind::Snapshot, &bytes)?;
                *snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, bytes));
                Ok(())
            },
            self.monitor,
        )?;
        let snapshot = snapshot.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (snapshot, bytes) = snapshot.ok_or(TreeError::Write(WriteError::Stopped))?;
        let writer = match losses {
            Some(losses) => writer.map(|writer| writer.with_losses(*losses, bytes)),
            None => None,
        };
        Ok((ProjectReport { project: name.clone(), snapshot, parent, tree }, writer))
    }
}
