//! `runup rev-parse`: names to ids.

use std::ffi::OsString;

use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::json::PathText;
use super::output::Output;
use super::{Command, Layer};
use crate::base::id::Id;
use crate::base::kind::Kind;

/// Arguments of `runup rev-parse`.
#[derive(Debug, clap::Args)]
pub struct RevParse {
    /// Revisions: PROJECT, PROJECT@JOB, PROJECT@{DATE}, PROJECT~N, latest, an id; with :PATH
    #[arg(value_name = "REV", required = true)]
    revisions: Vec<OsString>,
    /// Print bare ids
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, serde::Serialize)]
struct Record {
    revision: String,
    id: Id,
    kind: &'static str,
    snapshot: Option<Id>,
    project: Option<String>,
    job: Option<u64>,
    path: String,
    path_b64: Option<String>,
}

impl Command for RevParse {
    const NAME: &'static str = "rev-parse";
    const ABOUT: &'static str = "Find what revisions mean";
    const LAYER: Layer = Layer::Plumbing;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        for revision in &self.revisions {
            let resolved = repository.resolve(revision.as_encoded_bytes(), &zone())?;
            if resolved.kind == Kind::Part {
                let message = format!("{revision:?} is not stored as an object of its own");
                return Err(Failure::usage(message));
            }
            if self.plain {
                output.line(resolved.id.to_hex().as_bytes())?;
                continue;
            }
            let path = PathText::new(&resolved.path);
            let record = Record {
                revision: revision.to_string_lossy().into_owned(),
                id: resolved.id,
                kind: resolved.kind.word(),
                snapshot: resolved.snapshot,
                project: resolved.project,
                job: resolved.job,
                path: path.path,
                path_b64: path.path_b64,
            };
            output.record(&record, false)?;
        }
        Ok(Exit::Done)
    }
}
