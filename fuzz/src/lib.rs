//! What holds of any bytes that a decoder is given, a module for each decoder.
//!
//! Each has a function `check`, which panics where a promise is broken, and else says whether the bytes
//! were taken. The promises: nothing panics; what was decoded encodes to the bytes it came from, where
//! the format is canonical; two ways to read the same bytes agree. libFuzzer adds that time and memory
//! stay bounded. The targets for libFuzzer and the test that replays their corpora share these modules.

pub mod acl;
pub mod config;
pub mod control;
pub mod frame;
pub mod index;
pub mod index_lookup;
pub mod links;
pub mod list;
pub mod loose;
pub mod mktree;
pub mod pack;
pub mod project_file;
pub mod revision;
mod sealed;
pub mod selection;
pub mod snapshot;
pub mod stat_index;
pub mod tar;
pub mod tree;

/// What holds of any bytes: whether they were taken.
pub type Check = fn(&[u8]) -> bool;

/// Every check, by the name of its target and the directory of its corpus.
pub const ALL: [(&str, Check); 18] = [
    ("acl", acl::check),
    ("config", config::check),
    ("control", control::check),
    ("frame", frame::check),
    ("index", index::check),
    ("index_lookup", index_lookup::check),
    ("links", links::check),
    ("list", list::check),
    ("loose", loose::check),
    ("mktree", mktree::check),
    ("pack", pack::check),
    ("project_file", project_file::check),
    ("revision", revision::check),
    ("selection", selection::check),
    ("snapshot", snapshot::check),
    ("stat_index", stat_index::check),
    ("tar", tar::check),
    ("tree", tree::check),
];
