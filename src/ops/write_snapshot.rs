//! A tree becomes a snapshot, and the snapshot a job.
//!
//! Invariant: inside its session, all that the snapshot refers to was found present and not
//! condemned before the job is published.

use std::collections::BTreeMap;

use super::closure::{first_absent, of_root};
use super::restore::selection_of;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::snapshot::{RootRecord, Snapshot};
use crate::repository::{Repository, RepositoryError, WriteSession};
use crate::store::{InsertOptions, Inserter, put_any};

/// What a snapshot tells beside its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotLabels {
    /// The project's name.
    pub project: String,
    /// When the backup began, RFC 3339.
    pub time: String,
    /// The machine.
    pub host: String,
    /// Who ran the backup.
    pub user: String,
    /// A text for people.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
}

impl SnapshotLabels {
    /// The snapshot of a tree.
    pub fn snapshot(&self, root: RootRecord, parent: Option<Id>) -> Snapshot {
        let mut tags = self.tags.clone();
        tags.sort();
        tags.dedup();
        Snapshot {
            project: self.project.clone(),
            root,
            parent,
            time: self.time.clone(),
            host: self.host.clone(),
            user: self.user.clone(),
            description: self.description.clone(),
            tags,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A published snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenSnapshot {
    /// The snapshot.
    pub id: Id,
    /// The job that holds it.
    pub job: u64,
    /// The snapshot of the project before it.
    pub parent: Option<Id>,
}

/// Refuses what no reader would take: the record may come from anywhere.
fn check(bytes: &[u8]) -> Result<(), String> {
    let snapshot = Snapshot::decode(bytes).map_err(|error| error.to_string())?;
    selection_of(&snapshot).map(|_| ()).map_err(|error| error.to_string())
}

/// Stores a snapshot of a tree that is stored already, and publishes it as a job of its own.
///
/// # Errors
///
/// [`RepositoryError::Incomplete`] if anything the tree refers to is not there or condemned;
/// [`RepositoryError::Fenced`] if a prune ended the session. Nothing was published in either case.
pub fn write_snapshot(
    repository: &Repository,
    root: RootRecord,
    labels: &SnapshotLabels,
) -> Result<WrittenSnapshot, RepositoryError> {
    let session: WriteSession<'_> = repository.write_session()?;
    if let Some((id, kind)) = first_absent(repository.store(), of_root(&root))? {
        return Err(session.incomplete(id, kind));
    }
    let parent = repository.parent_of_next(&labels.project)?;
    let bytes = labels.snapshot(root, parent).encode();
    check(&bytes).map_err(|what| RepositoryError::Invalid { what })?;
    let compression = repository.config().compression();
    let options = InsertOptions::new(1, compression);
    let inserter = Inserter::new(repository.store(), session.id(), options);
    let (id, _) = inserter.run_one(|worker| put_any(worker, Kind::Snapshot, &bytes))?;
    let job = session.publish(&BTreeMap::from([(labels.project.clone(), id)]))?;
    Ok(WrittenSnapshot { id, job, parent })
}
