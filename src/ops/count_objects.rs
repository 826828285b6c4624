//! How much is stored, and what of it is there twice, left over or under way.
//!
//! Invariant: no pack is opened but one that no index covers, and of that the header only; nothing
//! is held but one number for each pack.

use std::collections::BTreeMap;

use crate::backend::{Backend, LOST_DIRECTORY};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::pack::PackClass;
use crate::repository::{Job, Repository, RepositoryError};
use crate::store::{ReadError, read_header};

/// A number of files or objects, and the bytes of all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// The figures of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Loose files.
    pub loose: Count,
    /// Packs of file data.
    pub content_packs: Count,
    /// Packs of trees, lists, snapshots and the like.
    pub metadata_packs: Count,
    /// Packs whose class is not known, because neither an index nor a sound header tells it.
    pub unknown_packs: Count,
    /// Of all packs, those that no index covers.
    pub unindexed_packs: Count,
    /// Packs that an index covers and that are not there.
    pub missing_packs: u64,
    /// Index segments, those included that others replace.
    pub index: Count,
    /// Distinct objects of each kind, with what is stored of each, uncompressed: where that is a
    /// list, the list.
    pub objects: BTreeMap<Kind, Count>,
    /// Of those, the ones that are stored as a list.
    pub lists: u64,
    /// Of the objects, those that are stored as a difference from another one, with the bytes that
    /// they take.
    pub deltas: Count,
    /// Copies of objects beyond the first of each.
    pub duplicates: u64,
    /// Loose files whose header cannot be read.
    pub damaged_loose: u64,
    /// Files that are being written, or were left by a writer that was stopped.
    pub temporary: Count,
    /// Damaged files that were set aside.
    pub lost: Count,
    /// Programs at work, and those that were stopped since the last one began.
    pub sessions: u64,
    /// Jobs, wholly forgotten ones included.
    pub jobs: u64,
    /// Distinct snapshots that jobs name and that are not forgotten.
    pub snapshots: u64,
}

/// Counts what is stored.
///
/// # Errors
///
/// A directory of the repository cannot be listed.
pub fn count_objects(repository: &Repository) -> Result<Counts, RepositoryError> {
    let mut counts = Counts::default();
    objects(repository, &mut counts)?;
    packs(repository, &mut counts)?;
    let backend = repository.backend();
    counts.index = files(backend, "index", ".idx")?;
    counts.temporary = files(backend, "tmp", "")?;
    counts.lost = files(backend, LOST_DIRECTORY, "")?;
    counts.sessions = backend.list("sessions")?.len() as u64;
    let jobs = repository.jobs(|_, _| {})?;
    counts.jobs = repository.job_numbers()?.len() as u64;
    let mut snapshots: Vec<&Id> = jobs.iter().flat_map(Job::live).map(|(_, id)| id).collect();
    snapshots.sort_unstable();
    snapshots.dedup();
    counts.snapshots = snapshots.len() as u64;
    Ok(counts)
}

fn objects(repository: &Repository, counts: &mut Counts) -> Result<(), ReadError> {
    let store = repository.store();
    store.for_each_object(|object| {
        counts.duplicates += object.copies.saturating_sub(1);
        match object.found {
            Ok(found) => {
                counts.objects.entry(found.kind).or_default().add(found.length_bytes);
                counts.lists += u64::from(found.is_list);
                if found.base().is_some() {
                    counts.deltas.add(found.stored_bytes);
                }
            }
            Err(error) if error.is_damage() => counts.damaged_loose += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    store.for_each_loose(|_, bytes| {
        counts.loose.add(bytes);
        Ok(())
    })
}

fn packs(repository: &Repository, counts: &mut Counts) -> Result<(), RepositoryError> {
    let mut classes = repository.store().pack_classes();
    for listed in repository.backend().list("packs")? {
        let name = listed.name.strip_suffix(".pack").and_then(|name| name.parse::<Id>().ok());
        let Some(name) = name.filter(|_| !listed.is_directory) else { continue };
        let class = classes.remove(&name).or_else(|| {
            counts.unindexed_packs.add(listed.length_bytes);
            let file = format!("packs/{name}.pack");
            let pack = repository.backend().open(&file).ok();
            pack.and_then(|pack| read_header(&*pack, &file).ok()).map(|header| header.class)
        });
        let count = match class {
            Some(PackClass::Content) => &mut counts.content_packs,
            Some(PackClass::Metadata) => &mut counts.metadata_packs,
            None => &mut counts.unknown_packs,
        };
        count.add(listed.length_bytes);
    }
    counts.missing_packs = classes.len() as u64;
    Ok(())
}

fn files(backend: &dyn Backend, directory: &str, suffix: &str) -> Result<Count, RepositoryError> {
    let mut count = Count::default();
    for listed in backend.list(directory)? {
        if listed.name.ends_with(suffix) {
            count.add(listed.length_bytes);
        }
    }
    Ok(count)
}
