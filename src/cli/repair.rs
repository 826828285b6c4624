//! `runup repair`: keeps what is sound of a damaged repository, and tells what is lost.

use schemars::JsonSchema;
use serde::Serialize;

use super::check::print_findings;
use super::environment::{self, Globals};
use super::exit::Exit;
use super::failure::{ErrorRecord, Failure};
use super::fsck::{FindingRecord, exit_of, finding_record, remembering};
use super::messages::Messages;
use super::output::{Output, counted};
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::ops::fsck::{Depth, Finding, FsckReport};
use crate::ops::repair::{Action, RepairError, RepairOptions, RepairReport, repair};

/// Arguments of `runup repair`.
#[derive(Debug, clap::Args)]
pub struct Repair {
    /// Read every byte first, to find damage that no check has found yet
    #[arg(long)]
    read_data: bool,
    /// Write snapshots that lack something anew, without it, in new jobs
    #[arg(long)]
    rewrite: bool,
    /// Give up jobs that are damaged or missing, and the newest generation and table of refs where these
    /// are damaged
    #[arg(long)]
    drop_control: bool,
    /// Change nothing: tell what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How many threads read packs [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

/// Something that was done, or would be.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "repair-action")]
struct ActionRecord<'a> {
    /// `action`.
    message_type: &'static str,
    /// What: `indexed` (a pack that no index covered), `salvaged` (what is sound in a pack was copied
    /// to others), `left_out` (a pack that is gone is not named by indexes any more), `made` (a
    /// directory or lock that every repository has was missing), `set_aside` (a
    /// damaged file was moved), `given_up` (a missing job counts as a pruned one; a missing generation or table of
    /// refs is replaced by the one before), `rewritten` (a snapshot was written anew without what is
    /// lost), `published_again` (the newest snapshot of a project, behind rewritten ones), `not_rewritten` (the
    /// newest snapshot of a project cannot be read, so that an older one would pass for it).
    action: &'static str,
    /// The file that it is about.
    file: Option<String>,
    /// What it became: its name in `lost`, or the packs that hold what was sound in it.
    to: Vec<String>,
    /// Objects that are found now.
    objects: Option<u64>,
    /// The project of a snapshot.
    project: Option<&'a str>,
    /// The job of the snapshot that was there.
    from_job: Option<u64>,
    /// That snapshot.
    from_snapshot: Option<Id>,
    /// The new job; null if there is none, or nothing was changed.
    job: Option<u64>,
    /// The snapshot in it.
    snapshot: Option<Id>,
    /// Paths that it lacks, or that lack something.
    left_out: Option<u64>,
    /// What is wrong with the file.
    error: Option<ErrorRecord>,
}

/// What a repair came to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "repair-summary")]
struct SummaryRecord {
    /// `summary`.
    message_type: &'static str,
    /// Whether nothing was changed.
    is_dry_run: bool,
    /// Whether nothing is damaged or missing now.
    is_sound: bool,
    /// Actions.
    actions: u64,
    /// Findings that are damage, after the repair.
    num_errors: u64,
    /// Paths of live jobs and refs that cannot be restored.
    affected: u64,
}

