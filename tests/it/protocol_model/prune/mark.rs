//! What prune decides from its listings: what to condemn, and what to take off that list again.
//!
//! Invariant: whatever is not condemned refers to nothing that is deleted.

use super::super::Flaw;
use super::super::repository::{Condemned, Repository, Violation, mostly_dead};
use super::super::universe::{Needs, Set, bit, closure, every, forms, lowest, members, objects_of};
use super::Prune;
use crate::random::Random;

impl Prune {
    /// Chooses what to condemn, and what to store again first because it is still needed.
    pub(super) fn mark(
        &mut self,
        repository: &Repository,
        random: &mut Random,
    ) -> Result<(), Violation> {
        let indexed = repository.covered(self.segments) & repository.packs.now;
        let loose = repository.loose.now;
        let found = repository.records_in(indexed) | loose;
        let reached = closure(self.roots, found, self.choose).map_err(Violation::PruneMisses)?;
        let mut live = reached.needs;
        let mut chosen = reached.records;
        if repository.flaw == Flaw::DeltaIsBase {
            chosen &= !live.bases;
            live.bases = 0;
        }
        self.condemned = Condemned { packs: self.packs & !indexed, loose: loose & !live.objects };
        if repository.flaw != Flaw::GoneNotCondemned {
            // What a prune of a full disk has deleted and not taken off the index.
            self.condemned.packs |= repository.covered(self.segments) & !repository.packs.now;
        }
        for pack in members(indexed & self.packs) {
            let records = repository.records[pack];
            // A dead tree left in a kept pack would outlive what it refers to.
            let incomplete =
                repository.flaw != Flaw::DeadReferrerKept && !Needs::of(records).within(live);
            if incomplete || mostly_dead(records, live) || (self.repacks && random.one_in(4)) {
                self.condemned.packs |= bit(pack);
            }
        }
        if self.repacks {
            self.condemned.loose = loose;
        }
        let kept = repository.records_in(indexed & !self.condemned.packs)
            | (loose & !self.condemned.loose);
        self.repacked = chosen & !kept;
        Ok(())
    }

    /// Condemned packs that no reader of anything that stays meets, whichever copies it meets.
    pub(super) fn unread(&self, repository: &Repository) -> Set {
        let condemned = self.condemned.packs;
        if repository.flaw == Flaw::FullDeletesAll {
            return condemned;
        }
        let named = repository.covered(self.segments) & (repository.packs.now | condemned);
        let loose = repository.loose.now;
        let found = repository.records_in(named) | loose;
        let kept = repository.records_in(named & !condemned) | loose;
        let roots = self.roots | objects_of(kept);
        let Ok(met) = closure(roots, found, every) else { return 0 };
        members(condemned)
            .filter(|&pack| repository.records[pack] & met.records == 0)
            .fold(0, |set, pack| set | bit(pack))
    }

    /// One of these packs that may be deleted now: no other one refers to it, which would be incomplete
    /// if the prune were killed then.
    pub(super) fn unread_and_referred_to_by_none(&self, repository: &Repository) -> Option<usize> {
        let unread = self.unread(repository) & repository.packs.now;
        if repository.flaw == Flaw::FullDeletesAll {
            return lowest(unread);
        }
        let condemned = self.condemned.packs & repository.packs.now;
        members(unread).find(|&pack| {
            let others = Needs::of(repository.records_in(condemned & !bit(pack)));
            let own = repository.records[pack];
            others.objects & objects_of(own) == 0 && others.bases & own == 0
        })
    }

    /// Takes off the condemned list what jobs refer to, and what all that is kept refers to.
    pub(super) fn rescue(&mut self, repository: &Repository) -> Result<(), Violation> {
        let indexed = repository.covered(self.segments) & repository.packs.now;
        let loose = repository.loose.now;
        let found = repository.records_in(indexed) | loose;
        loop {
            let kept = repository.records_in(indexed & !self.condemned.packs)
                | (loose & !self.condemned.loose);
            let mut needs = Needs::of(kept);
            needs.objects |= self.roots;
            if repository.flaw == Flaw::RootsAreJobsOnly {
                let reached = closure(self.roots, found, every);
                needs = reached.map_err(Violation::PruneMisses)?.needs;
            }
            if repository.flaw == Flaw::DeltaIsBase {
                needs.bases = 0;
            }
            let object = lowest(needs.objects & !objects_of(kept));
            let wanted = match (object, lowest(needs.bases & !kept)) {
                (Some(object), _) => forms(object),
                (None, Some(record)) => bit(record),
                (None, None) => return Ok(()),
            };
            let holder = members(indexed & self.condemned.packs)
                .find(|&pack| repository.records[pack] & wanted != 0);
            if let Some(pack) = holder {
                self.condemned.packs &= !bit(pack);
            } else if loose & self.condemned.loose & wanted != 0 {
                self.condemned.loose &= !wanted;
            } else {
                return Err(Violation::PruneMisses(lowest(wanted).unwrap_or_default()));
            }
        }
    }
}
