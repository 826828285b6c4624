//! Which packs of metadata may be found by an index: those that refer to nothing that is missing,
//! and those that a job needs all the same.
//!
//! Invariant: a pack that is left out is left out whole, so that readers who go by footers find it;
//! and a pack refers to nothing that was left out, unless a job leads to it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::pack::FrameRecord;
use crate::ops::closure::of_object;
use crate::ops::with_causes;
use crate::store::{ReadError, Store};

/// What a pack refers to outside of what can be found already.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Whether it refers to something that is nowhere, or holds something that cannot be read.
    pub(super) is_broken: bool,
    /// Why something in it cannot be read.
    pub(super) problem: Option<String>,
    /// For each object that it refers to and does not hold, the packs that do.
    choices: BTreeSet<Vec<u32>>,
}

/// Where an object is.
enum Holder {
    /// Where everybody finds it.
    Published,
    /// In these candidates.
    Candidates(Vec<u32>),
    Nowhere,
}

/// The packs that are looked at, and what they are compared with.
pub(super) struct Candidates<'a> {
    /// What can be found already.
    published: &'a Store,
    /// That and the candidates.
    reader: &'a Store,
    /// The number of each candidate.
    numbers: BTreeMap<Id, u32>,
    /// Packs that would be published before.
    granted: &'a BTreeSet<Id>,
    pub(super) needs: Vec<Needs>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(
        published: &'a Store,
        reader: &'a Store,
        names: impl Iterator<Item = Id>,
        granted: &'a BTreeSet<Id>,
    ) -> Self {
        let numbers = names.zip(0..).collect();
        Self { published, reader, numbers, granted, needs: Vec::new() }
    }

    fn holder(&self, id: &Id) -> Result<Holder, ReadError> {
        if self.published.is_present(id)? {
            return Ok(Holder::Published);
        }
        let mut numbers = Vec::new();
        for (pack, _) in self.reader.segments().places(id) {
            if self.granted.contains(&pack.name) {
                return Ok(Holder::Published);
            }
            numbers.extend(self.numbers.get(&pack.name));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(if numbers.is_empty() { Holder::Nowhere } else { Holder::Candidates(numbers) })
    }

    /// Finds out what the next candidate needs. Reads all in it that refers to anything.
    pub(super) fn examine(&mut self, frames: &[FrameRecord]) -> Result<(), ReadError> {
        let own = self.needs.len() as u32;
        let mut needs = Needs::default();
        for base in frames.iter().flat_map(|frame| &frame.bases) {
            self.need(&base.id, own, &mut needs)?;
        }
        for object in frames.iter().flat_map(|frame| &frame.objects) {
            if !object.is_list && !matches!(object.kind, Kind::Tree | Kind::Snapshot) {
                continue;
            }
            let references = match of_object(self.reader, &object.id, object.kind) {
                Ok(references) => references,
                Err(ReadError::Missing { .. }) => {
                    // A page of its list.
                    needs.is_broken = true;
                    continue;
                }
                Err(error) if error.is_damage() => {
                    needs.is_broken = true;
                    needs.problem = needs.problem.or_else(|| Some(with_causes(&error)));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (id, _) in references {
                self.need(&id, own, &mut needs)?;
            }
        }
        self.needs.push(needs);
        Ok(())
    }

    /// Notes that the candidate `own` refers to an object.
    fn need(&self, id: &Id, own: u32, needs: &mut Needs) -> Result<(), ReadError> {
        match self.holder(id)? {
            Holder::Published => {}
            Holder::Nowhere => needs.is_broken = true,
            Holder::Candidates(numbers) if numbers.contains(&own) => {}
            Holder::Candidates(numbers) => drop(needs.choices.insert(numbers)),
        }
        Ok(())
    }

    /// Which candidates are complete, or `wanted` all the same.
    fn kept(&self, wanted: &BTreeSet<u32>) -> Vec<bool> {
        let is_wanted = |number: usize| wanted.contains(&(number as u32));
        let mut kept: Vec<bool> = (0..self.needs.len())
            .map(|number| is_wanted(number) || !self.needs[number].is_broken)
            .collect();
        loop {
            let incomplete: Vec<usize> = (0..kept.len())
                .filter(|number| kept[*number] && !is_wanted(*number))
                .filter(|number| {
                    let held = |choice: &Vec<u32>| choice.iter().any(|other| kept[*other as usize]);
                    !self.needs[*number].choices.iter().all(held)
                })
                .collect();
            if incomplete.is_empty() {
                return kept;
            }
            incomplete.into_iter().for_each(|number| kept[number] = false);
        }
    }

    /// Which candidates are to be published, given the snapshots that jobs name, and those candidates
    /// that were salvaged from what was published.
    ///
    /// What a job leads to was complete when the job was published. What it lacks now is lost, which
    /// is for the check to tell; without the rest of it even less could be restored.
    pub(super) fn choose(
        &self,
        snapshots: BTreeSet<Id>,
        mut wanted: BTreeSet<u32>,
    ) -> Result<Vec<bool>, ReadError> {
        let complete = self.kept(&BTreeSet::new());
        let mut seen = HashSet::new();
        let mut waiting: Vec<_> = snapshots.into_iter().map(|id| (id, Kind::Snapshot)).collect();
        while let Some((id, kind)) = waiting.pop() {
            if !seen.insert(id) {
                continue;
            }
            let Holder::Candidates(numbers) = self.holder(&id)? else { continue };
            if numbers.iter().any(|number| complete[*number as usize]) {
                continue;
            }
            wanted.extend(numbers.first());
            match of_object(self.reader, &id, kind) {
                Ok(references) => waiting.extend(references),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.kept(&wanted))
    }

    /// For each candidate those that must not be published after it.
    pub(super) fn edges(&self, kept: &[bool]) -> Vec<Vec<u32>> {
        let first = |choice: &Vec<u32>| choice.iter().copied().find(|other| kept[*other as usize]);
        self.needs.iter().map(|needs| needs.choices.iter().filter_map(first).collect()).collect()
    }
}
