//! `runup forget`: which jobs are kept, and which may be pruned.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{Globals, time_now};
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, counted};
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::retention::{Amount, Every, Interval, Policy, Reason};
use crate::ops::forget::{Judged, forget, plan, remember};
use crate::repository::{Job, Repository, RepositoryError};

/// Arguments of `runup forget`.
#[derive(Debug, clap::Args)]
pub struct Forget {
    /// Only of this project [default: all]
    #[arg(value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    keep: Keep,
    /// Forget this job, whatever a policy says; may be given several times
    #[arg(long = "job", value_name = "N")]
    jobs: Vec<u64>,
    /// Only tell what would be forgotten
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Remember what was forgotten: all of it, or the jobs that are named
    #[arg(long, conflicts_with = "policy")]
    undo: bool,
}

/// What is kept: each an amount, which is a count such as 7 or a time such as 30d.
#[derive(Debug, clap::Args)]
#[group(id = "policy", multiple = true, conflicts_with = "jobs")]
struct Keep {
    /// Keep the newest N jobs, or all of that time
    #[arg(long = "keep-last", value_name = "N|TIME")]
    last: Option<Amount>,
    /// Keep the last job of each hour, in N hours or that time
    #[arg(long = "keep-hourly", value_name = "N|TIME")]
    hourly: Option<Amount>,
    /// Keep the last job of each day
    #[arg(long = "keep-daily", value_name = "N|TIME")]
    daily: Option<Amount>,
    /// Keep the last job of each week
    #[arg(long = "keep-weekly", value_name = "N|TIME")]
    weekly: Option<Amount>,
    /// Keep the last job of each month
    #[arg(long = "keep-monthly", value_name = "N|TIME")]
    monthly: Option<Amount>,
    /// Keep the last job of each quarter of a year
    #[arg(long = "keep-quarterly", value_name = "N|TIME")]
    quarterly: Option<Amount>,
    /// Keep the last job of each year
    #[arg(long = "keep-yearly", value_name = "N|TIME")]
    yearly: Option<Amount>,
    /// Keep all jobs of this time before the newest
    #[arg(long = "keep-within", value_name = "TIME")]
    within: Option<Interval>,
    /// Keep what has this tag; may be given several times
    #[arg(long = "keep-tag", value_name = "TAG")]
    tags: Vec<String>,
}

impl Keep {
    /// What is kept of each project: as the options say, else as runup.yaml does. A project of which
    /// neither says anything is passed over, unless it is asked for by its name.
    fn policies(
        self,
        globals: &Globals,
        projects: BTreeSet<String>,
        is_named: bool,
    ) -> Result<BTreeMap<String, Policy>, Failure> {
        let given = self.policy();
        if given != Policy::default() {
            return Ok(projects.into_iter().map(|project| (project, given.clone())).collect());
        }
        let found = globals.find_project_file()?;
        let of_file = |project: &str| found.as_ref()?.file.project(project)?.keep.clone();
        let policies: BTreeMap<String, Policy> =
            projects.iter().filter_map(|name| Some((name.clone(), of_file(name)?))).collect();
        if policies.is_empty() && (is_named || !projects.is_empty()) {
            let message = "nothing says what to keep: give `keep` in runup.yaml or an option such as \
                           --keep-daily 7";
            return Err(Failure::new(Exit::Usage, "empty_policy", message));
        }
        Ok(policies)
    }

    fn policy(self) -> Policy {
        let every = [
            (Every::Job, self.last),
            (Every::Hour, self.hourly),
            (Every::Day, self.daily),
            (Every::Week, self.weekly),
            (Every::Month, self.monthly),
            (Every::Quarter, self.quarterly),
            (Every::Year, self.yearly),
        ];
        Policy {
            every: every.into_iter().filter_map(|(every, amount)| Some((every, amount?))).collect(),
            within: self.within,
            tags: self.tags.into_iter().collect(),
        }
    }
}

