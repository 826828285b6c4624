//! Repositories made to do harm, each checked out and restored beside a canary.
//!
//! Invariant: whatever a repository holds, nothing outside the target is made, changed or removed,
//! nothing hangs or panics, and what is refused is told.

mod ground;
mod links;
mod metadata;
mod sizes;
mod snapshots;
mod states;
mod trees;
mod wall;
