//! The deletions, and what has to be durable before them.
//!
//! Invariant: the index without the condemned packs is durable before the first of them is deleted. On
//! a full disk only, it comes after them: until then the generation stands that condemns them, which
//! all who are at work obey.

use std::collections::BTreeSet;

use super::again::Name;
use super::census::Census;
use super::{Prune, PruneError, PruneReport, again};
use crate::base::id::Id;
use crate::store::Condemned;

impl Prune<'_> {
    /// Makes durable what a killed prune has deleted and taken off the index: it must not come back when
    /// its list is replaced.
    pub(super) fn sync_remains(&self) -> Result<(), PruneError> {
        let backend = self.repository.backend();
        for directory in ["packs", "objects", "index"] {
            backend.note_unsynced(directory);
        }
        for listed in backend.list("objects")? {
            if listed.is_directory {
                backend.note_unsynced(&format!("objects/{}", listed.name));
            }
        }
        Ok(backend.sync_all()?)
    }

    /// Makes durable all that is relied on when the rest goes.
    pub(super) fn sync_all(&self) -> Result<(), PruneError> {
        let backend = self.repository.backend();
        backend.note_unsynced("refs");
        backend.note_unsynced("jobs");
        self.sync_remains()
    }

    /// Deletes what is condemned, and takes it off the index and off the list.
    pub(super) fn sweep(
        &mut self,
        census: &Census,
        condemned: &Condemned,
        report: &mut PruneReport,
    ) -> Result<(), PruneError> {
        let repository = self.repository;
        let store = repository.store();
        let session = self.session.id().to_owned();
        let mut leave_out = || Ok(store.leave_out_packs(&session, &condemned.packs)?);
        let is_left_out = match self.reserve.or_released(&mut leave_out) {
            Err(error) if error.is_no_space() => false,
            other => other.map(|()| true)?,
        };
        if !is_left_out {
            // If this is cut short, the index names what is gone until the next prune: nothing that is
            // left may refer to that.
            let unread = match self.unread(census, condemned) {
                // Something that is to go is incomplete already, so who refers to what cannot be told.
                Err(PruneError::Needed(_)) => Vec::new(),
                other => other?,
            };
            for name in unread {
                let Name::Pack(pack) = name else { continue };
                let packs = BTreeSet::from([pack]);
                self.delete(&Condemned { packs, ..Condemned::default() }, report)?;
                self.repository.backend().note_unsynced("packs");
                self.repository.backend().sync("packs")?;
            }
            leave_out()?;
        }
        self.delete(condemned, report)?;
        self.sync_remains()?;
        self.condemn(&Condemned::default())?;
        match store.merge_while_locked(&session).map_err(PruneError::from) {
            Err(error) if error.is_no_space() => Ok(()),
            other => other,
        }
    }

    /// Condemned packs that no reader of anything that stays can meet, whichever copies it meets: they
    /// hold nothing that is needed, nor do those refer to it that do. Each comes after those that refer
    /// to it.
    fn unread(&self, census: &Census, condemned: &Condemned) -> Result<Vec<Name>, PruneError> {
        let is_read = |name: &Id| census.packs.get(name).is_none_or(|pack| pack.holds_needed);
        let (read, unread): (BTreeSet<Id>, BTreeSet<Id>) =
            condemned.packs.iter().partition(|name| is_read(name));
        let mut unread = Condemned { packs: unread, ..Condemned::default() };
        let store = self.repository.store();
        again::keep(read, &condemned.loose, store, &mut unread)?;
        again::in_order(&unread, store)
    }

    /// Packs that the index names and that are not there.
    pub(super) fn indexed_but_gone(&self) -> Result<BTreeSet<Id>, PruneError> {
        let listed = self.repository.backend().list("packs")?.into_iter();
        let there: BTreeSet<Id> =
            listed.filter_map(|listed| listed.name.strip_suffix(".pack")?.parse().ok()).collect();
        let covered = self.repository.store().covered_packs().into_keys();
        Ok(covered.filter(|name| !there.contains(name)).collect())
    }

    fn delete(&self, condemned: &Condemned, report: &mut PruneReport) -> Result<(), PruneError> {
        let backend = self.repository.backend();
        for name in &condemned.packs {
            let file = format!("packs/{name}.pack");
            if let Some(length_bytes) = backend.length(&file)? {
                backend.remove(&file)?;
                report.deleted_packs += 1;
                report.deleted_pack_bytes += length_bytes;
            }
        }
        for id in &condemned.loose {
            let digits = id.to_hex();
            let (head, tail) = digits.split_at(2);
            let file = format!("objects/{head}/{tail}");
            if let Some(length_bytes) = backend.length(&file)? {
                backend.remove(&file)?;
                report.deleted_loose += 1;
                report.deleted_loose_bytes += length_bytes;
            }
        }
        Ok(())
    }
}
