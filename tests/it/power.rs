//! Power cuts: what was told as done is still there, on real file systems.
//!
//! Invariant: after a cut at any moment, and what the file system makes of its journal, every job that
//! was acknowledged restores exactly, a check finds nothing, and the next backup works.
//!
//! Two ways. `cuts` stops ext4 and XFS at a moment of a backup or forget, so that what they had not
//! written is lost. `states` logs each write and flush of the disk below them, and mounts what would
//! be there after a cut between any two of them, with all or only some of the writes that were not
//! flushed yet.
//!
//! `RUNUP_POWER_CUTS` and `RUNUP_POWER_STATES` ask for more of them for each file system.
//! tests/RESULTS.md has what came out of a full run.

mod cuts;
mod disk;
mod history;
mod states;
mod volume;

use std::path::Path;

use crate::mounts::{privately, say};
use volume::Kind;

/// Cuts of each file system in the ordinary run.
const CUTS: u64 = 3;
/// States of each file system in the ordinary run.
const STATES: usize = 6;

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a test where the file system can be made and mounted, and tells what came out.
fn on(test: &str, kind: Kind, body: impl FnOnce(&Path) -> String + Send) {
    let name = format!("{test}, {}", kind.name());
    privately(&name, |folder| {
        let told = match kind.is_missing(folder) {
            Some(reason) => format!("skipped: {reason}"),
            None => body(folder),
        };
        say(&format!("{name}: {told}"));
    });
}

#[test]
fn cuts_of_ext4_lose_nothing_acknowledged() {
    let cuts = variable("RUNUP_POWER_CUTS").unwrap_or(CUTS);
    on("power cuts", Kind::Ext4, |folder| cuts::cut(Kind::Ext4, folder, cuts));
}

#[test]
fn cuts_of_xfs_lose_nothing_acknowledged() {
    let cuts = variable("RUNUP_POWER_CUTS").unwrap_or(CUTS);
    on("power cuts", Kind::Xfs, |folder| cuts::cut(Kind::Xfs, folder, cuts));
}

#[test]
fn no_state_of_a_disk_with_ext4_lacks_what_was_acknowledged() {
    let states = variable("RUNUP_POWER_STATES").unwrap_or(STATES);
    on("states of a disk", Kind::Ext4, |folder| states::try_states(Kind::Ext4, folder, states));
}

#[test]
fn no_state_of_a_disk_with_xfs_lacks_what_was_acknowledged() {
    let states = variable("RUNUP_POWER_STATES").unwrap_or(STATES);
    on("states of a disk", Kind::Xfs, |folder| states::try_states(Kind::Xfs, folder, states));
}