/// What becomes of the snapshot of a project in a job.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "retention")]
struct Record<'a> {
    /// The job.
    job: u64,
    /// The project.
    project: &'a str,
    /// The snapshot.
    snapshot: Id,
    /// When its backup began, RFC 3339; null where it was not looked at.
    time: Option<&'a str>,
    /// kept, forgotten, or remembered.
    outcome: &'static str,
    /// Why it is kept: newest, last, hourly, daily, weekly, monthly, quarterly, yearly, within, tag
    /// NAME, or the name of a pin.
    reasons: Vec<String>,
}

impl Command for Forget {
    const NAME: &'static str = "forget";
    const ABOUT: &'static str = "Forget old jobs, by a policy or by number";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record<'_>>()];

    const DESCRIPTION: &'static str = "
        Decides for each job of each project whether it is kept, and why, and forgets the others: they
        are no longer listed or restored. Their numbers are never given again. Nothing is deleted, and
        `--undo` brings them back.

        What any of the `--keep` options keeps is kept. Their amounts are a count, or a time of years,
        months, weeks, days and hours, such as `2y6m` or `36h`, before the newest job of the project.
        With a count of 7, `--keep-daily` keeps the last job of each of the 7 latest days that have
        one; what it keeps counts for `--keep-weekly` too. Days are those of the place where the
        backup was made. The newest job of a project and what a pin leads to are always kept; jobs
        that are damaged are too, and are told with the exit code 4.

        Without such an option, each project is kept as `keep` in runup.yaml(5) says. A policy that
        keeps nothing is refused, and so is any where a job is dated in the future.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "See what a policy would do",
            "runup forget --keep-daily 7 --keep-weekly 8w --keep-yearly 10 --dry-run",
        ),
        Example::new(
            "Forget a job, and bring it back",
            "runup forget --job 2\nrunup forget --undo",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-prune(1)", "runup-snapshots(1)", "runup-update-ref(1)", "runup.yaml(5)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let mut damage: Option<Failure> = None;
        let jobs = repository.jobs(|_, error| {
            damage.get_or_insert(error.into());
        })?;
        let projects = self.projects(&jobs)?;
        let Self { keep, jobs: numbers, dry_run, undo, .. } = self;
        if undo || !numbers.is_empty() {
            let chosen = by_number(&jobs, &projects, &numbers, undo)?;
            match undo {
                _ if dry_run => {}
                true => remember(&repository, &chosen)?,
                false => forget(&repository, &chosen)?,
            }
            if undo && chosen.is_empty() && !output.is_json() {
                let is_settled = jobs.iter().any(|job| !job.pruned.is_empty());
                let text = match is_settled {
                    true => {
                        "nothing to do: what was forgotten before the last prune cannot come back"
                    }
                    false => "nothing to do",
                };
                output.line(text.as_bytes())?;
            }
            print_chosen(output, &chosen, undo, dry_run)?;
        } else {
            let policies = keep.policies(globals, projects, self.project.is_some())?;
            let mut judged = Vec::new();
            for (project, policy) in &policies {
                let mut damaged = |error: RepositoryError| {
                    damage.get_or_insert(error.into());
                };
                judged.extend(plan(&repository, project, policy, time_now()?, &mut damaged)?);
            }
            if !dry_run {
                forget_judged(&repository, &jobs, &judged)?;
            }
            print_judged(output, policies.keys(), &judged, dry_run)?;
        }
        output.flush()?;
        damage.map_or(Ok(Exit::Done), Err)
    }
}

impl Forget {
    /// The projects that are looked at, sorted.
    fn projects(&self, jobs: &[Job]) -> Result<BTreeSet<String>, Failure> {
        let known: BTreeSet<String> =
            jobs.iter().flat_map(|job| job.projects.keys().cloned()).collect();
        match &self.project {
            None => Ok(known),
            Some(project) if known.contains(project) => Ok(BTreeSet::from([project.clone()])),
            Some(project) => {
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                let message = format!("no project {project:?} in the repository: there is {known}");
                Err(Failure::new(Exit::Usage, "unknown_project", message))
            }
        }
    }
}

