//! Where things are: the context, its project file, the repository, the cache; and what time it is.
//!
//! The only file that reads the environment and the clock.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::exit::Exit;
use super::failure::Failure;
use crate::backend::SESSION_ID_DIGITS;
use crate::base::hash::plain;
use crate::base::id::{hex, unhex};
use crate::base::time::FileTime;
use crate::format::project_file::{self, PROJECT_FILE_BYTES_MAX, Project, ProjectFile};
use crate::os::{FileIdentity, status_of};
use crate::repository::Repository;
use crate::repository::{CONFIG_FILE, LEGACY_FILE};
use crate::source::selection::Selection;

/// Names of the project file, in the order in which they are looked for.
const PROJECT_FILES: [&str; 2] = ["runup.yaml", "runup.yml"];
/// The directory of a repository beside the project file.
pub(super) const REPOSITORY_DIRECTORY: &str = ".runup";

/// Where the repository is.
const REPOSITORY_VARIABLE: &str = "RUNUP_REPOSITORY";
/// The session that a pipeline runs in: the id of its repository, a colon, its own.
const SESSION_VARIABLE: &str = "RUNUP_SESSION";

/// Options that every command has.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// The directory with runup.yaml, which relative includes start from
    #[arg(short = 'c', long, value_name = "DIR", global = true, help_heading = "Global options")]
    pub context: Option<PathBuf>,
    /// The repository [default: `$RUNUP_REPOSITORY`, else `storage` of runup.yaml, else .runup]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Global options")]
    pub repository: Option<PathBuf>,
    /// Print records instead of text, errors included
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Tell more: each path with what became of it
    #[arg(short = 'v', long, global = true, help_heading = "Global options")]
    pub verbose: bool,
}

/// A project file that was found.
#[derive(Debug)]
pub(super) struct FoundProjectFile {
    pub(super) path: PathBuf,
    pub(super) file: ProjectFile,
}

