//! Objects that are stored as a difference from others: whether those can be used.
//!
//! Invariant: an object is lost with its base only if no other copy of it can be used.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Finding, Findings, Number};
use super::table::{Presence, Table};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::delta::Base;
use crate::format::pack::FrameRecord;
use crate::ops::verify_pack::frames::Planned;

/// An object, and what it is stored as a difference from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Delta {
    id: Id,
    kind: Kind,
    base: Base,
}

impl Delta {
    /// Those of a frame as its footer tells it, if it is a delta frame.
    pub(super) fn of_record(frame: &FrameRecord) -> impl Iterator<Item = Self> {
        let objects = frame.objects.iter().zip(&frame.bases);
        objects.map(|(object, base)| Self { id: object.id, kind: object.kind, base: *base })
    }

    /// Those of a frame, if it is a delta frame.
    pub(super) fn of_frame(frame: &Planned) -> impl Iterator<Item = Self> {
        let objects = frame.objects.iter().zip(&frame.bases);
        objects.map(|((_, object), base)| Self { id: object.id, kind: object.kind, base: *base })
    }
}

/// The table, what cannot be decoded marked in it; what that lacks is reported.
pub(super) fn check<'s>(
    mut table: Table<'s>,
    mut deltas: Vec<Delta>,
    findings: &Findings<'_>,
) -> Table<'s> {
    deltas.sort_unstable();
    deltas.dedup();
    let (sound, broken): (Vec<Delta>, Vec<Delta>) =
        deltas.into_iter().partition(|delta| table.has_base(&delta.base.id, delta.base.kind));
    if broken.is_empty() {
        return table;
    }
    let sound: BTreeSet<Id> = sound.into_iter().map(|delta| delta.id).collect();
    let mut needed: BTreeMap<Base, Vec<Delta>> = BTreeMap::new();
    for delta in broken {
        needed.entry(delta.base).or_default().push(delta);
    }
    let is_lost = |delta: &&Delta| !sound.contains(&delta.id);
    let lost: Vec<(Id, Kind)> =
        needed.values().flatten().filter(is_lost).map(|delta| (delta.id, delta.kind)).collect();
    table.lose_deltas(&lost);
    for (base, deltas) in needed {
        let is_present = |delta: &Delta| {
            matches!(table.look_up(&delta.id, delta.kind), Presence::Present { .. })
        };
        let is_damage = !deltas.iter().all(is_present);
        let number = number_of(&base, deltas.len(), is_damage, findings);
        for delta in deltas.iter().filter(is_lost) {
            findings.blame_for(number, delta.id, delta.kind);
        }
    }
    table
}

/// The finding that tells why a base cannot be used.
fn number_of(base: &Base, count: usize, is_damage: bool, findings: &Findings<'_>) -> Number {
    findings.blamed(&base.id, base.kind).unwrap_or_else(|| {
        if !is_damage {
            let message = format!(
                "it is not stored whole; the {count} objects that are decoded from it are stored \
                 elsewhere, too"
            );
            return findings.add(Finding::note("missing_base", message).object(base.id, base.kind));
        }
        let message = format!("it is not stored whole, and {count} objects are decoded from it");
        findings.add(Finding::damage("missing_object", message).object(base.id, base.kind))
    })
}
