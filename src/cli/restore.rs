//! `runup restore`: the state of projects as of a job, back in place or below another directory.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::checkout::CheckoutFigures;
use super::environment::{self, Globals, identity_of, is_inside};
use super::exit::Exit;
use super::failure::Failure;
use super::messages::Messages;
use super::output::{Output, count, size};
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::format::project_file::{Project, ProjectFile};
use crate::format::snapshot::Snapshot;
use crate::ops::restore::{RestoreReport, RestoreRequest, restore};
use crate::repository::{Repository, RevisionError};

/// Arguments of `runup restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The project to restore [default: all of runup.yaml; without one, all of the repository]
    #[arg(value_name = "PROJECT")]
    project: Option<String>,
    /// Restore the state as of this job [default: the latest]
    #[arg(short = 'j', long, value_name = "N")]
    job: Option<u64>,
    /// Restore below this directory, which is made if need be, not where the files came from
    #[arg(short = 'l', long, value_name = "DIR")]
    location: Option<PathBuf>,
    /// Remove what the snapshot lacks, but for what was excluded or could not be read
    #[arg(long)]
    clear_location: bool,
    /// Do not ask
    #[arg(short = 'f', long)]
    force: bool,
    /// How many threads write files [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

/// What the restore of one project came to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "restore-summary")]
struct Record<'a> {
    /// `summary`.
    message_type: &'static str,
    /// The project.
    project: &'a str,
    /// The job whose snapshot was restored.
    job: u64,
    /// The snapshot.
    snapshot_id: Id,
    /// The directory that was written to.
    target: String,
    /// Its exact path, base64, where it is not UTF-8.
    target_b64: Option<String>,
    /// What was removed because the snapshot lacks it.
    files_deleted: u64,
    #[serde(flatten)]
    figures: CheckoutFigures,
    /// Seconds that it took.
    total_duration: f64,
}

impl Command for Restore {
    const NAME: &'static str = "restore";
    const ABOUT: &'static str = "Restore projects to their state as of a job";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record<'_>>()];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Brings projects to their state as of a job: the one that is named, else every project of
        `runup.yaml`, else, where the context has no `runup.yaml`, every project of the repository.
        The state as of a job is for each project its newest snapshot at or before that job. A
        project that is younger is passed over unless it is named.

        Relative includes are restored to the context, absolute ones to where they came from; with
        `--location` all of them below that directory, so that `/etc` becomes `DIR/etc`. An
        absolute include that the project in `runup.yaml` does not have is refused without
        `--location`, with the exit code 13: the repository alone does not decide what is written
        outside the context.

        Files that are as they should be are left alone. Others are written beside, verified and
        renamed into place. What the snapshot lacks stays where it is; `--clear-location` removes
        it as far as the snapshot's includes reach, but never what its excludes match, what could
        not be read when it was made, `runup.yaml`, or the repository.

        Each project is asked for on the terminal unless `--force` is given; one that is refused
        makes the exit code 1. Where standard input is no terminal, nothing is restored without
        `--force`, and the exit code is 2.

        What could not be written, or not be kept, such as owners where RunUp does not run as root,
        is told, and the exit code is 3. Devices are made as root only.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "All projects as of job 2, below another directory",
            "runup restore --force --job 2 --location ../before",
        ),
        Example::new(
            "Bring one project back exactly, and remove what came since",
            "runup restore --force --clear-location notes",
        ),
        Example::new("Without a terminal there is nobody to ask", "runup restore app </dev/null")
            .exits(Exit::Usage),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-backup(1)", "runup-checkout(1)", "runup-snapshots(1)", "runup.yaml(5)"];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        environment::raise_open_files();
        let context = globals.absolute_context()?;
        let found = globals.find_project_file()?;
        let path = globals.repository_path(found.as_ref().map(|found| &found.file));
        let repository = environment::open(&path)?;
        let _session = repository.read_session()?;
        let chosen = self.choose(&repository, found.as_ref().map(|found| &found.file))?;
        let to = self.location.as_deref().unwrap_or(&context);
        self.check_target(&path)?;
        let jobs = self.jobs.or(found.as_ref().and_then(|found| found.file.jobs));
        let workers = jobs.map_or_else(environment::threads, usize::from);
        let messages = Messages::new(output.is_json(), globals.verbose);
        let mut exit = Exit::Done;
        for (project, job, id) in chosen {
            if !self.force && !self.ask(&project, job, to)? {
                exit = exit.and(Exit::Failed);
                continue;
            }
            let started = Instant::now();
            let snapshot = repository.snapshot(&id)?;
            let own = found.as_ref().and_then(|found| found.file.project(&project));
            self.check_absolute_includes(&project, &snapshot, own)?;
            let request = RestoreRequest {
                snapshot: &snapshot,
                to,
                is_location: self.location.is_some(),
                clears: self.clear_location,
                kept: identity_of(&path).into_iter().collect(),
                workers,
            };
            let before = messages.problems();
            let report = restore(repository.store(), &request, &messages);
            messages.finish();
            let report = report?;
            let problems = messages.problems() - before;
            exit = exit.and(exit_of(&report, problems));
            let seconds = started.elapsed().as_secs_f64();
            print(output, (&project, job, &id), to, &report, seconds)?;
        }
        Ok(exit)
    }
}

fn exit_of(report: &RestoreReport, problems: u64) -> Exit {
    if report.checkout.damaged > 0 {
        Exit::Damaged
    } else if problems > 0 || !report.checkout.not_kept.is_empty() {
        Exit::Incomplete
    } else {
        Exit::Done
    }
}

