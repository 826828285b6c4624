//! The one integration crate, so that test code links once.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that fails should stop where it fails"
)]

mod archive;
mod bad_input;
mod check;
mod check_ignore;
mod composition;
mod copies;
mod crash;
mod damage;
mod deltas;
mod diff;
mod disk_full;
mod faults;
mod floors;
mod forget;
mod format_page;
mod fuzz_corpora;
mod generated;
mod heal;
mod hostile;
mod import_archive;
mod mktree;
mod mounts;
mod packs;
mod patience;
mod porcelain;
mod power;
mod projects;
mod protocol_model;
mod prune;
mod races;
mod random;
mod readme;
mod refs;
mod repair;
mod rev_list;
mod sandbox;
mod session;
mod simulation;
mod sizes;
mod target;
