//! Operations.
pub mod backup;
pub mod closure;
pub mod write_snapshot;
pub mod write_tree;
