//! All stored objects as records, and their bytes where those are wanted.
//!
//! Invariant: in the order of packs each frame is decoded once, by the one thread that has all its
//! objects; an object that is too long to be held is read when it is printed.

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::failure::Failure;
use super::super::output::{Output, write_record};
use super::super::rendering::{BATCH_ITEMS, Render};
use super::{CatObject, DAMAGED, Record, cat, describe_any, stream};
use crate::base::id::Id;
use crate::repository::Repository;
use crate::store::Found;

/// Most bytes of objects that are read at once and held until they are printed, one object aside.
const HELD_BYTES_MAX: u64 = 2 << 20;

/// A stored object, until it is printed.
pub(super) struct Item {
    pub(super) id: Id,
    pub(super) copies: u64,
    /// `None` if it is damaged.
    pub(super) found: Option<Found>,
}

impl Item {
    fn held_bytes(&self) -> u64 {
        self.found.as_ref().map_or(0, |found| found.length_bytes)
    }

    /// The frame that holds it.
    fn frame(&self) -> Option<(Id, u64)> {
        let place = self.found.as_ref()?.pack?;
        Some((place.pack.name, place.place.frame.offset))
    }

    /// What it is, if its bytes are too many to be held.
    fn if_long(&self) -> Option<&Found> {
        let is_long = |found: &&Found| found.is_list || found.length_bytes > HELD_BYTES_MAX;
        self.found.as_ref().filter(is_long)
    }
}

/// All stored objects as records, and their bytes where those are wanted.
pub(super) struct All<'a> {
    pub(super) command: &'a CatObject,
    pub(super) repository: &'a Repository,
    pub(super) has_damage: AtomicBool,
}

impl All<'_> {
    fn end(&self) -> &'static [u8] {
        if self.command.nul { b"\0" } else { b"\n" }
    }
}

impl Render<Item> for All<'_> {
    fn render(&self, item: &Item, text: &mut Vec<u8>) -> Result<(), Failure> {
        let Item { id, copies, found } = item;
        let digits = id.to_hex();
        let record = match found {
            Some(found) => describe_any(self.repository, digits, id, found)?,
            None => Record { object: digits, status: DAMAGED, ..Record::default() },
        };
        let is_damaged = record.status == DAMAGED;
        self.has_damage.fetch_or(is_damaged, Ordering::Relaxed);
        let record = Record { id: Some(*id), copies: Some(*copies), ..record };
        write_record(&mut *text, &record, self.command.nul)?;
        let held = found.as_ref().filter(|_| self.command.batch && item.if_long().is_none());
        if let Some(found) = held {
            let mut bytes = |bytes: &[u8]| {
                text.extend_from_slice(bytes);
                Ok(())
            };
            stream(self.repository, id, found.kind, &mut bytes)?;
            text.extend_from_slice(self.end());
        }
        Ok(())
    }

    fn ends_batch(&self, batch: &[Item], next: &Item) -> bool {
        let Some(last) = batch.last().filter(|_| self.command.batch) else {
            return batch.len() >= BATCH_ITEMS;
        };
        if last.if_long().is_some() {
            return true;
        }
        if self.command.unordered {
            // A frame is decoded once, by the one thread that has all its objects.
            return last.frame() != next.frame();
        }
        let bytes: u64 = batch.iter().map(Item::held_bytes).sum();
        batch.len() >= BATCH_ITEMS || bytes + next.held_bytes() > HELD_BYTES_MAX
    }

    fn print_rest(&self, last: &Item, output: &mut Output) -> Result<(), Failure> {
        let Some(found) = last.if_long().filter(|_| self.command.batch) else { return Ok(()) };
        if describe_any(self.repository, String::new(), &last.id, found)?.status != DAMAGED {
            cat(self.repository, &last.id, found.kind, output)?;
            output.bytes(self.end())?;
        }
        Ok(())
    }
}
