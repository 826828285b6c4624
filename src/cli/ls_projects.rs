//! `runup ls-projects`: the projects that there are, in runup.yaml and in the repository.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::format::project_file::ProjectFile;

/// Arguments of `runup ls-projects`.
#[derive(Debug, clap::Args)]
pub struct LsProjects {
    /// End records with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print bare names
    #[arg(long)]
    plain: bool,
}

/// A project.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "project")]
struct Record<'a> {
    /// Its name.
    project: &'a str,
    /// Whether runup.yaml has it.
    in_project_file: bool,
    /// What runup.yaml includes.
    includes: &'a [String],
    /// What runup.yaml excludes.
    excludes: &'a [String],
    /// Its snapshots in the repository.
    snapshots: u64,
    /// The job of the latest; null where there is none.
    latest_job: Option<u64>,
    /// The latest snapshot.
    latest_snapshot: Option<Id>,
}

/// What the repository holds of a project.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    snapshots: u64,
    latest: Option<(u64, Id)>,
}

impl Command for LsProjects {
    const NAME: &'static str = "ls-projects";
    const ABOUT: &'static str = "List the projects of runup.yaml and of the repository";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record<'_>>()];

    const DESCRIPTION: &'static str = "
        Prints a record for each project: those of runup.yaml with what they include and exclude, in
        its order, then those that only the repository knows. Neither of the two need be there.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("Names", "runup-ls-projects --plain"),
        Example::new(
            "Projects that were never backed up",
            "runup-ls-projects | jq -r 'select(.latest_job == null).project'",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-ls-snapshots(1)", "runup.yaml(5)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        // What cannot be read must not hide the rest: completion shows what there is.
        let (found, damage) = match globals.find_project_file() {
            Ok(found) => (found, None),
            Err(failure) => (None, Some(failure)),
        };
        let file = found.map(|found| found.file);
        let mut held = BTreeMap::new();
        let damage = damage.or(hold(globals, file.as_ref(), &mut held).err());
        for (project, own) in file.iter().flat_map(|file| &file.projects) {
            let held = held.remove(project).unwrap_or_default();
            self.print(project, Some((&own.include, &own.exclude)), held, output)?;
        }
        for (project, held) in held {
            self.print(&project, None, held, output)?;
        }
        output.flush()?;
        damage.map_or(Ok(Exit::Done), Err)
    }
}

/// Finds what the repository holds, if there is one.
fn hold(
    globals: &Globals,
    file: Option<&ProjectFile>,
    held: &mut BTreeMap<String, Held>,
) -> Result<(), Failure> {
    let opened = match file {
        Some(file) => crate::repository::Repository::open(&globals.repository_path(Some(file)))
            .map_err(Failure::from),
        None => globals.open_repository(),
    };
    let repository = match opened {
        Err(failure) if failure.exit == Exit::NoRepository => return Ok(()),
        opened => opened?,
    };
    let mut damage: Option<Failure> = None;
    let jobs = repository.jobs(|_, error| {
        damage.get_or_insert(error.into());
    })?;
    for job in &jobs {
        for (project, id) in job.live() {
            let held = held.entry(project.clone()).or_default();
            held.snapshots += 1;
            held.latest = Some((job.number, *id));
        }
    }
    damage.map_or(Ok(()), Err)
}

impl LsProjects {
    fn print(
        &self,
        project: &str,
        own: Option<(&[String], &[String])>,
        held: Held,
        output: &mut Output,
    ) -> std::io::Result<()> {
        if self.plain {
            output.bytes(project.as_bytes())?;
            return output.bytes(if self.nul { b"\0" } else { b"\n" });
        }
        let (includes, excludes) = own.unwrap_or_default();
        let record = Record {
            project,
            in_project_file: own.is_some(),
            includes,
            excludes,
            snapshots: held.snapshots,
            latest_job: held.latest.map(|(job, _)| job),
            latest_snapshot: held.latest.map(|(_, id)| id),
        };
        output.record(&record, self.nul)
    }
}
