//! What processes do: each runs the code that the programs run.
//!
//! Invariant: an error that the situation does not excuse breaks a promise.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use runup::backend::BackendError;
use runup::base::hash::object_id;
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::limits::PIECE_BYTES;
use runup::base::monitor::Problems;
use runup::base::time::FileTime;
use runup::format::config::Config;
use runup::format::snapshot::RootRecord;
use runup::format::tree::{self, Entry, Metadata, Node};
use runup::ops::forget::{ForgetError, forget, remember};
use runup::ops::fsck::{Depth, Memory};
use runup::ops::index_pack::IndexPackError;
use runup::ops::prune::{PruneError, PruneOptions, Sessions, Unused, prune};
use runup::ops::repair::{Action, RepairError, RepairOptions, repair};
use runup::ops::update_ref::{Change, Expected, RefUpdate, UpdateRefError, update_refs};
use runup::ops::write_snapshot::{SnapshotLabels, write_snapshot};
use runup::repository::{RefTarget, Repository, RepositoryError};
use runup::store::{
    InsertOptions, Inserter, LooseSink, ObjectSink, WriteError, put_any, put_any_like,
};

use super::backend::Machine;
use super::book::{Book, Proved, open, read_all};
use crate::random::Random;
use crate::sandbox::noise;

/// What a process has in hand.
pub(super) struct Hands<'s> {
    pub(super) machine: &'s Machine,
    pub(super) config: &'s Config,
    pub(super) book: &'s Mutex<Book>,
    pub(super) process: usize,
    pub(super) random: Random,
    /// Whether prunes wait for nobody.
    pub(super) fences: bool,
}

/// What a process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A backup into packs.
    Backup,
    /// A backup that stores again what is stored already.
    BackupAgain,
    /// A backup into loose objects.
    LooseBackup,
    /// Programs that lean on one session.
    Pipeline,
    /// Programs in a row, with nothing to lean on.
    TwoPrograms,
    Prune,
    Repair,
    Restore,
    Forget,
    Tag,
}

/// How a backup stores objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Into {
    Packs,
    /// Packs, whatever is stored already.
    PacksAgain,
    Loose,
}

fn is_fence(error: &RepositoryError) -> bool {
    let write = match error {
        RepositoryError::Fenced => return true,
        RepositoryError::Backend(error) | RepositoryError::Write(WriteError::Backend(error)) => {
            error
        }
        _ => return false,
    };
    matches!(write, BackendError::Fenced | BackendError::SessionEnded)
}

fn labels() -> SnapshotLabels {
    SnapshotLabels {
        project: "app".to_owned(),
        time: "2026-01-02T03:04:05+00:00".to_owned(),
        host: "here".to_owned(),
        user: "me".to_owned(),
        description: None,
        tags: Vec::new(),
    }
}