impl Command for Repair {
    const NAME: &'static str = "repair";
    const ABOUT: &'static str = "Keep what is sound of a damaged repository, and tell what is lost";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] = &[
        Shape::of::<ActionRecord<'_>>(),
        Shape::of::<FindingRecord<'_>>(),
        Shape::of::<SummaryRecord>(),
    ];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Checks the repository as runup-check(1) does, and goes by what earlier checks have found. Then

        - directories and locks that every repository has and this one lacks are made, as a copy may
          leave out what is empty;
        - packs that no index covers are indexed, as runup-index-pack(1) does;
        - what is sound in a damaged pack is copied to new packs, and its file is moved to `lost` in
          the repository, as are index segments and loose objects that are damaged;
        - packs that are gone are left out of indexes, and noted in `lost`;
        - a damaged table of refs or generation moves to `lost` if a sound one with a higher number
          stands for it.

        No stored byte is deleted. What is still missing is printed, with the paths of jobs that
        suffer from it, as runup-check(1) does. The next runup-backup(1) stores again what its sources
        still have of that, unchanged files included, and earlier jobs have it again then; so do
        that before anything else. What nobody has any more stays damage, and the exit code 4, until
        the jobs that need it are forgotten.

        With `--rewrite`, each snapshot that lacks something is written anew without it, and
        published in a new job. It has the time and the labels of the old one, names it as its
        parent, and lists in `skipped` what was left out, so that a restore does not remove that
        from its target. Where the newest snapshot of a project is sound, it is published again
        behind these. The old ones stay until they are forgotten, see runup-forget(1). A directory
        whose tree is lost is left out whole. A snapshot that is lost itself, or whose root is,
        cannot be written anew; where that is the newest of its project, forget it first. Snapshots
        that only a tag or pin leads to are not written anew.

        With `--drop-control`, control files go to `lost` that nothing stands for, and those that are
        missing are reported no longer:

        - A job. Its number is not given again. Its snapshots are named by nothing then,
          and a prune would delete them: runup-check(1) counts them as `unnamed_snapshots`,
          `runup-cat-object --batch-all-objects` lists them, and runup-update-ref(1) can pin them
          before. As long as all jobs are gone, nothing is backed up or pruned.
        - The newest table of refs. The one before counts again, without the latest change of tags
          and pins; or none, where there is no other. Until then nothing is pruned, and no tag or pin
          is changed.
        - The newest generation, which stops every backup while it is damaged. What it condemned is
          not condemned any more, but for loose objects of which a prune has deleted a part already.

        A damaged `config` is beyond repair: it is written once and never changes, so a copy of it
        from any time will do.

        Backups and restores may run meanwhile; while a prune runs, the exit code is 1.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("What would be done", "runup repair --dry-run"),
        Example::new(
            "From damage to soundness, where the sources still have what was lost",
            "runup check --read-data || runup repair
runup backup
runup check --read-data",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] = &[
        "runup-backup(1)",
        "runup-check(1)",
        "runup-forget(1)",
        "runup-index-pack(1)",
        "runup-repository(5)",
    ];
    const EXITS: &'static [Exit] = &[
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Damaged,
        Exit::NoRepository,
        Exit::Hostile,
        Exit::NoSpace,
        Exit::Unsupported,
        Exit::Interrupted,
    ];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let options = RepairOptions {
            depth: if self.read_data { Depth::ReadData } else { Depth::Structure },
            workers: self.jobs.map_or_else(environment::threads, usize::from),
            rewrites: self.rewrite,
            drops_control: self.drop_control,
            is_dry_run: self.dry_run,
        };
        // What is damaged is printed at the end, as far as it still is.
        let messages = Messages::new(output.is_json(), globals.verbose).without_problems();
        let done =
            remembering(&repository, |memory| repair(&repository, &options, memory, &messages))?;
        messages.finish();
        let report = done?;
        for action in &report.actions {
            match output.is_json() {
                true => output.record(&record(action), false)?,
                false => output.line(line(action, self.dry_run).as_bytes())?,
            }
        }
        if output.is_json() {
            for finding in &report.remaining.findings {
                output.record(&finding_record(finding), false)?;
            }
            output.record(&summary(&report, self.dry_run), false)?;
        } else {
            print_findings(output, &report.remaining)?;
            print_verdict(output, &report, self.dry_run)?;
        }
        Ok(exit_of(&report.remaining))
    }
}

fn damages(report: &FsckReport) -> u64 {
    report.findings.iter().filter(|finding| finding.is_damage).count() as u64
}

fn affected(report: &FsckReport) -> u64 {
    let counts = report.findings.iter().map(|finding| finding.affected_count);
    counts.fold(0, u64::saturating_add)
}

/// Whether such a finding is about a file that is lost, and named what is needed.
fn names_others(code: &str) -> bool {
    matches!(code, "lost_jobs" | "missing_job" | "missing_refs" | "missing_generation")
}

fn print_verdict(output: &mut Output, report: &RepairReport, dry: bool) -> std::io::Result<()> {
    let done = counted(report.actions.len() as u64, "action", "actions");
    let would = if dry { " would be taken" } else { "" };
    output.line(format!("{done}{would}.").as_bytes())?;
    let remaining = &report.remaining;
    let paths = affected(remaining);
    let text = match (damages(remaining), dry) {
        (0, _) => "The repository is sound.".to_owned(),
        (_, true) => "Nothing was changed.".to_owned(),
        (_, false) if remaining.findings.iter().any(|finding| names_others(finding.code)) => {
            "Damage remains: what the lost files named is not known.".to_owned()
        }
        (_, false) if paths == 0 => "Damage remains that no job or ref suffers from.".to_owned(),
        (_, false) => format!(
            "{} cannot be restored. The next `runup backup` stores again what its sources still have: \
             run it, then `runup check`.",
            counted(paths, "path", "paths")
        ),
    };
    output.line(text.as_bytes())?;
    let may_be_given_up = |finding: &Finding| {
        let file = finding.file.as_deref().unwrap_or_default();
        finding.is_damage && ["jobs/", "refs/", "gc/"].iter().any(|start| file.starts_with(start))
    };
    if !dry && remaining.findings.iter().any(may_be_given_up) {
        let text = "Put a copy of lost files of jobs, refs or gc back if there is one; `runup repair \
                    --drop-control` goes on without.";
        output.line(text.as_bytes())?;
    }
    Ok(())
}

