//! `runup cat-snapshot`: snapshots as JSON.

use std::ffi::OsString;

use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::json::SnapshotRecord;
use super::output::Output;
use super::{Command, Layer};
use crate::base::kind::Kind;

/// Arguments of `runup cat-snapshot`.
#[derive(Debug, clap::Args)]
pub struct CatSnapshot {
    /// Snapshots
    #[arg(value_name = "REV", required = true)]
    revisions: Vec<OsString>,
    /// Print the snapshots as they are stored, with no newline after them
    #[arg(long)]
    plain: bool,
}

impl Command for CatSnapshot {
    const NAME: &'static str = "cat-snapshot";
    const ABOUT: &'static str = "Print snapshots";
    const LAYER: Layer = Layer::Plumbing;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        for revision in &self.revisions {
            let resolved = repository.resolve(revision.as_encoded_bytes(), &zone())?;
            if resolved.kind != Kind::Snapshot {
                let kind = resolved.kind;
                return Err(Failure::usage(format!("{revision:?} is a {kind}, not a snapshot")));
            }
            if self.plain {
                super::cat_object::cat(&repository, &resolved.id, Kind::Snapshot, output)?;
                continue;
            }
            let snapshot = repository.snapshot(&resolved.id)?;
            output.record(&SnapshotRecord::new(resolved.id, resolved.job, &snapshot), false)?;
        }
        Ok(Exit::Done)
    }
}
