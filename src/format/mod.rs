//! Encoders and decoders of everything on disk: bytes to values and back, no I/O.
//!
//! Invariant: no decoder panics or allocates from an unchecked length, whatever the bytes.
//! The layouts are described once, in runup-repository(5).

pub mod chunker;
pub mod codec;
pub mod compress;
pub mod config;
pub mod control;
pub mod delta;
pub mod index;
pub mod links;
pub mod list;
pub mod loose;
pub mod pack;
pub mod project_file;
mod project_file_error;
pub mod snapshot;
pub mod tar;
pub mod tree;
pub mod yaml;
pub mod yaml_node;