fn line(action: &Action, dry: bool) -> String {
    let would = if dry { "would be " } else { "" };
    let at = |job: &Option<u64>| job.map_or("a new job".to_owned(), |job| format!("job {job}"));
    match action {
        Action::Indexed { pack, objects } => {
            let objects = counted(*objects, "object", "objects");
            format!("packs/{pack}.pack: {objects} {would}indexed")
        }
        Action::Salvaged { pack, objects, to, problem } => {
            let why = problem.as_ref().map_or("damaged", |problem| &problem.message);
            let (objects, packs) =
                (counted(*objects, "object", "objects"), counted(to.len() as u64, "pack", "packs"));
            let packs = if dry { String::new() } else { format!(" to {packs}") };
            format!("packs/{pack}.pack: {objects} {would}copied{packs} ({why})")
        }
        Action::LeftOut { pack } => {
            format!("packs/{pack}.pack: gone, {would}left out of indexes")
        }
        Action::Made { file } => format!("{file}: missing, {would}made"),
        Action::SetAside { file, to } => match to {
            Some(to) => format!("{file}: moved to {to}"),
            None => format!("{file}: would be moved to lost"),
        },
        Action::GivenUp { file } if file == "jobs" => {
            format!("jobs: all missing, {would}counted as pruned")
        }
        Action::GivenUp { file } => match file.starts_with("jobs/") {
            true => format!("{file}: missing, {would}counted as pruned"),
            false => format!("{file}: missing, {would}replaced by the one before"),
        },
        Action::Rewritten { project, from_job, job, left_out, .. } => format!(
            "{project}: job {from_job} {would}written anew as {}, without {}",
            at(job),
            counted(*left_out, "path", "paths")
        ),
        Action::PublishedAgain { project, job, snapshot } => {
            format!(
                "{project}: snapshot {} {would}published again as {}",
                snapshot.short(),
                at(job)
            )
        }
        Action::NotRewritten { project, job, is_job_damaged: true } => format!(
            "{project}: nothing {would}written anew, as job {job} cannot be read, which may hold its newest \
             snapshot: put a copy of its file back, or give it up with --drop-control"
        ),
        Action::NotRewritten { project, job, is_job_damaged: false } => format!(
            "{project}: nothing {would}written anew, as its newest snapshot cannot be read: forget it \
             first (runup forget {project} --job {job})"
        ),
    }
}

fn record(action: &Action) -> ActionRecord<'_> {
    let mut record = ActionRecord {
        message_type: "action",
        action: "",
        file: None,
        to: Vec::new(),
        objects: None,
        project: None,
        from_job: None,
        from_snapshot: None,
        job: None,
        snapshot: None,
        left_out: None,
        error: None,
    };
    let file_of = |pack: &Id| format!("packs/{pack}.pack");
    match action {
        Action::Indexed { pack, objects } => {
            record.action = "indexed";
            record.file = Some(file_of(pack));
            record.objects = Some(*objects);
        }
        Action::Salvaged { pack, objects, to, problem } => {
            record.action = "salvaged";
            record.file = Some(file_of(pack));
            record.to = to.iter().map(file_of).collect();
            record.objects = Some(*objects);
            record.error = problem.as_ref().map(|problem| ErrorRecord {
                code: problem.code,
                message: problem.message.clone(),
            });
        }
        Action::LeftOut { pack } => {
            record.action = "left_out";
            record.file = Some(file_of(pack));
        }
        Action::Made { file } => {
            record.action = "made";
            record.file = Some(file.clone());
        }
        Action::SetAside { file, to } => {
            record.action = "set_aside";
            record.file = Some(file.clone());
            record.to = to.iter().cloned().collect();
        }
        Action::GivenUp { file } => {
            record.action = "given_up";
            record.file = Some(file.clone());
        }
        Action::Rewritten { project, from_job, from, job, snapshot, left_out } => {
            record.action = "rewritten";
            record.project = Some(project);
            record.from_job = Some(*from_job);
            record.from_snapshot = Some(*from);
            record.job = *job;
            record.snapshot = Some(*snapshot);
            record.left_out = Some(*left_out);
        }
        Action::PublishedAgain { project, job, snapshot } => {
            record.action = "published_again";
            record.project = Some(project);
            record.job = *job;
            record.snapshot = Some(*snapshot);
        }
        Action::NotRewritten { project, job, .. } => {
            record.action = "not_rewritten";
            record.project = Some(project);
            record.from_job = Some(*job);
        }
    }
    record
}

fn summary(report: &RepairReport, is_dry_run: bool) -> SummaryRecord {
    SummaryRecord {
        message_type: "summary",
        is_dry_run,
        is_sound: report.remaining.is_sound(),
        actions: report.actions.len() as u64,
        num_errors: damages(&report.remaining),
        affected: affected(&report.remaining),
    }
}

impl From<RepairError> for Failure {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Index(error) => error.into(),
            RepairError::Repository(error) => error.into(),
        }
    }
}
