//! Revisions: `PROJECT`, `PROJECT@3`, `PROJECT@{2026-11-01}`, `PROJECT~2`, `latest`, `tag/NAME`,
//! `pin/NAME`, an id or its first digits, each with an optional `:PATH`.
//!
//! Invariant: a revision means one thing or is refused; a job that was forgotten is never replaced
//! by an older one unasked.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use super::refs::{RefTarget, is_ref_name};
use super::{Repository, RepositoryError};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::path::components;
use crate::format::tree::{self, Entry, Node};

/// Shortest abbreviation of an id.
const PREFIX_DIGITS_MIN: usize = 4;
/// Most candidates named for an ambiguous abbreviation.
const CANDIDATES_MAX: usize = 10;

/// What a revision means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The object: a snapshot; or another where a path, a ref or an id led to one.
    pub id: Id,
    /// Its kind.
    pub kind: Kind,
    /// The snapshot it was reached through.
    pub snapshot: Option<Id>,
    /// The project, where the revision names one.
    pub project: Option<String>,
    /// The job, where the revision names one.
    pub job: Option<u64>,
    /// The path after the colon, normalised; empty for the root.
    pub path: Vec<u8>,
    /// The entry at that path; `None` for the root.
    pub entry: Option<Entry>,
}

/// Why a revision means nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevisionError {
    /// No project, ref or object has this name.
    #[error("no project, tag, pin or object is called {revision:?}")]
    Unknown {
        /// The revision.
        revision: String,
    },
    /// The words are off.
    #[error("not a revision: {revision:?} ({expected})")]
    Syntax {
        /// The revision.
        revision: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Several objects begin with these digits.
    #[error("{revision:?} is ambiguous: {}", candidates.iter().map(Id::to_hex).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// The digits.
        revision: String,
        /// Ids that begin with them, at most ten.
        candidates: Vec<Id>,
    },
    /// `latest` where there are several projects.
    #[error("`latest` needs a project here: {}", projects.join(", "))]
    SeveralProjects {
        /// Their names.
        projects: Vec<String>,
    },
    /// The project has no snapshot at or before that point.
    #[error("project {project:?} has no snapshot {when}")]
    NoSnapshot {
        /// The project.
        project: String,
        /// Which was asked for.
        when: String,
    },
    /// There is no such job.
    #[error("there is no job {number}: the newest is {newest}")]
    NoJob {
        /// The number asked for.
        number: u64,
        /// The newest job.
        newest: u64,
    },
    /// The job was forgotten.
    #[error("job {number} of project {project:?} was forgotten")]
    Forgotten {
        /// The job.
        number: u64,
        /// The project.
        project: String,
    },
    /// Nothing stands at the path.
    #[error("no {path:?} in {revision}")]
    NoPath {
        /// The revision, without the path.
        revision: String,
        /// The path.
        path: String,
    },
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<crate::store::ReadError> for RevisionError {
    fn from(error: crate::store::ReadError) -> Self {
        Self::Repository(error.into())
    }
}

/// Which snapshot of a project.
enum When {
    Newest,
    Job(u64),
    Back(u64),
    Time(Timestamp),
}