impl Hands<'_> {
    pub(super) fn act(&mut self, role: Role) {
        let outcome = match role {
            Role::Backup => self.back_up(Into::Packs),
            Role::BackupAgain => self.back_up(Into::PacksAgain),
            Role::LooseBackup => self.back_up(Into::Loose),
            Role::Pipeline => self.pipeline(),
            Role::TwoPrograms => self.two_programs(),
            Role::Prune => self.prune(),
            Role::Repair => self.repair(),
            Role::Restore => self.restore(),
            Role::Forget => self.forget(),
            Role::Tag => self.tag(),
        };
        if let Err(why) = outcome {
            self.book().breaks(format!("process {}, {role:?}: {why}", self.process));
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Repository {
        open(self.machine, self.config, Some(self.process))
    }

    /// One of the jobs that were told of and that nobody has begun to forget.
    fn any_job(&mut self) -> Option<(u64, Id)> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = book.jobs.iter().filter(|(job, _)| !book.may_be_forgotten.contains(job));
        let jobs: Vec<(u64, Id)> = jobs.map(|(job, id)| (*job, *id)).collect();
        let at = self.random.below(jobs.len().max(1) as u64) as usize;
        jobs.get(at).copied()
    }

    fn back_up(&mut self, into: Into) -> Result<(), String> {
        let repository = self.open();
        match self.publish(&repository, into) {
            Ok((job, snapshot)) => self.book().acknowledge(job, snapshot),
            Err(error) if is_fence(&error) => {}
            Err(error) => return Err(format!("{error:?}")),
        }
        Ok(())
    }

    /// What a tree is made of: often what somebody else stored before, or stores just now.
    fn content(&mut self) -> Random {
        let seed = self.random.next();
        Random(if self.random.one_in(2) { seed % 4 } else { seed })
    }

    fn publish(
        &mut self,
        repository: &Repository,
        into: Into,
    ) -> Result<(u64, Id), RepositoryError> {
        let session = repository.write_session()?;
        let parent = repository.parent_of_next("app")?;
        let labels = labels();
        let compression = self.config.compression();
        let options = InsertOptions { workers: 1, compression, again: into == Into::PacksAgain };
        let inserter = Inserter::new(repository.store(), session.id(), options);
        let mut content = self.content();
        let mut store = |sink: &mut dyn ObjectSink| -> Result<Id, WriteError> {
            let root = put_tree(sink, &mut content)?;
            let bytes = labels.snapshot(RootRecord::of_tree(root), parent).encode();
            put_any(sink, Kind::Snapshot, &bytes)
        };
        let id = match into {
            Into::Packs | Into::PacksAgain => inserter.run_one(|worker| store(worker))?.0,
            Into::Loose => store(&mut LooseSink::new(repository.store(), session.id()))?,
        };
        let job = session.publish(&BTreeMap::from([("app".to_owned(), id)]))?;
        Ok((job, id))
    }

    /// Stores a tree in a session of its own, which leans on another one if the repository does.
    fn store_tree(&mut self, repository: &Repository) -> Result<Id, RepositoryError> {
        let session = repository.write_session()?;
        let options = InsertOptions::new(1, self.config.compression());
        let inserter = Inserter::new(repository.store(), session.id(), options);
        let mut content = self.content();
        let stored = match self.random.one_in(2) {
            true => inserter.run_one(|worker| put_tree(worker, &mut content))?.0,
            false => put_tree(&mut LooseSink::new(repository.store(), session.id()), &mut content)?,
        };
        Ok(stored)
    }

    fn pipeline(&mut self) -> Result<(), String> {
        let outer = self.open();
        let session = outer.pipeline_session().map_err(|error| format!("{error:?}"))?;
        let mut first = self.open();
        first.lean_on(session.id());
        let stored = self.store_tree(&first);
        let mut second = self.open();
        second.lean_on(session.id());
        let written =
            stored.and_then(|root| write_snapshot(&second, RootRecord::of_tree(root), &labels()));
        match written {
            Ok(written) => self.book().acknowledge(written.job, written.id),
            Err(error) if is_fence(&error) => {}
            Err(error) => return Err(format!("{error:?}")),
        }
        Ok(())
    }

    fn two_programs(&mut self) -> Result<(), String> {
        let (first, second) = (self.open(), self.open());
        let written = self
            .store_tree(&first)
            .and_then(|root| write_snapshot(&second, RootRecord::of_tree(root), &labels()));
        match written {
            Ok(written) => self.book().acknowledge(written.job, written.id),
            // A prune may come between the two.
            Err(RepositoryError::Incomplete { .. }) => {}
            Err(error) if is_fence(&error) => {}
            Err(error) => return Err(format!("{error:?}")),
        }
        Ok(())
    }

    fn prune(&mut self) -> Result<(), String> {
        let is_harmed = self.book().is_harmed;
        let options = PruneOptions {
            unused: match self.random.below(3) {
                // Nobody knows of the damage, and what stays would be relied on though no job needs it.
                _ if is_harmed => Unused::Bytes(0),
                0 => Unused::Unlimited,
                1 => Unused::default(),
                _ => Unused::Bytes(0),
            },
            sessions: match self.random.below(4) {
                _ if self.fences => Sessions::Fence,
                0 => Sessions::Leave,
                1 => Sessions::Fence,
                _ => Sessions::Wait,
            },
            is_dry_run: self.random.one_in(10),
            condemned_max: match self.random.below(3) {
                0 => 1 + self.random.below(4) as usize,
                _ => usize::MAX,
            },
        };
        let repository = self.open();
        match prune(&repository, &options, &Problems::default(), &mut |_| ()) {
            Ok(_)
            | Err(
                PruneError::Busy
                | PruneError::Sessions { .. }
                | PruneError::NoJobs { .. }
                | PruneError::InPipeline
                | PruneError::Repository(RepositoryError::TooManyCondemned),
            ) => Ok(()),
            Err(PruneError::Needed(_)) if is_harmed => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    /// A prune that clears away everything; how many packs and loose objects went.
    pub(super) fn prune_all(&mut self) -> Result<u64, String> {
        let options = PruneOptions { unused: Unused::Bytes(0), ..PruneOptions::default() };
        match prune(&self.open(), &options, &Problems::default(), &mut |_| ()) {
            Ok(report) => Ok(report.deleted_packs + report.deleted_loose),
            Err(PruneError::Needed(_)) if self.book().is_harmed => Ok(0),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    fn repair(&mut self) -> Result<(), String> {
        let options = RepairOptions {
            depth: if self.random.one_in(2) { Depth::ReadData } else { Depth::Structure },
            workers: 1,
            rewrites: true,
            drops_control: false,
            is_dry_run: false,
        };
        let repository = self.open();
        let report = match repair(&repository, &options, &Memory::none(), &Problems::default()) {
            Ok(report) => report,
            Err(RepairError::Index(IndexPackError::Busy)) => return Ok(()),
            Err(RepairError::Repository(error)) if is_fence(&error) => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
        };
        for action in report.actions {
            if let Action::Rewritten { job: Some(job), snapshot, .. }
            | Action::PublishedAgain { job: Some(job), snapshot, .. } = action
            {
                self.book().acknowledge(job, snapshot);
            }
        }
        Ok(())
    }

    fn restore(&mut self) -> Result<(), String> {
        let repository = self.open();
        let session = repository.read_session().map_err(|error| format!("{error:?}"))?;
        // Chosen without a turn: it stands, or somebody has begun to forget it since.
        let Some((number, _)) = self.any_job() else { return Ok(()) };
        let job = repository.job(number).map_err(|error| format!("{error:?}"))?;
        let Some(id) = job.and_then(|job| job.snapshot("app")) else {
            return match self.book().may_be_forgotten.contains(&number) {
                true => Ok(()),
                false => Err(format!("job {number} is not there")),
            };
        };
        let read = read_all(&repository, (id, Kind::Snapshot), &mut Proved::new());
        let session = session.as_ref().map(|session| session.id().to_owned());
        let stands = session.is_some_and(|session| self.machine.world().stands(&session));
        let is_kept = !self.book().may_be_forgotten.contains(&number);
        let is_lost = self.book().lost.contains(&id);
        match read {
            Err(_) if is_lost => Ok(()),
            Err(error) if stands || is_kept => {
                Err(format!("job {number}, session stands: {stands}: {error:?}"))
            }
            _ => Ok(()),
        }
    }

    fn forget(&mut self) -> Result<(), String> {
        let repository = self.open();
        let Some((number, _)) = self.any_job() else { return Ok(()) };
        self.book().may_be_forgotten.insert(number);
        let Some(job) = repository.job(number).map_err(|error| format!("{error:?}"))? else {
            return Err(format!("job {number} is not there"));
        };
        match forget(&repository, &[(&job, "app")]) {
            Ok(()) => {}
            Err(ForgetError::Repository(error)) if is_fence(&error) => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
        }
        if self.random.one_in(3) {
            return Ok(());
        }
        match remember(&repository, &[(&job, "app")]) {
            Ok(()) => {
                self.book().may_be_forgotten.remove(&number);
                Ok(())
            }
            Err(ForgetError::Pruned { .. }) => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    fn tag(&mut self) -> Result<(), String> {
        let repository = self.open();
        let name = format!("tag/{}", self.process);
        for _ in 0..2 {
            let Some((_, id)) = self.any_job() else { return Ok(()) };
            let target = RefTarget { id, kind: Kind::Snapshot };
            let (change, after) = match self.random.one_in(4) {
                true => (Change::Delete, None),
                false => (Change::Set(target), Some(id)),
            };
            let allowed = self.book().refs.entry(name.clone()).or_insert(vec![None]).clone();
            let both = allowed.iter().copied().chain([after]).collect();
            self.book().refs.insert(name.clone(), both);
            let update = RefUpdate { name: name.clone(), expected: Expected::Any, change };
            let left = match update_refs(&repository, &[update]) {
                Ok(_) => vec![after],
                // Somebody may forget the job, and prune.
                Err(UpdateRefError::Repository(RepositoryError::Incomplete { .. })) => allowed,
                Err(_) if self.book().lost.contains(&id) => allowed,
                Err(UpdateRefError::Repository(error)) if is_fence(&error) => allowed,
                Err(error) => return Err(format!("{error:?}")),
            };
            self.book().refs.insert(name.clone(), left);
        }
        Ok(())
    }
}

/// Files of a directory; the last one is long.
const FILES: usize = 6;
const VERSIONS: usize = 4;

/// Versions of one file, which resemble each other, and their ids.
type Versions = Vec<(Vec<u8>, Id)>;

fn versions(file: usize) -> &'static [(Vec<u8>, Id)] {
    static FILES_MADE: [OnceLock<Versions>; FILES] = [const { OnceLock::new() }; FILES];
    FILES_MADE[file].get_or_init(|| {
        let length = if is_long(file) { PIECE_BYTES + 200_000 } else { 6000 };
        let version = |number: usize| {
            let mut bytes = noise(length, file as u32);
            bytes[100..108].copy_from_slice(&number.to_le_bytes());
            let id = object_id(Kind::Blob, &bytes);
            (bytes, id)
        };
        (0..VERSIONS).map(version).collect()
    })
}

fn is_long(file: usize) -> bool {
    file == FILES - 1
}

/// Stores a small tree of files in some of their versions.
fn put_tree<S: ObjectSink + ?Sized>(sink: &mut S, random: &mut Random) -> Result<Id, WriteError> {
    let metadata = Metadata { mode: 0o644, mtime: FileTime::default(), ..Metadata::default() };
    let entry = |name: String, node| Entry {
        name: name.into_bytes().into(),
        metadata: metadata.clone(),
        node,
    };
    let mut root = Vec::new();
    for directory in 0..2 {
        let mut files = Vec::new();
        for file in 0..FILES {
            // Long files are few, as they take most of the time.
            if random.one_in(if is_long(file) { 8 } else { 2 }) {
                let versions = versions(file);
                let (bytes, _) = &versions[random.below(VERSIONS as u64) as usize];
                let size_bytes = bytes.len() as u64;
                let id = put_any_like(sink, Kind::Blob, bytes, Some(&versions[0].1))?;
                files.push(entry(file.to_string(), Node::File { size_bytes, id }));
            }
        }
        let tree = put_any(sink, Kind::Tree, &tree::encode(&files))?;
        root.push(entry(directory.to_string(), Node::Directory { tree }));
    }
    put_any(sink, Kind::Tree, &tree::encode(&root))
}
