//! Everything beside packs and indexes: the configuration, jobs, generations, refs, stray names.
//!
//! Invariant: nothing is opened by a name that a listing gave before the name was found to be one
//! that belongs there; what stands there is opened without following or waiting.

use std::collections::{BTreeMap, BTreeSet};

use super::gaps;
use super::report::{Finding, Findings, FsckReport};
use super::table::Copy;
use crate::backend::{Backend, BackendError, LOST_DIRECTORY, Listed, SESSION_ID_DIGITS};
use crate::base::hash::object_id;
use crate::base::id::{Id, unhex};
use crate::base::kind::Kind;
use crate::base::limits::{CONTROL_FILE_BYTES_MAX, FRAME_OBJECT_BYTES_MAX};
use crate::format::codec::DecodeError;
use crate::format::config::Config;
use crate::format::list::List;
use crate::format::loose;
use crate::ops::with_causes;
use crate::repository::{
    CONFIG_FILE, Generation, Job, RefTable, Refs, Repository, RepositoryError, parse_job_number,
};

/// Directories that are made with the repository and stay.
const DIRECTORIES: [&str; 10] = [
    "fenced",
    "forgotten",
    "gc",
    "index",
    "jobs",
    "objects",
    "packs",
    "pruned",
    "refs",
    "sessions",
];
/// Directories that may be lacking.
const OPTIONAL: [&str; 2] = ["tmp", LOST_DIRECTORY];
/// A file that a prune of a full disk takes away for a while; nobody reads it.
const RESERVE: &str = "reserve";
/// Files, besides the configuration, that are made with the repository and stay. They are empty.
const LOCKS: [&str; 2] = ["maintenance.lock", "publication.lock"];

/// Lists a directory; one that is something else is reported and taken as empty.
pub(super) fn list(
    backend: &dyn Backend,
    findings: &Findings<'_>,
    directory: &str,
) -> Result<Vec<Listed>, RepositoryError> {
    match backend.list(directory) {
        Err(error @ BackendError::Damaged { .. }) => {
            findings.add(Finding::damage("damaged_directory", with_causes(&error)).file(directory));
            Ok(Vec::new())
        }
        other => Ok(other?),
    }
}

/// The part of a file name before this suffix, if it is an id.
fn id_of(name: &str, suffix: &str) -> Option<Id> {
    name.strip_suffix(suffix)?.parse().ok()
}

/// Checks small files and names.
pub(super) struct Control<'a> {
    pub(super) repository: &'a Repository,
    pub(super) findings: &'a Findings<'a>,
}

