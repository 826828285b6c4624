//! The files that are backed up: which of them, what they are, and their bytes.
//!
//! Invariant: nothing here changes a source, follows a link, or waits for a pipe.

pub mod ahead;
mod excludes;
mod glob;
mod includes;
pub mod metadata;
pub mod owners;
mod pattern;
pub mod selection;
pub mod stat_index;
