//! `runup import-archive`: a tar archive becomes a tree.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::environment::{self, Globals};
use super::exit::Exit;
use super::failure::Failure;
use super::json::WrittenTree;
use super::messages::Messages;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::format::tar::TarError;
use crate::ops::import_archive::{ImportError, ImportOptions, ImportReport, import_archive};
use crate::ops::write_tree::Destination;
use crate::store::{InsertOptions, Inserter};

/// Arguments of `runup import-archive`.
#[derive(Debug, clap::Args)]
pub struct ImportArchive {
    /// The archive, which may be compressed by gzip or zstd; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Take so many leading components off each path; leave out what has no more
    #[arg(long, value_name = "N", default_value_t = 0)]
    strip_components: usize,
    /// Read on after the end of an archive: several may follow one another
    #[arg(long)]
    ignore_zeros: bool,
    /// Store nothing: only tell the id. Needs no repository
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How many threads compress [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// End the record with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print the bare id
    #[arg(long)]
    plain: bool,
}

impl Command for ImportArchive {
    const NAME: &'static str = "import-archive";
    const ABOUT: &'static str = "Store a tar archive as a tree";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<WrittenTree<'_>>()];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Stores what a tar(1) archive holds as a tree, without writing it to disk first, and prints
        the record that runup-write-tree(1) prints for a directory, for runup-write-snapshot(1). The
        tree has the id that the directory had of which the archive was made, as far as the archive
        keeps what a tree does: one in pax format, with extended attributes where there are any.

        It takes v7, ustar, pax and GNU archives, with sparse files, extended attributes, ACLs in
        the records of GNU tar, star and bsdtar, and hard links; compressed by gzip or zstd, too. As
        tar does, it takes a path that comes twice as the archive has it last, and leading slashes
        off. Directories that are only on the way to something get mode 0755, owner 0 and time 0.

        What a tree cannot hold is told, listed as `skipped` and left out, and the exit code is 3. A
        path with `..` makes it 13 and damage 4; nothing is to be made a snapshot of then. With
        `--dry-run` nothing is stored.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "A snapshot of an archive",
            "tar -c src | runup-import-archive |
  runup-write-snapshot --project imported",
        ),
        Example::new(
            "Whether an archive holds what a directory does",
            r#"(cd src && tar --format=pax -c .) >../src.tar
[ "$(runup-import-archive -n --plain ../src.tar)" = \
  "$(runup-write-tree -n --plain src)" ]"#,
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-archive(1)", "runup-write-snapshot(1)", "runup-write-tree(1)"];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let mut reader = self.open()?;
        let messages = Messages::new(output.is_json(), globals.verbose);
        let report = self.import(globals, &mut *reader, &messages);
        messages.finish();
        let report = report?;
        if self.plain {
            output.bytes(report.record.tree.to_hex().as_bytes())?;
            output.bytes(if self.nul { b"\0" } else { b"\n" })?;
        } else {
            let record = WrittenTree {
                errors: report.errors,
                bytes_read: report.bytes_read,
                ..WrittenTree::new(&self.file, &report.record, &report.inserted)
            };
            output.record(&record, self.nul)?;
        }
        Ok(if report.errors > 0 { Exit::Incomplete } else { Exit::Done })
    }
}

impl ImportArchive {
    fn open(&self) -> Result<Box<dyn Read>, Failure> {
        if self.file == Path::new("-") {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                return Err(Failure::usage("standard input is a terminal, not an archive"));
            }
            return Ok(Box::new(stdin.lock()));
        }
        let file = File::open(&self.file).map_err(|error| {
            let message = format!("{}: {error}", self.file.display());
            Failure::new(Exit::Failed, "unreadable", message)
        })?;
        Ok(Box::new(file))
    }

    fn import(
        &self,
        globals: &Globals,
        reader: &mut dyn Read,
        messages: &Messages,
    ) -> Result<ImportReport, Failure> {
        let options = ImportOptions {
            strip_components: self.strip_components,
            ignore_zeros: self.ignore_zeros,
        };
        if self.dry_run {
            return Ok(import_archive(reader, options, Destination::Nowhere(1), messages)?);
        }
        let repository = globals.open_repository()?;
        let session = repository.write_session()?;
        let workers = self.jobs.map_or_else(environment::threads, usize::from) + 1;
        let insert = InsertOptions::new(workers, repository.config().compression());
        let inserter = Inserter::new(repository.store(), session.id(), insert);
        Ok(import_archive(reader, options, Destination::Store(&inserter), messages)?)
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let text = crate::ops::with_causes(&error);
        let (exit, code) = match error {
            ImportError::Write(error) => return error.into(),
            ImportError::Read { source, .. } => return Self { message: text, ..source.into() },
            ImportError::Cancelled => return Self::interrupted(),
            ImportError::Compressed { .. } => (Exit::Damaged, "damaged_archive"),
            ImportError::UnknownCompression { .. } => (Exit::Unsupported, "unsupported"),
            ImportError::NotAnArchive => (Exit::Usage, "not_an_archive"),
            ImportError::Truncated { .. } => (Exit::Damaged, "truncated_archive"),
            ImportError::Hostile { .. } => (Exit::Hostile, "hostile"),
            ImportError::Member { source, .. } => match source {
                TarError::Malformed(_) => (Exit::Damaged, "damaged_archive"),
                TarError::OverLimit(_) => (Exit::Hostile, "over_limit"),
                TarError::Unsupported(_) => (Exit::Unsupported, "unsupported"),
            },
        };
        Self::new(exit, code, text)
    }
}
