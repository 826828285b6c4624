//! Failures: an error of the library as an exit code, a stable word, and a message.

use std::fmt::Write as _;
use std::io::Write as _;

use super::codes::Code;
use super::exit::Exit;
use crate::backend::BackendError;
use crate::ops::backup::BackupError;
use crate::ops::forget::ForgetError;
use crate::ops::update_ref::UpdateRefError;
use crate::ops::write_tree::TreeError;
use crate::repository::{OpenError, RepositoryError, RevisionError};
use crate::source::selection::PatternError;
use crate::store::{ReadError, WriteError};

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// A stable word for programs.
    pub code: &'static str,
    /// One line for people; empty if there is nobody left to read it.
    pub message: String,
}

/// The last record on standard error of a command that failed.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "exit-error")]
pub(super) struct ExitMessage<'a> {
    /// `exit_error`.
    message_type: &'static str,
    /// A stable word for programs.
    #[schemars(with = "Code")]
    code: &'static str,
    /// The exit code.
    exit_code: u8,
    /// One line for people.
    message: &'a str,
}

/// Why one of several things that a command was asked for is not as it should be.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "error")]
pub(super) struct ErrorRecord {
    /// A stable word for programs.
    #[schemars(with = "Code")]
    pub(super) code: &'static str,
    /// One line for people.
    pub(super) message: String,
}

impl From<Failure> for ErrorRecord {
    fn from(Failure { code, message, .. }: Failure) -> Self {
        Self { code, message }
    }
}

impl Failure {
    /// A failure with its words.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into() }
    }

    /// Wrong arguments or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(super) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "interrupted")
    }

    /// Something went wrong with the operating system.
    pub fn io(action: &str, error: &std::io::Error) -> Self {
        Self { message: format!("{action}: {error}"), ..Self::from_io(error) }
    }

    fn from_io(error: &std::io::Error) -> Self {
        match error.kind() {
            // Whoever read has had enough, which is no news to anybody.
            std::io::ErrorKind::BrokenPipe => Self::new(Exit::Failed, "broken_pipe", ""),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::new(Exit::NoSpace, "no_space", error.to_string())
            }
            _ => Self::new(Exit::Failed, "io", error.to_string()),
        }
    }

    pub(super) fn of(exit: Exit, code: &'static str, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            // Writing to a string cannot fail.
            let _ok = write!(message, ": {error}");
            cause = error.source();
        }
        Self { exit, code, message }
    }

    /// Writes the failure to standard error, at once: the programs of a pipeline share it.
    pub(super) fn report(&self, is_json: bool) {
        if self.message.is_empty() {
            return;
        }
        let line = if is_json {
            let Self { exit, code, message } = self;
            let (message_type, exit_code) = ("exit_error", exit.code());
            let record = ExitMessage { message_type, code, exit_code, message };
            format!("{}\n", super::json::text(&record))
        } else {
            format!("runup: {}\n", super::output::for_terminal(self.message.as_bytes()))
        };
        // If standard error is closed there is nobody to tell.
        let _ignored = std::io::stderr().write_all(line.as_bytes());
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::from_io(&error)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let (exit, code) = of_backend(&error);
        Self::of(exit, code, &error)
    }
}

fn of_backend(error: &BackendError) -> (Exit, &'static str) {
    match error {
        BackendError::NoSpace { .. } => (Exit::NoSpace, "no_space"),
        BackendError::Damaged { .. } => (Exit::Damaged, "damaged_file"),
        BackendError::Missing { .. } => (Exit::Damaged, "missing_file"),
        BackendError::Fenced => (Exit::Failed, "fenced"),
        BackendError::SessionEnded => (Exit::Failed, "session_ended"),
        _ => (Exit::Failed, "io"),
    }
}

fn of_read(error: &ReadError) -> (Exit, &'static str) {
    match error {
        ReadError::Missing { .. } => (Exit::Damaged, "missing_object"),
        ReadError::Damaged { .. } | ReadError::WrongKind { .. } | ReadError::Base { .. } => {
            (Exit::Damaged, "damaged_object")
        }
        ReadError::File { .. } => (Exit::Damaged, "damaged_file"),
        ReadError::TooLong { .. } => (Exit::Hostile, "too_long"),
        ReadError::Unsupported { .. } => (Exit::Unsupported, "unsupported"),
        ReadError::Backend(error) => of_backend(error),
        ReadError::Sink(_) => (Exit::Failed, "io"),
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        if let ReadError::Sink(error) = &error {
            return Self::from_io(error);
        }
        let (exit, code) = of_read(&error);
        Self::of(exit, code, &error)
    }
}

