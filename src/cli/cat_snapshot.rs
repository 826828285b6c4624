//! `runup cat-snapshot`: snapshots as JSON.

use std::ffi::OsString;

use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::json::SnapshotRecord;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::kind::Kind;
use crate::repository::Repository;

/// Arguments of `runup cat-snapshot`.
#[derive(Debug, clap::Args)]
pub struct CatSnapshot {
    /// Snapshots
    #[arg(value_name = "REV", required_unless_present = "stdin")]
    revisions: Vec<OsString>,
    /// Read more revisions, or records with an id, from standard input
    #[arg(long)]
    stdin: bool,
    /// Items on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print the snapshots as they are stored, with no newline after them
    #[arg(long)]
    plain: bool,
}

impl Command for CatSnapshot {
    const NAME: &'static str = "cat-snapshot";
    const ABOUT: &'static str = "Print snapshots";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<SnapshotRecord<'_>>()];

    const DESCRIPTION: &'static str = "
        Prints each snapshot as a record: its `id`, the `job` that `REV` names, or null, and all
        that the snapshot holds: project, tree, time, host, user, includes and excludes, what was
        skipped and why, counts, description and tags. runup-json(5) describes them.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("When two snapshots were made", "runup-cat-snapshot app@1 app | jq -r .time"),
        Example::new(
            "What could not be read",
            "runup-cat-snapshot notes | jq -r '.skipped[].path'",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-ls-snapshots(1)", "runup-write-snapshot(1)", "runup-repository(5)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        for revision in &self.revisions {
            self.print(&repository, revision.as_encoded_bytes(), output)?;
        }
        if self.stdin {
            input::for_each_item(self.nul, |item| {
                let revision = input::sound_object(item)?.unwrap_or_default();
                self.print(&repository, &revision, output)?;
                Ok(output.flush()?)
            })?;
        }
        Ok(Exit::Done)
    }
}

impl CatSnapshot {
    fn print(
        &self,
        repository: &Repository,
        revision: &[u8],
        output: &mut Output,
    ) -> Result<(), Failure> {
        let resolved = repository.resolve(revision, &zone())?;
        if resolved.kind != Kind::Snapshot {
            let (kind, revision) = (resolved.kind, String::from_utf8_lossy(revision));
            return Err(Failure::usage(format!("{revision:?} is a {kind}, not a snapshot")));
        }
        if self.plain {
            return super::cat_object::cat(repository, &resolved.id, Kind::Snapshot, output);
        }
        let snapshot = repository.snapshot(&resolved.id)?;
        let record = SnapshotRecord::new(resolved.id, resolved.job, &snapshot);
        Ok(output.record(&record, self.nul)?)
    }
}
