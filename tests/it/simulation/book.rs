//! What was promised so far, and whether it holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::config::Config;
use runup::ops::closure::{Reached, Walk};
use runup::repository::Repository;
use runup::store::ReadError;

use super::backend::{Machine, Simulated};

/// What was told to users.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The snapshot of each job that was told to be published.
    pub(super) jobs: BTreeMap<u64, Id>,
    /// Jobs that somebody has begun to forget.
    pub(super) may_be_forgotten: BTreeSet<u64>,
    /// What each ref may be.
    pub(super) refs: BTreeMap<String, Vec<Option<Id>>>,
    /// Whether the disk has lost or changed anything.
    pub(super) is_harmed: bool,
    /// Snapshots that cannot be read since then.
    pub(super) lost: BTreeSet<Id>,
    /// What was broken.
    pub(super) broken: Option<String>,
}

impl Book {
    pub(super) fn acknowledge(&mut self, job: u64, snapshot: Id) {
        if self.jobs.insert(job, snapshot).is_some() {
            self.broken = Some(format!("the number of job {job} was given twice"));
        }
    }

    pub(super) fn breaks(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }
}

/// Opens the repository as a program of this process does, or as somebody who only looks.
pub(super) fn open(machine: &Machine, config: &Config, process: Option<usize>) -> Repository {
    let backend = Simulated::new(machine, process);
    Repository::with_backend(Arc::new(backend), config.clone(), "a disk in memory".to_owned())
        .unwrap_or_else(|error| panic!("the repository cannot be opened: {error:?}"))
}

/// Copies in packs that were read before. Packs do not change.
pub(super) type Proved = HashSet<(Id, Id, u64)>;

/// Reads everything that an object leads to, but for copies that are proved.
pub(super) fn read_all(
    repository: &Repository,
    (id, kind): (Id, Kind),
    proved: &mut Proved,
) -> Result<(), ReadError> {
    let store = repository.store();
    let mut walk = Walk::new(store);
    walk.run(&Reached { id, kind, path: None }, &mut |reached| {
        let Reached { id, kind, .. } = *reached;
        let mut found = store.find_anywhere(&id)?.ok_or(ReadError::Missing { id, kind })?;
        let copy = found.pack.map(|found| (id, found.pack.name, found.place.frame.offset));
        let is_proved = found.base().is_none() && copy.is_some_and(|copy| proved.contains(&copy));
        let is_there = |pack: Id| repository.backend().length(&format!("packs/{pack}.pack"));
        if !is_proved || copy.is_some_and(|(_, pack, _)| !matches!(is_there(pack), Ok(Some(_)))) {
            store.load(&id, kind)?;
            proved.extend(copy);
        }
        // It was read with what it is a difference from, or in another copy.
        found.pack.iter_mut().for_each(|found| found.place.base = None);
        Ok::<_, ReadError>(Some(found))
    })
}

/// Snapshots of jobs that cannot be read.
pub(super) fn unreadable(machine: &Machine, config: &Config) -> Result<BTreeSet<Id>, String> {
    let repository = open(machine, config, None);
    let jobs = repository.jobs(|_, _| ()).map_err(|error| format!("{error:?}"))?;
    let mut proved = Proved::new();
    let mut cannot_be_read =
        |id: &&Id| read_all(&repository, (**id, Kind::Snapshot), &mut proved).is_err();
    let snapshots = jobs.iter().flat_map(|job| job.standing());
    Ok(snapshots.filter(|id| cannot_be_read(id)).copied().collect())
}

/// Asserts that no older state stands behind the newest one because it was written anew.
pub(super) fn newest_is_last(machine: &Machine, config: &Config) -> Result<(), String> {
    let repository = open(machine, config, None);
    let jobs = repository.jobs(|_, _| ()).map_err(|error| format!("{error:?}"))?;
    let (mut stands_for, mut published): (BTreeMap<u64, u64>, BTreeMap<Id, u64>) =
        Default::default();
    for job in &jobs {
        let Some(id) = job.projects.get("app") else { continue };
        let Ok(snapshot) = repository.snapshot(id) else { continue };
        let said = snapshot.description.unwrap_or_default();
        let of = said.split_once(" of job ").and_then(|(_, said)| said.split(',').next());
        let origin = of.and_then(|number| number.parse().ok()).unwrap_or(job.number);
        let origin = stands_for.get(&origin).copied().unwrap_or(origin);
        let origin = *published.entry(*id).or_insert(origin);
        stands_for.insert(job.number, origin);
    }
    let live = jobs.iter().filter(|job| job.snapshot("app").is_some());
    let live: Vec<(u64, u64)> =
        live.filter_map(|job| Some((job.number, *stands_for.get(&job.number)?))).collect();
    match (live.last(), live.iter().map(|(_, stands_for)| *stands_for).max()) {
        (Some((job, stands_for)), Some(newest)) if *stands_for < newest => {
            Err(format!("job {job} has the state of job {stands_for}, that of {newest} is newer"))
        }
        _ => Ok(()),
    }
}

/// Asserts that everything stands that was promised.
pub(super) fn check(
    machine: &Machine,
    config: &Config,
    book: &Book,
    proved: &mut Proved,
) -> Result<(), String> {
    let repository = open(machine, config, None);
    let numbers = repository.job_numbers().map_err(|error| format!("{error:?}"))?;
    let promised = book.jobs.keys().filter(|job| !book.may_be_forgotten.contains(job));
    for job in promised.clone() {
        if numbers.binary_search(job).is_err() {
            return Err(format!("job {job} is gone"));
        }
    }
    for number in numbers {
        let job = repository.job(number).map_err(|error| format!("job {number}: {error:?}"))?;
        let Some(job) = job else { continue };
        if !book.may_be_forgotten.contains(&number) && job.live().next().is_none() {
            return Err(format!("job {number} is forgotten by itself"));
        }
        for id in job.standing().filter(|id| !book.lost.contains(id)) {
            read_all(&repository, (*id, Kind::Snapshot), proved)
                .map_err(|error| format!("job {number} cannot be read: {error:?}"))?;
        }
    }
    let refs = repository.ref_table().map_err(|error| format!("refs: {error:?}"))?.refs;
    for (name, allowed) in &book.refs {
        let found = refs.get(name).map(|target| target.id);
        if !allowed.contains(&found) {
            return Err(format!("{name} is {found:?}, and not one of {allowed:?}"));
        }
    }
    for (name, target) in &refs {
        read_all(&repository, (target.id, target.kind), proved)
            .map_err(|error| format!("{name} cannot be read: {error:?}"))?;
    }
    Ok(())
}
