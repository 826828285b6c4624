//! Items on the standard input of mktree: records of entries, and lines of b3sum.
//!
//! The first byte says how they are terminated and whether paths may be deep. Where the rest is a tree,
//! its records make that tree again.

use runup::base::hash::object_id;
use runup::base::kind::Kind;
use runup::cli::mktree::{dry_run, items_of};
use runup::format::tree::{Entry, entries};

/// Whether the bytes are items that make a tree.
pub fn check(bytes: &[u8]) -> bool {
    let Some((choice, bytes)) = bytes.split_first() else { return false };
    let (ends_with_nul, is_recursive) = (choice & 1 == 1, choice & 2 == 2);
    let made = dry_run(&mut &*bytes, ends_with_nul, is_recursive);
    let mut is_tree = false;
    if let Ok(entries) = entries(bytes).collect::<Result<Vec<Entry>, _>>() {
        let items = items_of(&entries);
        let again = dry_run(&mut items.as_slice(), false, false);
        assert_eq!(again.ok(), Some(object_id(Kind::Tree, bytes)), "records of a tree");
        is_tree = !bytes.is_empty();
    }
    made.is_ok() || is_tree
}
