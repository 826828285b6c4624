//! `runup ls-snapshots`: every snapshot of every job.

use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::json::SnapshotRecord;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::format::snapshot::Snapshot;
use crate::repository::Repository;

/// Which snapshots are listed.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// Only of this project
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only of this machine
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only with this tag; may be given several times, all must be there
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only of this job
    #[arg(long, value_name = "N")]
    job: Option<u64>,
}

impl Filter {
    /// Calls `each` with every snapshot that is wanted, by job and project; damage is told after the
    /// rest.
    pub(super) fn for_each(
        &self,
        repository: &Repository,
        mut each: impl FnMut(u64, &Id, &Snapshot) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut damage: Option<Failure> = None;
        let jobs = repository.jobs(|_, error| {
            damage.get_or_insert(error.into());
        })?;
        for job in jobs {
            if self.job.is_some_and(|number| number != job.number) {
                continue;
            }
            for (project, id) in job.live() {
                if self.project.as_ref().is_some_and(|wanted| wanted != project) {
                    continue;
                }
                let snapshot = match repository.snapshot(id) {
                    Ok(snapshot) => snapshot,
                    Err(error) => {
                        damage.get_or_insert(error.into());
                        continue;
                    }
                };
                let is_host = self.host.as_ref().is_none_or(|host| *host == snapshot.host);
                if is_host && self.tags.iter().all(|tag| snapshot.tags.contains(tag)) {
                    each(job.number, id, &snapshot)?;
                }
            }
        }
        damage.map_or(Ok(()), Err)
    }
}

/// Arguments of `runup ls-snapshots`.
#[derive(Debug, clap::Args)]
pub struct LsSnapshots {
    #[command(flatten)]
    filter: Filter,
    /// End records with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print bare ids
    #[arg(long)]
    plain: bool,
}

impl Command for LsSnapshots {
    const NAME: &'static str = "ls-snapshots";
    const ABOUT: &'static str = "List snapshots, oldest job first";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<SnapshotRecord<'_>>()];

    const DESCRIPTION: &'static str = "
        Prints the snapshots of all jobs, oldest job first and by project in each, as records like
        those of runup-cat-snapshot(1). The options choose among them; all that are given must hold.

        A job or snapshot that is damaged is passed over and told at the end, with the exit code 4.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "The ids of the snapshots of one project",
            "runup-ls-snapshots --project app --plain",
        ),
        Example::new(
            "What was tagged, as revisions",
            r#"runup-ls-snapshots --tag release |
  jq -r '"\(.project)@\(.job)"'"#,
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-cat-snapshot(1)", "runup-rev-parse(1)", "runup-snapshots(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let listed = self.filter.for_each(&repository, |job, id, snapshot| {
            if self.plain {
                output.bytes(id.to_hex().as_bytes())?;
                output.bytes(if self.nul { b"\0" } else { b"\n" })?;
            } else {
                output.record(&SnapshotRecord::new(*id, Some(job), snapshot), self.nul)?;
            }
            Ok(())
        });
        output.flush()?;
        listed.map(|()| Exit::Done)
    }
}
