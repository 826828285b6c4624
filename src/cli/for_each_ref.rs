//! `runup for-each-ref`: every name that leads to an object.

use std::collections::BTreeMap;
use std::ffi::OsString;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::repository::{Job, RefTarget, Refs, Repository, RepositoryError};

/// Arguments of `runup for-each-ref`.
#[derive(Debug, clap::Args)]
pub struct ForEachRef {
    /// Only these: a whole name, what it begins with up to a slash, or a text with * for any other
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Only what leads to this object
    #[arg(long, value_name = "REV")]
    points_at: Option<OsString>,
    /// End records with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print names only
    #[arg(long)]
    name_only: bool,
    /// Print bare ids
    #[arg(long, conflicts_with = "name_only")]
    plain: bool,
}

/// A name that leads to an object.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ref")]
struct Record {
    /// The name, such as `tag/v1` or `project/app`.
    name: String,
    /// project, tag, or pin.
    r#type: &'static str,
    /// The object.
    id: Id,
    /// What it is.
    kind: Kind,
    /// The newest job that holds the snapshot; null where none does, or it is none.
    job: Option<u64>,
    /// Its project in that job.
    project: Option<String>,
    /// When the snapshot was taken, RFC 3339.
    time: Option<String>,
}

impl Command for ForEachRef {
    const NAME: &'static str = "for-each-ref";
    const ABOUT: &'static str = "List tags, pins and the latest snapshot of each project";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];

    const DESCRIPTION: &'static str = "
        Prints a record for each name that leads to an object, by name: pins, the latest snapshot of
        each project, and tags. A `PATTERN` is a whole name, or what names begin with up to a slash,
        as `tag` is; in it `*` stands for any text.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("All names", "runup-for-each-ref --name-only"),
        Example::new("What names a snapshot", "runup-for-each-ref --points-at app"),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-ls-snapshots(1)", "runup-rev-parse(1)", "runup-update-ref(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let points_at = self.points_at.as_ref().map(|revision| {
            repository.resolve(revision.as_encoded_bytes(), &zone()).map(|found| found.id)
        });
        let points_at = points_at.transpose()?;
        let mut damage: Option<RepositoryError> = None;
        let jobs = repository.jobs(|_, error| {
            damage.get_or_insert(error);
        })?;
        let held = held(&jobs);
        for (name, target) in names(&repository, &jobs)? {
            let is_wanted = self.patterns.is_empty()
                || self.patterns.iter().any(|pattern| is_match(pattern, &name));
            if !is_wanted || points_at.is_some_and(|id| id != target.id) {
                continue;
            }
            if self.plain || self.name_only {
                let text = if self.plain { target.id.to_hex() } else { name };
                output.bytes(text.as_bytes())?;
                output.bytes(if self.nul { b"\0" } else { b"\n" })?;
                continue;
            }
            let holder = held.get(&target.id);
            let time = holder.and_then(|_| {
                let snapshot = repository.snapshot(&target.id);
                snapshot.map_err(|error| damage.get_or_insert(error)).ok()
            });
            let record = Record {
                r#type: type_of(&name),
                name,
                id: target.id,
                kind: target.kind,
                job: holder.map(|(job, _)| *job),
                project: holder.map(|(_, project)| (*project).clone()),
                time: time.map(|snapshot| snapshot.time),
            };
            output.record(&record, self.nul)?;
        }
        output.flush()?;
        damage.map_or(Ok(Exit::Done), |error| Err(error.into()))
    }
}

/// The newest live job that holds each snapshot, and its project there.
fn held(jobs: &[Job]) -> BTreeMap<Id, (u64, &String)> {
    let live = jobs.iter().flat_map(|job| job.live().map(|held| (job.number, held)));
    live.map(|(number, (project, id))| (*id, (number, project))).collect()
}

/// Refs, and the latest snapshots of projects, by name.
fn names(repository: &Repository, jobs: &[Job]) -> Result<Refs, Failure> {
    let mut names = repository.ref_table()?.refs;
    let live = jobs.iter().flat_map(Job::live);
    names.extend(live.map(|(project, id)| {
        (format!("project/{project}"), RefTarget { id: *id, kind: Kind::Snapshot })
    }));
    Ok(names)
}

fn type_of(name: &str) -> &'static str {
    match name.split_once('/') {
        Some(("tag", _)) => "tag",
        Some(("pin", _)) => "pin",
        _ => "project",
    }
}

fn is_match(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        let below = name.strip_prefix(pattern);
        return below.is_some_and(|below| {
            below.is_empty() || below.starts_with('/') || pattern.ends_with('/')
        });
    };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The leftmost place of each part leaves the most for those after it.
    for part in middle.split('*') {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn patterns_are_names_beginnings_or_globs() {
        for (pattern, name) in [
            ("tag/v1", "tag/v1"),
            ("tag/", "tag/v1"),
            ("tag", "tag/v1"),
            ("*", "tag/v1"),
            ("tag/v*", "tag/v1"),
            ("*/v1", "tag/v1"),
            ("t*g/*1", "tag/v1"),
            ("tag/*1*1", "tag/v1.1"),
            ("tag/v1*", "tag/v1"),
            ("***", "pin/a"),
        ] {
            assert!(is_match(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("tag/v", "tag/v1"),
            ("ta", "tag/v1"),
            ("tag/v1/", "tag/v1"),
            ("pin/*", "tag/v1"),
            ("*1*1", "tag/v1"),
            ("tag/v1*v1", "tag/v1"),
            ("*a*a*", "tag/b"),
            ("", "tag/v1"),
        ] {
            assert!(!is_match(pattern, name), "{pattern} {name}");
        }
    }
}
