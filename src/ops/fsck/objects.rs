//! Single objects: whether each can be used, and if not, which findings say why.
//!
//! Invariant: each distinct list is proved once; an object that cannot be used has one finding at
//! least, and is reported once however often it is needed.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::report::{Finding, Findings, Number};
use super::table::{Claim, Presence, Table};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::codec::DecodeError;
use crate::format::list::{List, Segment};
use crate::ops::closure::pages;
use crate::ops::with_causes;
use crate::repository::{Repository, RepositoryError};
use crate::store::{ReadError, Stored};

/// Looks up objects, and proves lists.
pub(super) struct Objects<'a> {
    pub(super) repository: &'a Repository,
    pub(super) findings: &'a Findings<'a>,
    pub(super) table: &'a Table<'a>,
    /// Objects that cannot be used, and why.
    lost: HashMap<(Id, Kind), Vec<Number>>,
    sound_lists: HashSet<(Id, Kind)>,
    /// Look-ups of objects that no index leads to.
    pub(super) unindexed: u64,
    /// Lists proved.
    pub(super) lists: u64,
}

/// An error about an object whose bytes are its own and yet not what they should be.
pub(super) fn not_sound(id: &Id, kind: Kind, source: DecodeError) -> RepositoryError {
    ReadError::Damaged { id: *id, kind, file: "the repository".to_owned(), source }.into()
}

impl<'a> Objects<'a> {
    /// Prepares for look-ups, knowing why copies of objects cannot be used.
    pub(super) fn new(
        repository: &'a Repository,
        findings: &'a Findings<'a>,
        table: &'a Table<'a>,
    ) -> Self {
        let mut lost: HashMap<(Id, Kind), Vec<Number>> = HashMap::new();
        for (id, kind, number) in findings.take_blamed() {
            if table.look_up(&id, kind) == Presence::Lost {
                lost.entry((id, kind)).or_default().push(number);
            }
        }
        let sound_lists = HashSet::new();
        Self { repository, findings, table, lost, sound_lists, unindexed: 0, lists: 0 }
    }

    /// Proves every list that an index leads to, needed or not.
    pub(super) fn all_lists(&mut self) {
        let table = self.table;
        for (id, kind) in table.lists() {
            if self.findings.monitor.is_cancelled() {
                return;
            }
            self.object(&id, kind);
        }
    }

    /// Reports an object that is stored and cannot be used, and remembers that.
    pub(super) fn damaged(&mut self, id: &Id, kind: Kind, error: &RepositoryError) -> Number {
        let known = self.lost.get(&(*id, kind)).and_then(|numbers| numbers.first());
        if let Some(number) = known {
            return *number;
        }
        let finding = Finding::damage("damaged_object", with_causes(error)).object(*id, kind);
        let place = self.repository.store().segments().places(id).into_iter().next();
        let finding = match place {
            Some((pack, _)) => finding.file(format!("packs/{}.pack", pack.name)),
            None => finding,
        };
        let number = self.findings.add(finding);
        self.lost.entry((*id, kind)).or_default().push(number);
        number
    }

    /// Why an object cannot be used; nothing if it can be.
    pub(super) fn object(&mut self, id: &Id, kind: Kind) -> Vec<Number> {
        if let Some(numbers) = self.lost.get(&(*id, kind)) {
            return numbers.clone();
        }
        match self.table.look_up(id, kind) {
            Presence::Present { has_list, is_indexed, .. } => {
                self.unindexed += u64::from(!is_indexed);
                if has_list { self.list(id, kind) } else { Vec::new() }
            }
            Presence::Missing | Presence::Lost => vec![self.missing(id, kind)],
        }
    }

    fn missing(&mut self, id: &Id, kind: Kind) -> Number {
        let message = "it is needed and not in the repository";
        let finding = Finding::damage("missing_object", message).object(*id, kind);
        let number = self.findings.add(finding);
        self.lost.entry((*id, kind)).or_default().push(number);
        number
    }

    /// As [`Self::object`], for a page or chunk of a list, which must not be a list itself.
    fn piece(&mut self, id: &Id, kind: Kind) -> Vec<Number> {
        match self.table.look_up(id, kind) {
            Presence::Present { has_whole: false, .. } if !self.lost.contains_key(&(*id, kind)) => {
                let source = DecodeError { what: "a chunk or page that is a list", offset: 0 };
                vec![self.damaged(id, kind, &not_sound(id, kind, source))]
            }
            Presence::Present { is_indexed, .. } => {
                self.unindexed += u64::from(!is_indexed);
                self.lost.get(&(*id, kind)).cloned().unwrap_or_default()
            }
            _ => self.object(id, kind),
        }
    }

    fn list(&mut self, id: &Id, kind: Kind) -> Vec<Number> {
        if self.sound_lists.contains(&(*id, kind)) {
            return Vec::new();
        }
        let numbers = match self.repository.store().load(id, kind) {
            Ok(Stored::Whole(_)) => BTreeSet::new(),
            Ok(Stored::List(list)) => self.list_parts(id, kind, &list),
            Err(error) => BTreeSet::from([self.damaged(id, kind, &error.into())]),
        };
        if numbers.is_empty() {
            self.sound_lists.insert((*id, kind));
            let _first = self.table.claim(id, kind, Claim::List);
            return Vec::new();
        }
        let numbers: Vec<Number> = numbers.into_iter().collect();
        self.lost.insert((*id, kind), numbers.clone());
        numbers
    }

    fn list_parts(&mut self, id: &Id, kind: Kind, list: &List) -> BTreeSet<Number> {
        self.lists += 1;
        let mut numbers = BTreeSet::new();
        for page in pages(list) {
            numbers.extend(self.piece(&page, Kind::Page));
        }
        if !numbers.is_empty() {
            return numbers;
        }
        let store = self.repository.store();
        let proved = store.prove(id, kind, list).and_then(|()| {
            store.for_each_segment(list, |segment| {
                if let Segment::Chunk { id, .. } = segment {
                    numbers.extend(self.piece(&id, kind.chunk_kind()));
                }
                Ok(())
            })
        });
        if let Err(error) = proved {
            numbers.insert(self.damaged(id, kind, &error.into()));
        }
        numbers
    }
}
