//! `runup checkout`: a tree to files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{self, Globals, is_inside, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::messages::Messages;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::{Monitor, Problem};
use crate::base::path::components;
use crate::format::tree::Metadata;
use crate::ops::checkout::{CheckoutError, CheckoutReport, CheckoutRequest, WantedPaths, checkout};
use crate::ops::restore::RestoreError;
use crate::target::{Overwrite, TargetError};

/// Arguments of `runup checkout`.
#[derive(Debug, clap::Args)]
pub struct Checkout {
    /// A snapshot or tree
    #[arg(value_name = "REV")]
    revision: OsString,
    /// The directory to write to, which is made if need be
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only these paths of the tree, and what is below them
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Read more paths, or records with a path, from standard input
    #[arg(long)]
    stdin: bool,
    /// Items on standard input, and the record, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Replace files that differ; without this they are left and told
    #[arg(short = 'f', long)]
    force: bool,
    /// Make devices too, as root
    #[arg(long)]
    devices: bool,
    /// How many threads write files [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Print nothing
    #[arg(long)]
    plain: bool,
}

/// What a checkout came to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "checkout-summary")]
struct Record {
    /// `summary`.
    message_type: &'static str,
    /// The tree that was written.
    tree: Id,
    #[serde(flatten)]
    figures: CheckoutFigures,
}

/// Figures of a checkout or restore.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckoutFigures {
    /// Files, links and others that were not there before.
    files_restored: u64,
    /// Files, links and others that were there and differed.
    files_replaced: u64,
    /// Files, links and others that were there as they should be.
    files_skipped: u64,
    /// Directories, made or met.
    directories: u64,
    /// Bytes of content written.
    bytes_restored: u64,
    /// Bytes of content that were there already.
    bytes_skipped: u64,
    /// Entries that could not be written.
    errors: u64,
    /// Of those, ones whose stored data is missing or damaged.
    damaged: u64,
    /// How many times the system did not keep a part of the metadata, by what part it is.
    not_kept: BTreeMap<&'static str, u64>,
}

impl From<&CheckoutReport> for CheckoutFigures {
    fn from(report: &CheckoutReport) -> Self {
        Self {
            files_restored: report.files_restored,
            files_replaced: report.files_replaced,
            files_skipped: report.files_unchanged,
            directories: report.directories,
            bytes_restored: report.bytes_restored,
            bytes_skipped: report.bytes_skipped,
            errors: report.errors,
            damaged: report.damaged,
            not_kept: report.not_kept.clone(),
        }
    }
}

impl Command for Checkout {
    const NAME: &'static str = "checkout";
    const ABOUT: &'static str = "Write the files of a snapshot or tree to a directory";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Writes a snapshot or tree to a directory: all of it, or each `PATH` with what is below it.
        Paths are those below the top of `REV`. On standard input they are bare, or the `path` of
        records that other programs print. A path at which nothing stands is told, and the exit code
        is 3.

        Files that are as they should be are left alone. One that differs is told and left, or with
        `--force` replaced. Others are written beside, verified and renamed into place. Symbolic
        links in the directory are never followed, and what the snapshot lacks is never removed.

