//! `runup archive`: a tree as a tar archive on standard output.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;

use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::messages::Messages;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::kind::Kind;
use crate::base::path::components;
use crate::format::tar;
use crate::ops::archive::{ArchiveError, ArchiveRequest, archive};
use crate::repository::Repository;

/// The dialect of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// POSIX: everything is kept
    Pax,
    /// GNU tar: without extended attributes, and times are rounded down to seconds
    Gnu,
}

/// Arguments of `runup archive`.
#[derive(Debug, clap::Args)]
pub struct Archive {
    /// A snapshot or tree
    #[arg(value_name = "REV")]
    revision: OsString,
    /// Only these paths of the tree, and what is below them
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// The dialect to write
    #[arg(long, value_name = "FORMAT", default_value = "pax")]
    format: Format,
    /// Leave holes of 64 KiB and more out of files over 2 MiB [default]
    #[arg(long, overrides_with = "no_sparse")]
    sparse: bool,
    /// Write holes as zeros, for programs that know no sparse members
    #[arg(long, overrides_with = "sparse")]
    no_sparse: bool,
    /// Tell problems as text rather than as records
    #[arg(long)]
    plain: bool,
}

impl Command for Archive {
    const NAME: &'static str = "archive";
    const ABOUT: &'static str = "Write a snapshot or tree as a tar archive to standard output";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Writes a snapshot or tree, or each `PATH` of it, as an archive that tar(1) reads. Every byte
        is verified before it is written. The same tree gives the same archive.

        `--format=pax` keeps all that a tree and its snapshot hold: times to the nanosecond, names
        of any bytes, extended attributes and ACLs, names of owners, hard links, devices, holes. GNU
        tar extracts attributes with `--xattrs --xattrs-include='*'` and ACLs with `--acls`.
        `--format=gnu` keeps whole seconds and no attributes, for old programs.

        What no archive can hold, such as a socket, is told and left out, and the exit code is 3.
        Damage that is met after an archive has begun ends it without its end mark, so that no
        program takes it for whole, with the exit code 4.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("An archive of an old state", "runup-archive app@1 >../app.tar"),
        Example::new("One directory, compressed", "runup-archive app:src | gzip >../src.tar.gz"),
        Example::new(
            "What differs between files and their backup",
            "runup-archive app src | tar --compare",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-checkout(1)", "runup-import-archive(1)"];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        if std::io::stdout().is_terminal() {
            let message =
                "an archive is not for a terminal: send standard output to a file or pipe";
            return Err(Failure::usage(message));
        }
        let repository = globals.open_repository()?;
        let _session = repository.read_session()?;
        let paths = self.wanted()?;
        let place;
        let request = {
            let (request, stands_at) = self.request(&repository)?;
            place = stands_at;
            ArchiveRequest { place: &place, wanted: &paths, ..request }
        };
        let messages = Messages::new(output.is_json(), globals.verbose);
        let report =
            archive(repository.store(), &request, &mut |bytes| output.bytes(bytes), &messages);
        messages.finish();
        let report = report?;
        Ok(match (report.damaged, report.errors) {
            (1.., _) => Exit::Damaged,
            (0, 0) => Exit::Done,
            _ => Exit::Incomplete,
        })
    }
}

impl Archive {
    fn wanted(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let clean = |path: &OsString| {
            let parts = components(path.as_encoded_bytes()).filter(|parts| !parts.is_empty());
            let parts = parts
                .ok_or_else(|| Failure::usage(format!("{path:?} is no path inside a tree")))?;
            Ok(parts.join(&b'/'))
        };
        self.paths.iter().map(clean).collect()
    }

    /// What the revision is, and where in its snapshot it stands.
    fn request(
        &self,
        repository: &Repository,
    ) -> Result<(ArchiveRequest<'static>, Vec<u8>), Failure> {
        let resolved = repository.resolve(self.revision.as_encoded_bytes(), &zone())?;
        let of_snapshot = match (resolved.kind, resolved.snapshot) {
            (Kind::Snapshot, _) => Some(repository.snapshot(&resolved.id)?.root),
            (Kind::Tree, Some(snapshot)) => Some(repository.snapshot(&snapshot)?.root),
            (Kind::Tree, None) => None,
            (other, _) => {
                let message = format!("a snapshot or tree is needed, not a {other}");
                return Err(Failure::usage(message));
            }
        };
        let mut request = ArchiveRequest {
            tree: resolved.id,
            place: &[],
            links: None,
            root: resolved.entry.map(|entry| entry.metadata),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            wanted: &[],
            format: match self.format {
                Format::Pax => tar::Format::Pax,
                Format::Gnu => tar::Format::Gnu,
            },
            is_sparse: !self.no_sparse,
        };
        if let Some(root) = of_snapshot {
            if resolved.path.is_empty() {
                request.tree = root.tree;
                request.root = root.root.and_then(|root| root.decode());
            }
            request.links = root.links;
            request.users = by_number(root.users);
            request.groups = by_number(root.groups);
        }
        Ok((request, resolved.path))
    }
}

fn by_number(names: BTreeMap<String, String>) -> BTreeMap<u32, String> {
    names.into_iter().filter_map(|(number, name)| Some((number.parse().ok()?, name))).collect()
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let text = crate::ops::with_causes(&error);
        match error {
            ArchiveError::Read(error) => error.into(),
            ArchiveError::NoPath { .. } => Self::new(Exit::Usage, "no_such_path", text),
            ArchiveError::Hostile { .. } => Self::new(Exit::Hostile, "hostile", text),
            ArchiveError::Cut { source, .. } => Self { message: text, ..source.into() },
            ArchiveError::Write(error) => error.into(),
            ArchiveError::Cancelled => Self::interrupted(),
        }
    }
}