impl Control<'_> {
    fn backend(&self) -> &dyn Backend {
        self.repository.backend()
    }

    fn list(&self, directory: &str) -> Result<Vec<Listed>, RepositoryError> {
        list(self.backend(), self.findings, directory)
    }

    fn stray(&self, file: String, message: &str) {
        self.findings.add(Finding::note("stray_file", message).file(file));
    }

    fn stray_in(&self, directory: &str, listed: &Listed, what: &str) {
        self.stray(format!("{directory}/{}", listed.name), &format!("not the name of {what}"));
    }

    /// The configuration, which must still be the one the repository was opened with.
    pub(super) fn config(&self) {
        let read = self.backend().read(CONFIG_FILE, CONTROL_FILE_BYTES_MAX);
        let message = match read {
            Ok(None) => "it is missing".to_owned(),
            Err(error) => with_causes(&error),
            Ok(Some(bytes)) => match Config::decode(&bytes) {
                Ok(config) if config == *self.repository.config() => return,
                Ok(_) => "it has changed since the repository was opened".to_owned(),
                Err(error) => with_causes(&error),
            },
        };
        self.findings.add(Finding::damage("damaged_config", message).file(CONFIG_FILE));
    }

    /// The room that is kept for a prune.
    fn reserve(&self) {
        let message = match self.backend().has_sound_reserve() {
            Ok(true) => return,
            Ok(false) => {
                "a prune of a full disk may lack room; the next one makes it anew".to_owned()
            }
            Err(error) => with_causes(&error),
        };
        self.findings.add(Finding::note("damaged_reserve", message).file(RESERVE));
    }

    /// Names at the top: all that should be there, and nothing else.
    pub(super) fn top(&self) -> Result<(), RepositoryError> {
        let listed = self.list("")?;
        for entry in &listed {
            let name = entry.name.as_str();
            if DIRECTORIES.contains(&name) || OPTIONAL.contains(&name) {
                if !entry.is_directory {
                    let finding = Finding::damage("damaged_directory", "not a directory");
                    self.findings.add(finding.file(name));
                }
            } else if LOCKS.contains(&name) {
                self.empty_file(name.to_owned(), entry);
            } else if name != CONFIG_FILE && name != RESERVE {
                self.stray(name.to_owned(), "not part of a repository");
            }
        }
        self.reserve();
        for name in DIRECTORIES.into_iter().chain(LOCKS) {
            if listed.iter().any(|entry| entry.name == name) {
                continue;
            }
            let finding = match name {
                // Without it nothing is reachable, and numbers would be given again.
                "jobs" => Finding::damage(
                    "missing_directory",
                    "it is missing, and all jobs with it: put a copy of it back",
                ),
                _ if LOCKS.contains(&name) => {
                    Finding::damage("missing_lock", "it is missing: `runup repair` makes it")
                }
                _ => Finding::damage(
                    "missing_directory",
                    "it is missing, or was empty and not copied: `runup repair` makes it",
                ),
            };
            self.findings.add(finding.file(name));
        }
        Ok(())
    }

    /// All jobs that can be read.
    pub(super) fn jobs(&self, report: &mut FsckReport) -> Result<Vec<Job>, RepositoryError> {
        let mut jobs = Vec::new();
        for listed in self.list("jobs")? {
            let Some(number) = parse_job_number(&listed.name) else {
                self.stray_in("jobs", &listed, "a job");
                continue;
            };
            match self.repository.job(number) {
                Ok(job) => jobs.extend(job),
                Err(
                    error @ (RepositoryError::Control { .. }
                    | RepositoryError::Backend(BackendError::Damaged { .. })),
                ) => {
                    let file = format!("jobs/{}", listed.name);
                    self.findings.add(Finding::damage("damaged_job", reason(&error)).file(file));
                }
                Err(error) => return Err(error),
            }
        }
        report.jobs = jobs.len() as u64;
        self.marks("forgotten", &jobs)?;
        self.marks("pruned", &jobs)?;
        Ok(jobs)
    }

    /// Marks of forgotten projects.
    fn marks(&self, parent: &str, jobs: &[Job]) -> Result<(), RepositoryError> {
        for listed in self.list(parent)? {
            let number = parse_job_number(&listed.name).filter(|_| listed.is_directory);
            let Some(number) = number else {
                self.stray_in(parent, &listed, "the forgotten projects of a job");
                continue;
            };
            let directory = format!("{parent}/{}", listed.name);
            let job = jobs.iter().find(|job| job.number == number);
            for project in self.list(&directory)? {
                let is_project = job.is_none_or(|job| job.projects.contains_key(&project.name));
                let file = format!("{directory}/{}", project.name);
                match is_project {
                    true => self.empty_file(file, &project),
                    false => self.stray_in(&directory, &project, "a project of that job"),
                }
            }
        }
        Ok(())
    }

    /// A file that matters by its name alone.
    fn empty_file(&self, file: String, listed: &Listed) {
        if let Err(error) = self.backend().open(&file) {
            self.unreadable(file, &error);
        } else if listed.length_bytes > 0 {
            self.stray(file, "it should be empty; what it holds is of no use");
        }
    }

    fn unreadable(&self, file: String, error: &BackendError) {
        let code = match error {
            BackendError::Missing { .. } => return,
            BackendError::Damaged { .. } => "damaged_control",
            _ => "unreadable_file",
        };
        self.findings.add(Finding::damage(code, with_causes(error)).file(file));
    }

    /// Of the numbered files of a directory the newest, which holds nothing where there is none; `None`
    /// where it is damaged. `known` is the highest number that any job knew of.
    fn newest<T: Default>(
        &self,
        (directory, what): (&str, &str),
        known: u64,
        (damaged, missing): (&'static str, &'static str),
        decode: impl Fn(&[u8], u64) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, RepositoryError> {
        let (mut highest, mut newest) = (0, Some(T::default()));
        for listed in self.list(directory)? {
            let Some(number) = parse_job_number(&listed.name) else {
                self.stray_in(directory, &listed, what);
                continue;
            };
            let file = format!("{directory}/{}", listed.name);
            let damage = |message| {
                self.findings.add(Finding::damage(damaged, message).file(file.clone()));
            };
            let mut decoded = None;
            match self.backend().read(&file, CONTROL_FILE_BYTES_MAX) {
                // Removed by a prune since it was listed.
                Ok(None) => {}
                Err(error @ BackendError::Damaged { .. }) => damage(with_causes(&error)),
                Err(error) => self.unreadable(file.clone(), &error),
                Ok(Some(bytes)) => match decode(&bytes, number) {
                    Ok(record) => decoded = Some(record),
                    Err(error) => damage(with_causes(&error)),
                },
            }
            if number > highest {
                (highest, newest) = (number, decoded);
            }
        }
        // A listing may lack what came while it was made. Where there is no directory, that was told.
        let is_gone = || self.repository.highest_in(directory).is_ok_and(|number| number < known);
        if highest < known && is_gone() {
            let message =
                format!("it is missing, though a job was published when there was {what}");
            let file = format!("{directory}/{known:08}");
            self.findings.add(Finding::damage(missing, message).file(file));
        }
        Ok(newest)
    }

    /// Generations; the newest one, which condemns nothing where there is none, and `None` where it is
    /// damaged.
    pub(super) fn generations(&self, jobs: &[Job]) -> Result<Option<Generation>, RepositoryError> {
        let known = jobs.iter().map(|job| job.generation).max().unwrap_or(0);
        let codes = ("damaged_control", "missing_generation");
        self.newest(("gc", "a generation"), known, codes, Generation::decode)
    }

    /// Tables of refs; the refs of the one that counts, or none where that is damaged.
    pub(super) fn refs(&self, jobs: &[Job]) -> Result<Refs, RepositoryError> {
        let known = jobs.iter().map(|job| job.refs).max().unwrap_or(0);
        let codes = ("damaged_refs", "missing_refs");
        let newest = self.newest(("refs", "a table of refs"), known, codes, RefTable::decode)?;
        Ok(newest.unwrap_or_default().refs)
    }

    /// Jobs that are gone, of which no generation has counted the numbers up to this one.
    pub(super) fn gaps(&self, counted: u64) -> Result<(), RepositoryError> {
        match gaps::report(self.repository, counted, self.findings) {
            // Told where they were listed before.
            Err(RepositoryError::Backend(BackendError::Damaged { .. })) => Ok(()),
            other => other,
        }
    }

    /// Names of sessions and of files in flight.
    pub(super) fn sessions(&self, own: Option<&str>) -> Result<(), RepositoryError> {
        for directory in ["sessions", "fenced"] {
            for listed in self.list(directory)? {
                let is_session =
                    unhex(&listed.name).is_some_and(|bytes| bytes.len() * 2 == SESSION_ID_DIGITS);
                let file = format!("{directory}/{}", listed.name);
                if !is_session || listed.is_directory {
                    self.stray_in(directory, &listed, "a session");
                } else if own != Some(&listed.name) {
                    let message = "somebody reads or writes, or was stopped";
                    self.findings.add(Finding::note("open_session", message).file(file));
                }
            }
        }
        for listed in self.list("tmp")? {
            let message = "being written, or left by a writer that was stopped";
            let file = format!("tmp/{}", listed.name);
            self.findings.add(Finding::note("temporary_file", message).file(file));
        }
        Ok(())
    }

    /// Files that were set aside: damaged, and of use to nobody but people.
    pub(super) fn lost(&self) -> Result<(), RepositoryError> {
        for listed in self.list(LOST_DIRECTORY)? {
            let message = match id_of(&listed.name, ".gone") {
                Some(_) => "a pack that is gone, and that no index names any more",
                None => "damaged and set aside, for people to look at",
            };
            let file = format!("{LOST_DIRECTORY}/{}", listed.name);
            self.findings.add(Finding::note("lost_file", message).file(file));
        }
        Ok(())
    }

    /// Names of packs, and the bytes of each.
    pub(super) fn pack_names(&self) -> Result<BTreeMap<Id, u64>, RepositoryError> {
        let mut names = BTreeMap::new();
        for listed in self.list("packs")? {
            match id_of(&listed.name, ".pack") {
                Some(name) => drop(names.insert(name, listed.length_bytes)),
                None => self.stray_in("packs", &listed, "a pack"),
            }
        }
        Ok(names)
    }

    /// Loose objects, read whole at either depth: only their bytes tell what they are. Those that are
    /// damaged.
    pub(super) fn loose(
        &self,
        copies: &mut Vec<Copy>,
        report: &mut FsckReport,
    ) -> Result<BTreeSet<Id>, RepositoryError> {
        let mut damaged = BTreeSet::new();
        for directory in self.list("objects")? {
            let is_head = unhex(&directory.name).is_some_and(|bytes| bytes.len() == 1);
            if !is_head || !directory.is_directory {
                self.stray_in("objects", &directory, "a directory of loose objects");
                continue;
            }
            let path = format!("objects/{}", directory.name);
            for listed in self.list(&path)? {
                match id_of(&format!("{}{}", directory.name, listed.name), "") {
                    Some(id) => {
                        let file = format!("{path}/{}", listed.name);
                        if !self.loose_object(id, file, copies, report) {
                            damaged.insert(id);
                        }
                    }
                    None => self.stray_in(&path, &listed, "a loose object"),
                }
            }
        }
        Ok(damaged)
    }

    /// Reads a loose object; whether it is not damaged.
    fn loose_object(
        &self,
        id: Id,
        file: String,
        copies: &mut Vec<Copy>,
        report: &mut FsckReport,
    ) -> bool {
        let limit = (FRAME_OBJECT_BYTES_MAX + FRAME_OBJECT_BYTES_MAX / 512) as u64;
        let message = match self.backend().read(&file, limit) {
            // Deleted by a prune since it was listed.
            Ok(None) => return true,
            Err(error) => with_causes(&error),
            Ok(Some(stored)) => {
                report.loose += 1;
                report.bytes_read += stored.len() as u64;
                self.findings.monitor.bytes(stored.len() as u64);
                match check_loose(&id, &stored) {
                    Ok((kind, is_list)) => {
                        copies.push(Copy::new(id, kind, is_list, true));
                        return true;
                    }
                    Err(message) => message,
                }
            }
        };
        let number = self.findings.add(Finding::damage("damaged_loose", message).file(file));
        // What it was to be is not known.
        for kind in Kind::ALL {
            copies.push(Copy::unusable(id, kind));
            self.findings.blame(number, id, kind);
        }
        false
    }

    /// Jobs that hold a snapshot whose parent came with a later one: their files were swapped.
    pub(super) fn check_order(&self, parents: &[(u64, Id)], jobs: &[Job]) {
        let mut first_jobs: BTreeMap<Id, u64> = BTreeMap::new();
        for job in jobs {
            for id in job.projects.values() {
                let first = first_jobs.entry(*id).or_insert(job.number);
                *first = job.number.min(*first);
            }
        }
        for (number, parent) in parents {
            if first_jobs.get(parent).is_some_and(|first| first > number) {
                let message = "it holds a snapshot whose parent came with a later job";
                let file = format!("jobs/{number:08}");
                self.findings.add(Finding::damage("damaged_job", message).file(file));
            }
        }
    }
}

fn reason(error: &RepositoryError) -> String {
    match error {
        RepositoryError::Control { source, .. } => source.to_string(),
        other => with_causes(other),
    }
}

fn check_loose(id: &Id, stored: &[u8]) -> Result<(Kind, bool), String> {
    let loose = loose::decode(stored).map_err(|error| with_causes(&error))?;
    if loose.is_list {
        List::decode(&loose.bytes).map_err(|error| with_causes(&error))?;
    } else if object_id(loose.kind, &loose.bytes) != *id {
        return Err("its bytes are not those of its id".to_owned());
    }
    Ok((loose.kind, loose.is_list))
}