impl Restore {
    /// The projects to restore, each with its job and snapshot.
    fn choose(
        &self,
        repository: &Repository,
        file: Option<&ProjectFile>,
    ) -> Result<Vec<(String, u64, Id)>, Failure> {
        let newest = repository.job_numbers()?.last().copied().unwrap_or(0);
        if newest == 0 {
            repository.refuse_lost_jobs()?;
            let message = "there is no backup yet: `runup backup` makes one";
            return Err(Failure::new(Exit::Usage, "no_such_job", message));
        }
        let number = self.job.unwrap_or(newest);
        let mut chosen = Vec::new();
        let known = repository.projects()?;
        let names = match &self.project {
            Some(project) if known.contains(project) => vec![project.clone()],
            Some(project) => {
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                let message = format!(
                    "no project {project:?} in the repository: there is {known}; --job N chooses \
                     a job"
                );
                return Err(Failure::new(Exit::Usage, "unknown_project", message));
            }
            // Others were put there by other means, and may go to other places.
            None => known
                .into_iter()
                .filter(|name| file.is_none_or(|file| file.project(name).is_some()))
                .collect(),
        };
        for project in names {
            let found = match self.job {
                Some(number) => repository.snapshot_as_of(&project, number),
                None => repository.newest_snapshot(&project, number)?.ok_or_else(|| {
                    let when = "at all".to_owned();
                    RevisionError::NoSnapshot { project: project.clone(), when }
                }),
            };
            match found {
                Ok((job, id)) => chosen.push((project, job, id)),
                // Of all projects, those that are younger than the job are not asked for.
                Err(RevisionError::NoSnapshot { .. }) if self.project.is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
        if chosen.is_empty() {
            let message = format!("no project has a snapshot at or before job {number}");
            return Err(Failure::new(Exit::Usage, "no_such_job", message));
        }
        Ok(chosen)
    }

    fn check_target(&self, repository: &Path) -> Result<(), Failure> {
        let Some(location) = &self.location else { return Ok(()) };
        let refuse = |what: &str| {
            let message = format!("{}: {what}", location.display());
            Err(Failure::new(Exit::Usage, "bad_location", message))
        };
        match std::fs::symlink_metadata(location) {
            Ok(status) if !status.is_dir() => return refuse("not a directory"),
            _ => {}
        }
        if is_inside(location, repository) { refuse("inside the repository") } else { Ok(()) }
    }

    /// Lets nothing but runup.yaml decide what is written outside the context: whoever can write to
    /// the repository could otherwise choose any place.
    fn check_absolute_includes(
        &self,
        project: &str,
        snapshot: &Snapshot,
        own: Option<&Project>,
    ) -> Result<(), Failure> {
        let is_own = |path: &String| own.is_some_and(|own| own.include.contains(path));
        let includes = snapshot.root.includes.iter().map(|include| &include.path);
        let alien = includes.filter(|path| path.starts_with('/')).find(|path| !is_own(path));
        match alien.filter(|_| self.location.is_none()) {
            None => Ok(()),
            Some(path) => {
                let message = format!(
                    "{project}: the snapshot includes {path:?}, which runup.yaml does not: use \
                     --location, or include it there"
                );
                Err(Failure::new(Exit::Hostile, "absolute_include", message))
            }
        }
    }

    #[expect(clippy::print_stderr, reason = "a question is no data")]
    fn ask(&self, project: &str, job: u64, to: &Path) -> Result<bool, Failure> {
        if !std::io::stdin().is_terminal() {
            let message = "nobody to ask whether to go on: --force restores without asking";
            return Err(Failure::new(Exit::Usage, "no_terminal", message));
        }
        let clears = if self.clear_location { ", removing what it lacks" } else { "" };
        eprint!("Restore {project} as of job {job} to {}{clears}? [Y/n] ", to.display());
        std::io::stderr().flush()?;
        let mut answer = String::new();
        // The end of input is no answer, and so no consent.
        let is_answer = std::io::stdin().lock().read_line(&mut answer)? > 0;
        let answer = answer.trim().to_lowercase();
        let is_yes = is_answer && matches!(answer.as_str(), "" | "y" | "yes");
        if !is_yes {
            eprintln!("{project}: not restored");
        }
        Ok(is_yes)
    }
}

fn print(
    output: &mut Output,
    (project, job, id): (&str, u64, &Id),
    to: &Path,
    report: &RestoreReport,
    seconds: f64,
) -> std::io::Result<()> {
    let checkout = &report.checkout;
    if output.is_json() {
        let to = super::json::PathText::new(to.as_os_str().as_encoded_bytes());
        return output.record(
            &Record {
                message_type: "summary",
                project,
                job,
                snapshot_id: *id,
                target: to.path,
                target_b64: to.path_b64,
                files_deleted: report.files_deleted,
                figures: CheckoutFigures::from(checkout),
                total_duration: seconds,
            },
            false,
        );
    }
    let mut lines = vec![
        format!("{project}: restored as of job {job} to {}", to.display()),
        format!(
            "  files    {} new, {} replaced, {} unchanged, {} removed",
            count(checkout.files_restored),
            count(checkout.files_replaced),
            count(checkout.files_unchanged),
            count(report.files_deleted)
        ),
        format!("  written  {}", size(checkout.bytes_restored)),
    ];
    if checkout.errors > 0 {
        lines.push(format!("  problems {}: not restored, see above", count(checkout.errors)));
    }
    lines.push(format!("  time     {seconds:.1} s"));
    lines.iter().try_for_each(|line| output.line(line.as_bytes()))
}
