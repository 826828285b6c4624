//! RunUp keeps fragmented backups: each stores only what is new, each restores as if it were full.
//!
//! # A bird's-eye view
//!
//! A backup walks directories ([`source`]), cuts long files into chunks and hashes everything
//! ([`format`], [`base::hash`]), packs what is new into solid frames ([`store`]), and publishes a
//! snapshot as a job ([`repository`]). A restore plans by frame and writes files by directory
//! descriptor ([`ops::checkout`], [`target`]). Both are made of the operations that the plumbing
//! programs run one by one ([`ops`]); the command line ([`cli`]) only parses, calls and prints.
//!
//! Start with [`ops::backup`] and follow it down, or with runup-repository(5) and follow it up.
//!
//! # Floors
//!
//! A module imports from its own floor's folder and from the floors below, never from above; a test
//! holds them to that.
//!
//! | floor | what it is for | may import |
//! |---|---|---|
//! | [`cli`] | arguments, standard streams, environment, clock, exit codes | everything |
//! | [`ops`] | one verb per file | all but `cli` |
//! | [`repository`] | open, sessions, jobs, refs, revisions | `store` and below |
//! | [`store`] | objects over packs, loose files, index segments | `backend` and below |
//! | [`backend`] | where bytes are kept | `os`, `base` |
//! | [`source`], [`target`] | the user's files: read, written | `os`, `format`, `base` |
//! | [`os`] | the few system calls that several floors share | `base` |
//! | [`format`] | encoders and decoders, chunker, compressors | `base` |
//! | [`base`] | values: ids, kinds, limits, paths, times, the monitor | nothing |
//!
//! # What never happens
//!
//! - A format never panics and never allocates from an unchecked length, whatever the bytes.
//! - Only a backend renames, links or syncs files of a repository; only [`target`] renames the user's.
//! - No file of a repository is changed or truncated once it has its name.
//! - Only a session publishes a job or refs, and only after all that these refer to is durable.
//! - No byte reaches a user's file or standard output that was not proved to belong to its id.
//! - The library prints nothing, exits nowhere, and reads neither environment nor clock: [`cli`] does.

pub mod backend;
pub mod base;
pub mod cli;
pub mod format;
pub mod ops;
pub mod os;
pub mod repository;
pub mod source;
pub mod store;
pub mod target;
