//! Operations: one verb per file; backup and restore are made of the plumbing ones.
//!
//! Invariant: nothing here prints, exits, or reads the environment.

pub mod archive;
pub mod backup;
pub mod check_ignore;
pub mod checkout;
pub mod closure;
pub mod count_objects;
pub mod diff_tree;
pub mod forget;
pub mod fsck;
pub mod hash_object;
pub mod import_archive;
pub mod in_order;
pub mod index_pack;
pub mod ls_tree;
pub mod mktree;
pub mod pack_objects;
pub mod prune;
pub mod read_entry;
pub mod repair;
pub mod restore;
pub mod rev_list;
pub mod update_ref;
pub mod verified;
pub mod verify_pack;
pub mod write_snapshot;
pub mod write_tree;

/// An error and what led to it, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