/// The projects of the jobs with these numbers that are to be forgotten, or remembered.
fn by_number<'j>(
    jobs: &'j [Job],
    projects: &BTreeSet<String>,
    numbers: &[u64],
    undo: bool,
) -> Result<Vec<(&'j Job, &'j str)>, Failure> {
    if let Some(number) =
        numbers.iter().find(|number| !jobs.iter().any(|job| job.number == **number))
    {
        let message = format!("there is no job {number}: `runup snapshots` lists them");
        return Err(Failure::new(Exit::Usage, "no_such_job", message));
    }
    let is_wanted = |job: &&Job| numbers.is_empty() || numbers.contains(&job.number);
    // What is named and cannot be had is an error; without a number, what can be had is meant.
    let is_named = !numbers.is_empty();
    let of_job = |job: &'j Job| {
        let is_chosen = move |project: &&String| {
            projects.contains(*project)
                && job.forgotten.contains(*project) == undo
                && (is_named || !job.pruned.contains(*project))
        };
        job.projects.keys().filter(is_chosen).map(move |project| (job, project.as_str()))
    };
    Ok(jobs.iter().filter(is_wanted).flat_map(of_job).collect())
}

fn forget_judged(repository: &Repository, jobs: &[Job], judged: &[Judged]) -> Result<(), Failure> {
    let gone = judged.iter().filter(|judged| judged.reasons.is_empty());
    let chosen: Vec<(&Job, &str)> = gone
        .filter_map(|judged| {
            let job = jobs.iter().find(|job| job.number == judged.job)?;
            Some((job, judged.project.as_str()))
        })
        .collect();
    if chosen.is_empty() { Ok(()) } else { Ok(forget(repository, &chosen)?) }
}

fn print_chosen(
    output: &mut Output,
    chosen: &[(&Job, &str)],
    undo: bool,
    dry_run: bool,
) -> Result<(), Failure> {
    let outcome = if undo { "remembered" } else { "forgotten" };
    for (job, project) in chosen {
        let Some(snapshot) = job.projects.get(*project).copied() else { continue };
        let (job, reasons) = (job.number, Vec::new());
        let record = Record { job, project, snapshot, time: None, outcome, reasons };
        if output.is_json() {
            output.record(&record, false)?;
        } else {
            let would = if dry_run { "would be " } else { "" };
            output.line(format!("job {job} of {project}: {would}{outcome}").as_bytes())?;
        }
    }
    if chosen.is_empty() && !undo && !output.is_json() {
        output.line(b"nothing to do")?;
    }
    Ok(())
}

fn print_judged<'p>(
    output: &mut Output,
    projects: impl ExactSizeIterator<Item = &'p String>,
    judged: &[Judged],
    dry_run: bool,
) -> Result<(), Failure> {
    if projects.len() == 0 && !output.is_json() {
        output.line(b"no snapshots yet")?;
    }
    for project in projects {
        let of_project = || judged.iter().filter(|judged| judged.project == *project);
        if !output.is_json() {
            let all = of_project().count() as u64;
            let kept = of_project().filter(|judged| !judged.reasons.is_empty()).count() as u64;
            let (verb, rest) = if dry_run { ("would keep", "forget") } else { ("kept", "forgot") };
            let jobs = counted(kept, "job", "jobs");
            output.line(format!("{project}: {verb} {jobs}, {rest} {}", all - kept).as_bytes())?;
        }
        for judged in of_project() {
            let reasons: Vec<String> = judged.reasons.iter().map(Reason::to_string).collect();
            let outcome = if reasons.is_empty() { "forgotten" } else { "kept" };
            if output.is_json() {
                output.record(
                    &Record {
                        job: judged.job,
                        project,
                        snapshot: judged.snapshot,
                        time: Some(&judged.time),
                        outcome,
                        reasons,
                    },
                    false,
                )?;
                continue;
            }
            let time = judged.time.get(..19).unwrap_or(&judged.time).replace('T', " ");
            let what = if reasons.is_empty() { "forget".to_owned() } else { reasons.join(", ") };
            let line = format!("{:>5}  {time}  {}  {what}", judged.job, judged.snapshot.short());
            output.line(line.as_bytes())?;
        }
    }
    Ok(())
}