impl Repository {
    /// Finds what a revision means. Dates without a zone are in `zone`.
    ///
    /// # Errors
    ///
    /// It means nothing, or more than one thing; the repository fails.
    pub fn resolve(&self, revision: &[u8], zone: &TimeZone) -> Result<Resolved, RevisionError> {
        let colon = path_colon(revision);
        let (name, path) = match colon {
            Some(at) => (&revision[..at], Some(&revision[at + 1..])),
            None => (revision, None),
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let mut resolved = self.resolve_name(&name, zone)?;
        if let Some(path) = path {
            self.descend(&mut resolved, &name, path)?;
        }
        Ok(resolved)
    }

    fn resolve_name(&self, name: &str, zone: &TimeZone) -> Result<Resolved, RevisionError> {
        let (base, when) = parse_name(name, zone)?;
        if let Some(project) = base.strip_prefix("project/") {
            return self.resolve_project(project, &when);
        }
        if is_ref_name(base) {
            return match when {
                When::Newest => self.resolve_ref(base),
                _ => Err(RevisionError::Syntax {
                    revision: name.to_owned(),
                    expected: "a tag or pin is one object, without @ or ~",
                }),
            };
        }
        // A whole id is that object, whatever a project may be called: records name objects so.
        if base.parse::<Id>().is_ok() && base == name {
            return self.resolve_id(name);
        }
        let projects = self.projects()?;
        if base == "latest" && !projects.contains(base) {
            let mut names = projects.into_iter();
            return match (names.next(), names.next()) {
                (Some(project), None) => self.resolve_project(&project, &when),
                (None, _) => Err(RevisionError::Unknown { revision: name.to_owned() }),
                (Some(first), Some(second)) => {
                    let projects = [first, second].into_iter().chain(names).collect();
                    Err(RevisionError::SeveralProjects { projects })
                }
            };
        }
        if projects.contains(base) {
            return self.resolve_project(base, &when);
        }
        self.resolve_id(name)
    }

    fn resolve_ref(&self, name: &str) -> Result<Resolved, RevisionError> {
        let table = self.ref_table()?;
        let unknown = || RevisionError::Unknown { revision: name.to_owned() };
        let RefTarget { id, kind } = *table.refs.get(name).ok_or_else(unknown)?;
        Ok(object(id, kind))
    }

    fn resolve_project(&self, project: &str, when: &When) -> Result<Resolved, RevisionError> {
        let none = |when: String| RevisionError::NoSnapshot { project: project.to_owned(), when };
        let (job, id) = match when {
            When::Newest => self
                .newest_snapshot(project, u64::MAX)?
                .ok_or_else(|| RevisionError::Unknown { revision: project.to_owned() })?,
            When::Job(number) => self.snapshot_as_of(project, *number)?,
            When::Back(steps) => {
                let mut up_to = u64::MAX;
                let mut found = None;
                for _ in 0..=*steps {
                    found = self.newest_snapshot(project, up_to)?;
                    let Some((job, _)) = found else { break };
                    up_to = job - 1;
                }
                found.ok_or_else(|| none(format!("{steps} before its newest")))?
            }
            When::Time(time) => {
                let mut up_to = u64::MAX;
                loop {
                    let found = self.newest_snapshot(project, up_to)?;
                    let (job, id) = found.ok_or_else(|| none(format!("as old as {time}")))?;
                    let taken = self.snapshot(&id)?.time.parse::<Timestamp>();
                    if taken.is_ok_and(|taken| taken <= *time) {
                        break (job, id);
                    }
                    up_to = job - 1;
                }
            }
        };
        Ok(Resolved {
            id,
            kind: Kind::Snapshot,
            snapshot: Some(id),
            project: Some(project.to_owned()),
            job: Some(job),
            path: Vec::new(),
            entry: None,
        })
    }

    /// The snapshot of a project as of a job: the newest at or before it.
    ///
    /// # Errors
    ///
    /// There is no such job, it was forgotten, or the project is younger.
    pub fn snapshot_as_of(&self, project: &str, number: u64) -> Result<(u64, Id), RevisionError> {
        let newest = self.job_numbers()?.last().copied().unwrap_or(0);
        let job = self.job(number)?;
        let job = job.ok_or(RevisionError::NoJob { number, newest })?;
        if job.forgotten.contains(project) {
            return Err(RevisionError::Forgotten { number, project: project.to_owned() });
        }
        self.newest_snapshot(project, number)?.ok_or_else(|| RevisionError::NoSnapshot {
            project: project.to_owned(),
            when: format!("at or before job {number}"),
        })
    }

    fn resolve_id(&self, digits: &str) -> Result<Resolved, RevisionError> {
        let unknown = || RevisionError::Unknown { revision: digits.to_owned() };
        let id = self.resolve_object(digits)?;
        let found = self.store.find(&id)?.ok_or_else(unknown)?;
        Ok(object(id, found.kind))
    }

    /// Finds the object whose id has these digits, or begins with them.
    ///
    /// # Errors
    ///
    /// There is none, or more than one; fewer than four digits or more than 64.
    pub fn resolve_object(&self, digits: &str) -> Result<Id, RevisionError> {
        let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex || !(PREFIX_DIGITS_MIN..=64).contains(&digits.len()) {
            return Err(RevisionError::Unknown { revision: digits.to_owned() });
        }
        if let Ok(id) = digits.parse() {
            return Ok(id);
        }
        let candidates = self.store.ids_with_prefix(digits, CANDIDATES_MAX)?;
        match candidates[..] {
            [id] => Ok(id),
            [] => Err(RevisionError::Unknown { revision: digits.to_owned() }),
            _ => Err(RevisionError::Ambiguous { revision: digits.to_owned(), candidates }),
        }
    }

    fn descend(
        &self,
        resolved: &mut Resolved,
        revision: &str,
        path: &[u8],
    ) -> Result<(), RevisionError> {
        let no_path = || RevisionError::NoPath {
            revision: revision.to_owned(),
            path: String::from_utf8_lossy(path).into_owned(),
        };
        let parts = components(path).ok_or_else(no_path)?;
        if resolved.kind == Kind::Snapshot {
            resolved.id = self.snapshot(&resolved.id)?.root.tree;
            resolved.kind = Kind::Tree;
        }
        for name in &parts {
            if resolved.kind != Kind::Tree {
                return Err(no_path());
            }
            let bytes = self.store.read(&resolved.id, Kind::Tree)?;
            let entry = find_entry(&resolved.id, &bytes, name)?.ok_or_else(no_path)?;
            (resolved.id, resolved.kind) = match &entry.node {
                Node::Directory { tree } => (*tree, Kind::Tree),
                Node::File { id, .. } => (*id, Kind::Blob),
                _ => (resolved.id, Kind::Part),
            };
            resolved.entry = Some(entry);
        }
        resolved.path = parts.join(&b'/');
        Ok(())
    }
}

/// What a name means that leads to an object and to nothing else.
fn object(id: Id, kind: Kind) -> Resolved {
    let snapshot = (kind == Kind::Snapshot).then_some(id);
    Resolved { id, kind, snapshot, project: None, job: None, path: Vec::new(), entry: None }
}

/// The colon before a path: the first that is not in the braces of a date.
fn path_colon(revision: &[u8]) -> Option<usize> {
    let first = revision.iter().position(|byte| *byte == b':')?;
    let head = &revision[..first];
    let is_in_date = head.windows(2).any(|pair| pair == b"@{") && !head.contains(&b'}');
    let from = match is_in_date {
        true => first + revision[first..].iter().position(|byte| *byte == b'}')?,
        false => first,
    };
    let found = revision[from..].iter().position(|byte| *byte == b':');
    found.map(|at| from + at)
}

fn find_entry(id: &Id, bytes: &[u8], name: &[u8]) -> Result<Option<Entry>, RevisionError> {
    for entry in tree::entries(bytes) {
        let entry = entry.map_err(|source| crate::store::ReadError::Damaged {
            id: *id,
            kind: Kind::Tree,
            file: "the repository".into(),
            source,
        })?;
        if *entry.name == *name {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn parse_name<'n>(name: &'n str, zone: &TimeZone) -> Result<(&'n str, When), RevisionError> {
    let syntax = |expected| RevisionError::Syntax { revision: name.to_owned(), expected };
    if let Some((base, rest)) = name.split_once("@{") {
        let date = rest.strip_suffix('}').ok_or_else(|| syntax("@{ needs a closing }"))?;
        let time = parse_time(date, zone);
        let time = time.ok_or_else(|| syntax("a date such as 2026-11-01 or 2026-11-01T12:00"))?;
        return Ok((base, When::Time(time)));
    }
    let number = |digits: &str| digits.parse::<u64>().map_err(|_| syntax("a number after @ or ~"));
    if let Some((base, digits)) = name.rsplit_once('@') {
        return Ok((base, When::Job(number(digits)?)));
    }
    if let Some((base, digits)) = name.rsplit_once('~') {
        let steps = if digits.is_empty() { 1 } else { number(digits)? };
        return Ok((base, When::Back(steps)));
    }
    Ok((name, When::Newest))
}

/// A time: with a zone, without one, or a day, which means its last moment.
fn parse_time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let time = match text.contains([':', 'T', ' ']) {
        true => text.parse::<civil::DateTime>().ok()?,
        false => text.parse::<civil::Date>().ok()?.at(23, 59, 59, 999_999_999),
    };
    Some(time.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_behind_the_first_colon_that_is_in_no_date() {
        for (revision, expected) in [
            (&b"app"[..], None),
            (b"app:a:b", Some(3)),
            (b"app@{2026-11-01T12:00}", None),
            (b"app@{2026-11-01T12:00}:a", Some(22)),
            (b"app:x@{1:2}", Some(3)),
            (b"app@{2026-11-01}:a", Some(16)),
            (b"app@{12:00", None),
        ] {
            assert_eq!(path_colon(revision), expected, "{}", revision.escape_ascii());
        }
    }

    #[test]
    fn names_split_into_base_and_moment() {
        let parse = |name: &'static str| parse_name(name, &TimeZone::UTC);
        assert!(matches!(parse("app"), Ok(("app", When::Newest))));
        assert!(matches!(parse("app@3"), Ok(("app", When::Job(3)))));
        assert!(matches!(parse("app~"), Ok(("app", When::Back(1)))));
        assert!(matches!(parse("app~2"), Ok(("app", When::Back(2)))));
        let Ok((_, When::Time(time))) = parse("app@{2026-11-01}") else { panic!("a time") };
        assert_eq!(time.to_string(), "2026-11-01T23:59:59.999999999Z");
        for bad in ["app@", "app@x", "app@{", "app@{soon}", "app~x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