fn of_write(error: &WriteError) -> (Exit, &'static str) {
    match error {
        WriteError::Backend(error) => of_backend(error),
        WriteError::Read(error) => of_read(error),
        WriteError::Compress(_) => (Exit::Failed, "compressor"),
        WriteError::Source(_) => (Exit::Failed, "unreadable"),
        WriteError::Stopped => (Exit::Failed, "stopped"),
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let (exit, code) = of_write(&error);
        Self::of(exit, code, &error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (exit, code) = match &error {
            OpenError::None { .. } => (Exit::NoRepository, "no_repository"),
            OpenError::Legacy { .. } => (Exit::NoRepository, "python_repository"),
            OpenError::Exists { .. } => (Exit::Failed, "repository_exists"),
            OpenError::Occupied { .. } => (Exit::Usage, "not_empty"),
            OpenError::Damaged { .. } => (Exit::Damaged, "damaged_config"),
            OpenError::Unsupported { .. } => (Exit::Unsupported, "unsupported"),
            OpenError::Random { .. } => (Exit::Failed, "io"),
            OpenError::Backend(error) => of_backend(error),
            OpenError::Read(error) => of_read(error),
        };
        Self::of(exit, code, &error)
    }
}

fn of_repository(error: &RepositoryError) -> (Exit, &'static str) {
    match error {
        RepositoryError::Backend(error) => of_backend(error),
        RepositoryError::Read(error) => of_read(error),
        RepositoryError::Write(error) => of_write(error),
        RepositoryError::LostRefs { .. } => (Exit::Damaged, "missing_refs"),
        RepositoryError::LostJob { .. } => (Exit::Damaged, "missing_job"),
        RepositoryError::LostJobs { .. } => (Exit::Damaged, "lost_jobs"),
        RepositoryError::Control { .. } => (Exit::Damaged, "damaged_file"),
        RepositoryError::Snapshot { .. } => (Exit::Damaged, "damaged_object"),
        RepositoryError::Invalid { .. } => (Exit::Usage, "bad_snapshot"),
        RepositoryError::Fenced => (Exit::Failed, "fenced"),
        RepositoryError::Incomplete { .. } => (Exit::Failed, "incomplete_tree"),
        RepositoryError::TooManyRefs => (Exit::Failed, "too_many_refs"),
        RepositoryError::TooManyCondemned => (Exit::Failed, "too_many_condemned"),
    }
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        let (exit, code) = of_repository(&error);
        Self::of(exit, code, &error)
    }
}

impl From<RevisionError> for Failure {
    fn from(error: RevisionError) -> Self {
        let (exit, code) = match &error {
            RevisionError::Repository(error) => of_repository(error),
            RevisionError::Unknown { .. } => (Exit::Usage, "unknown_revision"),
            RevisionError::Syntax { .. } => (Exit::Usage, "bad_revision"),
            RevisionError::Ambiguous { .. } => (Exit::Usage, "ambiguous_revision"),
            RevisionError::SeveralProjects { .. } => (Exit::Usage, "several_projects"),
            RevisionError::NoSnapshot { .. } | RevisionError::NoJob { .. } => {
                (Exit::Usage, "no_such_job")
            }
            RevisionError::Forgotten { .. } => (Exit::Usage, "forgotten_job"),
            RevisionError::NoPath { .. } => (Exit::Usage, "no_such_path"),
        };
        Self::of(exit, code, &error)
    }
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        let (exit, code) = match &error {
            TreeError::Write(error) => of_write(error),
            TreeError::Context { .. } => (Exit::Usage, "no_context"),
            TreeError::Cancelled => (Exit::Interrupted, "interrupted"),
            TreeError::Thread(_) => (Exit::Failed, "io"),
        };
        Self::of(exit, code, &error)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Tree(error) => error.into(),
            BackupError::Repository(error) => error.into(),
        }
    }
}

impl From<UpdateRefError> for Failure {
    fn from(error: UpdateRefError) -> Self {
        let (exit, code) = match &error {
            UpdateRefError::Changed { .. } => (Exit::Failed, "ref_changed"),
            UpdateRefError::Name { .. }
            | UpdateRefError::Twice { .. }
            | UpdateRefError::Kind { .. } => (Exit::Usage, "bad_ref"),
            UpdateRefError::Repository(error) => of_repository(error),
        };
        Self::of(exit, code, &error)
    }
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        let (exit, code) = match &error {
            ForgetError::EmptyPolicy { .. } => (Exit::Usage, "empty_policy"),
            ForgetError::Future { .. } => (Exit::Usage, "future_job"),
            ForgetError::Pinned { .. } => (Exit::Failed, "pinned_job"),
            ForgetError::Pruned { .. } => (Exit::Failed, "pruned_job"),
            ForgetError::Repository(error) => of_repository(error),
        };
        Self::of(exit, code, &error)
    }
}

impl From<PatternError> for Failure {
    fn from(error: PatternError) -> Self {
        Self::of(Exit::Usage, "bad_pattern", &error)
    }
}
