//! `runup rev-parse`: names to ids.

use std::ffi::OsString;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{Globals, now, zone};
use super::exit::Exit;
use super::failure::{ErrorRecord, Failure};
use super::input;
use super::json::PathText;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::repository::{Repository, Resolved};

/// Arguments of `runup rev-parse`.
#[derive(Debug, clap::Args)]
pub struct RevParse {
    /// Revisions: PROJECT, PROJECT@JOB, PROJECT@{DATE}, PROJECT~N, latest, tag/NAME, pin/NAME, an id;
    /// with :PATH
    #[arg(value_name = "REV", required_unless_present = "stdin")]
    revisions: Vec<OsString>,
    /// Read more revisions, or records with an id, from standard input and answer each
    #[arg(long)]
    stdin: bool,
    /// Items on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print bare ids
    #[arg(long)]
    plain: bool,
}

/// What a revision means. All but the first field is null where it means nothing.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "revision")]
struct Record {
    /// The revision as it was given.
    revision: String,
    /// The object.
    id: Option<Id>,
    /// What it is.
    kind: Option<Kind>,
    /// The snapshot that it was reached through.
    snapshot: Option<Id>,
    /// The project, where the revision names one.
    project: Option<String>,
    /// The job, where the revision names one.
    job: Option<u64>,
    /// The path in the snapshot or tree; empty for its root.
    path: Option<String>,
    /// The exact path, base64, where it is not UTF-8.
    path_b64: Option<String>,
    /// Why it means nothing.
    error: Option<ErrorRecord>,
}

impl Command for RevParse {
    const NAME: &'static str = "rev-parse";
    const ABOUT: &'static str = "Find what revisions mean";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];

    const DESCRIPTION: &'static str = "
        Prints what each revision means: a record with the `id` and `kind` of the object, the
        snapshot, project and job that it was reached through, or null, and the `path` below the top
        of the snapshot. runup(1) has a table of all forms of revisions.

        One that means nothing, or more than one thing, ends the program with the exit code 2. On
        standard input it is answered by a record with an `error`, or with `--plain` an empty line,
        and the next one is asked for.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "The ids of three snapshots",
            "runup-rev-parse --plain app app@1 'notes@{2026-11-02}'",
        ),
        Example::new("What stands at a path", "runup-rev-parse app:src | jq -r .kind"),
        Example::new("A job that is not there yet", "runup-rev-parse app@99").exits(Exit::Usage),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-cat-object(1)", "runup-ls-snapshots(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        for revision in &self.revisions {
            let resolved = resolve(&repository, revision.as_encoded_bytes())?;
            self.print(revision.as_encoded_bytes(), Ok(resolved), output)?;
        }
        let mut exit = Exit::Done;
        if self.stdin {
            input::for_each_item(self.nul, |item| {
                let revision = input::object(item)?.unwrap_or_default();
                repository.store().look_again(now())?;
                let resolved = resolve(&repository, &revision);
                if let Err(failure) = &resolved {
                    exit = exit.and(failure.exit);
                }
                self.print(&revision, resolved, output)?;
                Ok(output.flush()?)
            })?;
        }
        Ok(exit)
    }
}

fn resolve(repository: &Repository, revision: &[u8]) -> Result<Resolved, Failure> {
    let resolved = repository.resolve(revision, &zone())?;
    if resolved.kind == Kind::Part {
        let revision = String::from_utf8_lossy(revision);
        let message = format!("{revision:?} is not stored as an object of its own");
        return Err(Failure::usage(message));
    }
    Ok(resolved)
}

impl RevParse {
    fn print(
        &self,
        revision: &[u8],
        resolved: Result<Resolved, Failure>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        if self.plain {
            let id = match resolved {
                Ok(resolved) => resolved.id.to_hex(),
                // An empty answer keeps step.
                Err(failure) => {
                    failure.report(false);
                    String::new()
                }
            };
            output.bytes(id.as_bytes())?;
            return Ok(output.bytes(if self.nul { b"\0" } else { b"\n" })?);
        }
        let revision = String::from_utf8_lossy(revision).into_owned();
        let record = match resolved {
            Ok(resolved) => {
                let PathText { path, path_b64 } = PathText::new(&resolved.path);
                Record {
                    revision,
                    id: Some(resolved.id),
                    kind: Some(resolved.kind),
                    snapshot: resolved.snapshot,
                    project: resolved.project,
                    job: resolved.job,
                    path: Some(path),
                    path_b64,
                    error: None,
                }
            }
            Err(failure) => Record { revision, error: Some(failure.into()), ..Record::default() },
        };
        Ok(output.record(&record, self.nul)?)
    }
}
