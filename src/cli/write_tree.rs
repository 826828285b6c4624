//! `runup write-tree`: a directory becomes a tree.

use std::path::PathBuf;

use super::environment::{self, Globals, identity_of};
use super::exit::Exit;
use super::failure::Failure;
use super::json::WrittenTree;
use super::messages::Messages;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::ops::write_tree::{Destination, TreeReport, TreeSource, write_tree};
use crate::source::selection::Selection;
use crate::store::{InsertOptions, Inserter};

/// Arguments of `runup write-tree`.
#[derive(Debug, clap::Args)]
pub struct WriteTree {
    /// The directory, or several: one record each
    #[arg(value_name = "PATH", required = true, value_hint = clap::ValueHint::DirPath)]
    paths: Vec<PathBuf>,
    /// Take only this path or glob of the directory; an absolute one from anywhere
    #[arg(long, value_name = "PATTERN")]
    include: Vec<std::ffi::OsString>,
    /// Leave this path or glob out
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<std::ffi::OsString>,
    /// Leave out directories on other file systems
    #[arg(long)]
    one_file_system: bool,
    /// Store nothing: only tell the id. Needs no repository
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How many threads read and compress [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// End records with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print bare ids
    #[arg(long)]
    plain: bool,
}

impl Command for WriteTree {
    const NAME: &'static str = "write-tree";
    const ABOUT: &'static str = "Store a directory as a tree";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<WrittenTree<'_>>()];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Reads a directory, stores all that is new in it, and prints a record with the id of its tree
        and what belongs to it: hard links, names of owners, counts. runup-write-snapshot(1) reads
        the record and makes a snapshot of it. The same content and metadata have the same id on
        any machine.

        Includes and excludes are paths and globs as in runup.yaml(5), relative to `PATH`. Without
        `--include` everything in the directory is taken. The repository is left out.

        What cannot be read is told, listed in the record as `skipped` and left out, and the exit
        code is 3.

        With `--dry-run` nothing is stored and no repository is used, so that one below `PATH` is
        read like any other directory unless it is excluded.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "A backup by hand",
            "runup-write-tree --include src . |
  runup-write-snapshot --project by-hand",
        ),
        Example::new(
            "Whether a directory is still as it was backed up",
            r#"now=$(runup-write-tree --dry-run --plain --include notes .)
[ "$now" = "$(runup-rev-parse --plain notes:)" ]"#,
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-ls-tree(1)", "runup-write-snapshot(1)", "runup.yaml(5)", "runup-repository(5)"];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        environment::raise_open_files();
        let messages = Messages::new(output.is_json(), globals.verbose);
        let workers = self.jobs.map_or_else(environment::threads, usize::from);
        let repository = match self.dry_run {
            true => None,
            false => Some(globals.open_repository()?),
        };
        let session =
            repository.as_ref().map(|repository| repository.write_session()).transpose()?;
        let inserter = repository.as_ref().zip(session.as_ref()).map(|(repository, session)| {
            let compression = repository.config().compression();
            let options = InsertOptions::new(workers, compression);
            Inserter::new(repository.store(), session.id(), options)
        });
        let own = repository.as_ref().and_then(|r| identity_of(std::path::Path::new(r.location())));
        let mut exit = Exit::Done;
        for path in &self.paths {
            let destination =
                inserter.as_ref().map_or(Destination::Nowhere(workers), Destination::Store);
            let report = self.tree(path, destination, own, &messages)?;
            if report.errors > 0 {
                exit = Exit::Incomplete;
            }
            self.print(path, &report, output)?;
        }
        messages.finish();
        Ok(exit)
    }
}

impl WriteTree {
    fn tree(
        &self,
        path: &std::path::Path,
        destination: Destination<'_>,
        own: Option<crate::os::FileIdentity>,
        messages: &Messages,
    ) -> Result<TreeReport, Failure> {
        let context = std::fs::canonicalize(path).map_err(|error| {
            Failure::new(Exit::Failed, "unreadable", format!("{}: {error}", path.display()))
        })?;
        let bytes = |texts: &[std::ffi::OsString]| -> Vec<Vec<u8>> {
            texts.iter().map(|text| text.as_encoded_bytes().to_vec()).collect()
        };
        let mut includes = bytes(&self.include);
        if includes.is_empty() {
            includes.push(b".".to_vec());
        }
        let excludes = bytes(&self.exclude);
        let selection =
            Selection::new(context.as_os_str().as_encoded_bytes(), &includes, &excludes)?;
        let source = TreeSource {
            context,
            selection: &selection,
            includes,
            excludes,
            one_file_system: self.one_file_system,
            own: own.map(|own| (own, "the repository itself")).into_iter().collect(),
            stat_index: None,
            doubted: None,
            is_same_selection: false,
            stat_index_writer: None,
            previous: None,
        };
        Ok(write_tree(&source, destination, &|_, _| Ok(()), messages)?)
    }

    fn print(
        &self,
        path: &std::path::Path,
        report: &TreeReport,
        output: &mut Output,
    ) -> std::io::Result<()> {
        if self.plain {
            output.bytes(report.record.tree.to_hex().as_bytes())?;
            return output.bytes(if self.nul { b"\0" } else { b"\n" });
        }
        let record = WrittenTree {
            errors: report.errors,
            bytes_read: report.bytes_read,
            ..WrittenTree::new(path, &report.record, &report.inserted)
        };
        output.record(&record, self.nul)
    }
}