impl FoundProjectFile {
    /// What one of its projects includes and excludes, in an absolute context.
    pub(super) fn selection(
        &self,
        name: &str,
        project: &Project,
        context: &Path,
    ) -> Result<Selection, Failure> {
        let context = context.as_os_str().as_bytes();
        Selection::new(context, &project.include, &project.exclude).map_err(|error| {
            let file = self.path.display();
            let message = format!("{file}: project.{name}: {error}");
            Failure::new(Exit::Usage, "project_file", message)
        })
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

impl Globals {
    /// The context as it was given, or the working directory.
    pub(super) fn context(&self) -> PathBuf {
        self.context.clone().unwrap_or_else(|| PathBuf::from("."))
    }

    /// The context as an absolute path without links.
    pub(super) fn absolute_context(&self) -> Result<PathBuf, Failure> {
        let context = self.context();
        let absolute = std::fs::canonicalize(&context);
        let absolute = absolute.map_err(|error| {
            Failure::new(Exit::Usage, "no_context", format!("{}: {error}", context.display()))
        })?;
        if absolute.is_dir() {
            Ok(absolute)
        } else {
            let message = format!("{}: not a directory", context.display());
            Err(Failure::new(Exit::Usage, "no_context", message))
        }
    }

    /// The project file of the context; `None` if it has none.
    pub(super) fn find_project_file(&self) -> Result<Option<FoundProjectFile>, Failure> {
        for name in PROJECT_FILES {
            let path = self.context().join(name);
            let refuse = |message: String| {
                Failure::new(Exit::Usage, "project_file", format!("{}: {message}", path.display()))
            };
            let bytes = match read_project_file(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(refuse(error.to_string())),
            };
            let file = project_file::decode(&bytes).map_err(|error| refuse(error.to_string()))?;
            return Ok(Some(FoundProjectFile { path, file }));
        }
        Ok(None)
    }

    /// The project file of the context.
    pub(super) fn project_file(&self) -> Result<FoundProjectFile, Failure> {
        self.find_project_file()?.ok_or_else(|| {
            let context = self.context();
            let message = format!(
                "no runup.yaml in {}: `runup init` writes one to start from",
                context.display()
            );
            Failure::new(Exit::Usage, "no_project_file", message)
        })
    }

    /// Where the repository is or is to be, for a command that works in a context.
    pub(super) fn repository_path(&self, project_file: Option<&ProjectFile>) -> PathBuf {
        if let Some(path) = self.explicit_repository() {
            return path;
        }
        match project_file.and_then(|file| file.storage.as_ref()) {
            Some(storage) => self.context().join(storage),
            None => self.context().join(REPOSITORY_DIRECTORY),
        }
    }

    fn explicit_repository(&self) -> Option<PathBuf> {
        self.repository.clone().or_else(|| variable(REPOSITORY_VARIABLE).map(PathBuf::from))
    }

    /// Opens the repository, looking in the folders above too where nothing says where it is.
    pub(super) fn open_repository(&self) -> Result<Repository, Failure> {
        if let Some(path) = self.explicit_repository() {
            return open(&path);
        }
        let start = self.context();
        let absolute = std::path::absolute(&start).unwrap_or_else(|_| start.clone());
        for (level, folder) in absolute.ancestors().enumerate() {
            let level_globals = Self { context: Some(folder.to_owned()), ..self.bare() };
            let project_file = match level_globals.find_project_file() {
                Ok(found) => found,
                Err(failure) if level == 0 => return Err(failure),
                // A file above that is none of ours is no reason to stop.
                Err(_) => None,
            };
            let storage = project_file.and_then(|found| found.file.storage);
            let path = folder.join(storage.as_deref().unwrap_or(REPOSITORY_DIRECTORY));
            let is_there = [CONFIG_FILE, LEGACY_FILE].iter().any(|name| path.join(name).exists());
            if storage.is_some() || is_there {
                return open(&path);
            }
        }
        open(&start.join(REPOSITORY_DIRECTORY))
    }

    fn bare(&self) -> Self {
        Self { context: None, repository: None, json: self.json, verbose: self.verbose }
    }
}

/// Opens a repository; whoever writes there leans on the session that `RUNUP_SESSION` names.
pub(super) fn open(path: &Path) -> Result<Repository, Failure> {
    let named = variable(SESSION_VARIABLE).map(|text| parse_session(&text)).transpose()?;
    let mut repository = Repository::open(path)?;
    if let Some((repository_id, session)) = named
        && repository_id == repository.config().repository_id
    {
        repository.lean_on(&session);
    }
    Ok(repository)
}

/// The ids of a repository and of a session in it.
fn parse_session(text: &std::ffi::OsStr) -> Result<(String, String), Failure> {
    let is_id = |id: &str| id.len() == SESSION_ID_DIGITS && unhex(id).is_some();
    let ids = text.to_str().and_then(|text| text.split_once(':'));
    let ids = ids.filter(|(repository, session)| is_id(repository) && is_id(session));
    let ids = ids.map(|(repository, session)| (repository.to_owned(), session.to_owned()));
    ids.ok_or_else(|| {
        Failure::usage(format!(
            "{SESSION_VARIABLE} is {text:?}, not what runup-session run sets: unset it"
        ))
    })
}

/// What a program finds in its environment that is run in a session: where, and which.
pub(super) fn session_variables(
    repository: &Repository,
    session: &str,
) -> [(&'static str, OsString); 2] {
    let location = Path::new(repository.location());
    let location = std::fs::canonicalize(location).unwrap_or_else(|_| location.to_owned());
    let session = format!("{}:{session}", repository.config().repository_id);
    [(REPOSITORY_VARIABLE, location.into()), (SESSION_VARIABLE, session.into())]
}

/// Where what is known of a repository is kept; `None` if no directory can be told.
fn cache_of(repository: &Repository) -> Option<PathBuf> {
    let cache = variable("RUNUP_CACHE_DIR").map(PathBuf::from).or_else(|| {
        let xdg = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
        xdg.or_else(home).map(|cache| cache.join("runup"))
    })?;
    Some(cache.join(&repository.config().repository_id))
}

/// Where the stat index of a project is kept; `None` if no directory can be told.
pub(super) fn stat_index_path(
    repository: &Repository,
    project: &str,
    context: &Path,
) -> Option<PathBuf> {
    let context = hex(&plain(context.as_os_str().as_bytes())[..8]);
    Some(cache_of(repository)?.join(format!("{project}-{context}.stat")))
}

/// Where checks keep what they have learnt; `None` if no directory can be told.
pub(super) fn verified_path(repository: &Repository) -> Option<PathBuf> {
    Some(cache_of(repository)?.join("packs.verified"))
}

fn read_project_file(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(PROJECT_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a place that need not exist lies in a directory, whatever links lead there.
pub(super) fn is_inside(place: &Path, directory: &Path) -> bool {
    let existing = |path: &Path| match path.as_os_str().is_empty() {
        true => std::fs::canonicalize("."),
        false => std::fs::canonicalize(path),
    };
    let real = place.ancestors().find_map(|ancestor| existing(ancestor).ok());
    let directory = std::fs::canonicalize(directory).ok();
    real.zip(directory).is_some_and(|(real, directory)| real.starts_with(directory))
}

/// What tells the repository's directory from every other.
pub(super) fn identity_of(path: &Path) -> Option<FileIdentity> {
    let directory = std::fs::File::open(path).ok()?;
    status_of(&directory).ok().map(|status| status.identity())
}

/// The time now, or what `RUNUP_DATE` says: for snapshots, RFC 3339 with a zone.
pub(super) fn date() -> Result<String, Failure> {
    Ok(pinned_time()?.strftime("%Y-%m-%dT%H:%M:%S%.9f%:z").to_string())
}

/// The time now, or what `RUNUP_DATE` says: for files that have none.
pub(super) fn file_time() -> Result<FileTime, Failure> {
    Ok(of_timestamp(pinned_time()?.timestamp()))
}

/// The time now, or what `RUNUP_DATE` says.
pub(super) fn time_now() -> Result<Timestamp, Failure> {
    Ok(pinned_time()?.timestamp())
}

fn pinned_time() -> Result<Zoned, Failure> {
    let Some(text) = variable("RUNUP_DATE") else { return Ok(Zoned::now()) };
    let text = text.to_string_lossy().into_owned();
    let zoned = match text.strip_prefix('@') {
        Some(seconds) => seconds
            .parse()
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .map(|time| time.to_zoned(TimeZone::UTC)),
        None => jiff::fmt::temporal::Pieces::parse(&text).ok().and_then(|pieces| {
            let time = text.parse::<Timestamp>().ok()?;
            let zone = pieces.to_numeric_offset().map_or(TimeZone::UTC, TimeZone::fixed);
            Some(time.to_zoned(zone))
        }),
    };
    zoned.ok_or_else(|| {
        Failure::usage(format!(
            "RUNUP_DATE is {text:?}, not a time such as 2026-11-22T05:00:00Z or @1795320000"
        ))
    })
}

fn of_timestamp(time: Timestamp) -> FileTime {
    // Both count down to the second below, so that nanoseconds are never negative.
    let nanoseconds = time.as_nanosecond();
    let billion = i128::from(FileTime::NANOSECONDS_PER_SECOND);
    FileTime {
        seconds: i64::try_from(nanoseconds.div_euclid(billion)).unwrap_or(0),
        nanoseconds: u32::try_from(nanoseconds.rem_euclid(billion)).unwrap_or(0),
    }
}

/// The zone that dates without one are in.
pub(super) fn zone() -> TimeZone {
    TimeZone::system()
}

/// A second as people here write it.
pub(super) fn local_time(second: i64) -> String {
    let time = Timestamp::from_second(second).unwrap_or_default().to_zoned(zone());
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A second, RFC 3339 with a zone.
pub(super) fn dated(second: i64) -> String {
    let time = Timestamp::from_second(second).unwrap_or_default().to_zoned(zone());
    time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The time now, as file systems count it.
pub(super) fn now() -> FileTime {
    of_timestamp(Timestamp::now())
}

/// The name of this machine.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of who runs this, or the number where there is no name.
pub(super) fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let user = uzers::get_user_by_uid(uid);
    user.map_or_else(|| uid.to_string(), |user| user.name().to_string_lossy().into_owned())
}

/// How many threads to use where nothing says so.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Lets this process open as many files as it may: deep trees hold one directory open a level.
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where this is refused, the limit stays and the deepest trees are reported as unreadable.
    let _ignored = setrlimit(Resource::Nofile, limit);
}