        A record is printed at the end: how many files were written, replaced and left, and in
        `not_kept` how many could not be given their owner, mode or other metadata. What could not
        be written or kept makes the exit code 3.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("All of a snapshot", "runup-checkout --to ../old app@1"),
        Example::new(
            "A file that was deleted since",
            "runup-checkout --to . notes@2 notes/plan.txt",
        ),
        Example::new(
            "Some files by name",
            r"runup-ls-tree -r -z --name-only app | grep -z '\.h$' |
  runup-checkout --stdin -z --plain --to ../headers app",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-ls-tree(1)", "runup-restore(1)"];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        environment::raise_open_files();
        let repository = globals.open_repository()?;
        let _session = repository.read_session()?;
        let resolved = repository.resolve(self.revision.as_encoded_bytes(), &zone())?;
        let (tree, links, root) = match resolved.kind {
            Kind::Snapshot => {
                let snapshot = repository.snapshot(&resolved.id)?.root;
                let root: Option<Metadata> = snapshot.root.and_then(|root| root.decode());
                (snapshot.tree, snapshot.links, root)
            }
            Kind::Tree => (resolved.id, None, resolved.entry.map(|entry| entry.metadata)),
            other => {
                let message = format!("a snapshot or tree is needed, not a {other}");
                return Err(Failure::usage(message));
            }
        };
        let wanted = self.wanted()?;
        if is_inside(&self.to, std::path::Path::new(repository.location())) {
            let message = format!("{}: inside the repository", self.to.display());
            return Err(Failure::new(Exit::Usage, "bad_location", message));
        }
        std::fs::create_dir_all(&self.to)
            .map_err(|error| Failure::io(&self.to.display().to_string(), &error))?;
        let request = CheckoutRequest {
            tree,
            links,
            root: root.filter(|_| wanted.is_all()),
            to: &self.to,
            wanted: &|path, _| wanted.ask(path),
            overwrite: if self.force { Overwrite::Replace } else { Overwrite::Never },
            has_devices: self.devices,
            workers: self.jobs.map_or_else(environment::threads, usize::from),
        };
        let messages = Messages::new(output.is_json(), globals.verbose);
        let report = checkout(repository.store(), &request, &messages);
        messages.finish();
        let mut report = report?;
        for path in wanted.missing() {
            report.errors += 1;
            messages.problem(Problem {
                code: "no_such_path",
                subject: path.to_vec(),
                message: "nothing stands there in the snapshot or tree".to_owned(),
            });
        }
        if !self.plain {
            let record =
                Record { message_type: "summary", tree, figures: CheckoutFigures::from(&report) };
            output.record(&record, self.nul)?;
        }
        Ok(match (report.damaged, report.errors, report.not_kept.is_empty()) {
            (1.., ..) => Exit::Damaged,
            (0, 0, true) => Exit::Done,
            _ => Exit::Incomplete,
        })
    }
}

impl Checkout {
    fn wanted(&self) -> Result<WantedPaths, Failure> {
        let clean = |path: &[u8]| {
            let parts = components(path).ok_or_else(|| {
                let path = String::from_utf8_lossy(path).into_owned();
                Failure::usage(format!("{path:?} is no path inside a tree"))
            })?;
            Ok::<_, Failure>(parts.join(&b'/'))
        };
        let mut paths = Vec::new();
        for path in &self.paths {
            paths.push(clean(path.as_encoded_bytes())?);
        }
        if self.stdin {
            input::for_each_item(self.nul, |item| {
                let path = input::path(item)?;
                if path.is_empty() {
                    return Err(Failure::usage("an empty path on standard input"));
                }
                paths.push(clean(&path)?);
                Ok(())
            })?;
            if paths.is_empty() {
                return Err(Failure::usage("no path on standard input"));
            }
        }
        Ok(WantedPaths::new(paths))
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        let (exit, code) = match &error {
            TargetError::NoSpace { .. } => (Exit::NoSpace, "no_space"),
            TargetError::NotADirectory { .. } => (Exit::Usage, "bad_location"),
            TargetError::UnsafePath { .. } => (Exit::Hostile, "hostile"),
            _ => (Exit::Failed, "io"),
        };
        Self::new(exit, code, crate::ops::with_causes(&error))
    }
}

impl From<CheckoutError> for Failure {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::Target(error) => error.into(),
            CheckoutError::Read(error) => error.into(),
            CheckoutError::Hostile { .. } => Self::new(Exit::Hostile, "hostile", error.to_string()),
            CheckoutError::Thread(error) => Self::io("cannot start a thread", &error),
            CheckoutError::Cancelled => Self::interrupted(),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Checkout(error) => error.into(),
            RestoreError::Patterns(_) => {
                Self::new(Exit::Hostile, "hostile", crate::ops::with_causes(&error))
            }
            RestoreError::Create { path, source } => Self::io(&path, &source),
        }
    }
}
