//! `runup hash-object`: files to ids, stored with `-w`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::entry::EntryRecord;
use super::environment::{self, Globals};
use super::exit::Exit;
use super::failure::{ErrorRecord, Failure};
use super::input;
use super::json::PathText;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::ops::hash_object::{Hashed, hash_file, hash_listed, hash_stream};
use crate::ops::in_order::{Answers, Ask, OUTSTANDING_MAX, in_order};
use crate::ops::read_entry::{EntryError, ReadEntry};
use crate::os::{FileKind, Status};
use crate::repository::{Repository, WriteSession};
use crate::source::owners::Owners;
use crate::store::{HashOnly, InsertOptions, Inserter, LooseSink, ObjectSink, Worker, WriteError};

/// Arguments of `runup hash-object`.
#[derive(Debug, clap::Args)]
pub struct HashObject {
    /// Files to hash; links are followed, pipes read to their end
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "stdin_paths"])]
    paths: Vec<OsString>,
    /// Store the objects. Ids are durable once the program has ended with 0
    #[arg(short = 'w')]
    write: bool,
    /// Hash what comes on standard input
    #[arg(long, conflicts_with = "stdin_paths")]
    stdin: bool,
    /// The path that the record of standard input gets
    #[arg(long, value_name = "PATH", requires = "stdin")]
    path: Option<OsString>,
    /// Read paths, or records with a path, from standard input and answer each with a record. Links
    /// are not followed; directories, links and devices are answered with their metadata
    #[arg(long)]
    stdin_paths: bool,
    /// Items on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Store as loose objects, one file each [default for single objects]
    #[arg(long, conflicts_with = "pack", requires = "write")]
    loose: bool,
    /// Store in packs [default with --stdin-paths]
    #[arg(long, requires = "write")]
    pack: bool,
    /// How many threads read and compress [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Print bare ids, of what has one
    #[arg(long)]
    plain: bool,
}

/// What stands at one path.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "hashed-entry")]
struct Record {
    #[serde(flatten)]
    entry: EntryRecord,
    /// Why it could not be read, or that it changed meanwhile; else null.
    error: Option<ErrorRecord>,
}

/// Something to be hashed.
enum Question {
    Stdin(Option<OsString>),
    Named(OsString),
    Listed(Vec<u8>),
}

type Answer = Result<(Question, Result<Hashed, String>), Failure>;

impl Command for HashObject {
    const NAME: &'static str = "hash-object";
    const ABOUT: &'static str = "Compute the ids of files, and store them";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];

    const DESCRIPTION: &'static str = "
        Prints a record for each file, in the order in which they are given: standard input, then
        `PATH`, then the paths on standard input. The id of a file is its BLAKE3 hash, which
        b3sum(1) prints too. The record has all metadata that a tree would hold, so that
        runup-mktree(1) makes a tree of such records.

        With `-w` the contents are stored as objects; no repository is needed otherwise. The ids are
        durable once the program has ended with 0.

        A `PATH` that is a symbolic link is followed, and a pipe is read to its end. On standard
        input paths are bare, or the `path` of records that other programs print, and stand for what
        is there: a link for itself, a directory for its metadata without an id. Each is answered in
        its turn, while others are read by several threads.

        A file that cannot be read has a record too, with null for an id and an `error`, or with
        `--plain` a message on standard error in place of its line; the exit code is 3.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "An id is what b3sum(1) prints",
            r#"[ "$(runup-hash-object --plain README)" = \
  "$(b3sum --no-names README)" ]"#,
        ),
        Example::new(
            "Whether files are stored",
            "runup-hash-object src/*.c | runup-cat-object --batch-check",
        ),
        Example::new(
            "Store every file below a directory, in packs",
            "find src -type f -print0 |
  runup-hash-object -w --stdin-paths -z --plain",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["b3sum(1)", "runup-cat-object(1)", "runup-write-tree(1)", "runup-repository(5)"];
    const EXITS: &'static [Exit] = &[
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Incomplete,
        Exit::Damaged,
        Exit::NoRepository,
        Exit::Hostile,
        Exit::NoSpace,
        Exit::Unsupported,
    ];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let mut printer =
            Printer { output, owners: Owners::default(), command: &self, exit: Exit::Done };
        let count = if self.stdin_paths { usize::MAX } else { self.paths.len().max(1) };
        let workers = self.jobs.map_or_else(environment::threads, usize::from).min(count);
        if !self.write {
            self.all(vec![HashOnly; workers], &mut printer)?;
            return Ok(printer.exit);
        }
        let repository: Repository = globals.open_repository()?;
        let session: WriteSession<'_> = repository.write_session()?;
        if self.pack || (self.stdin_paths && !self.loose) {
            let options = InsertOptions::new(workers, repository.config().compression());
            let inserter = Inserter::new(repository.store(), session.id(), options);
            inserter.run(|workers| {
                let workers = self.all(workers, &mut printer)?;
                workers.into_iter().try_for_each(Worker::finish).map_err(Failure::from)
            })?;
        } else {
            let sink = || LooseSink::new(repository.store(), session.id());
            self.all((0..workers).map(|_| sink()).collect(), &mut printer)?;
        }
        Ok(printer.exit)
    }
}

impl HashObject {
    fn all<S: ObjectSink>(
        &self,
        mut sinks: Vec<S>,
        printer: &mut Printer<'_>,
    ) -> Result<Vec<S>, Failure> {
        let first = self.stdin.then(|| Question::Stdin(self.path.clone()));
        let mut given = first.into_iter().chain(self.paths.iter().cloned().map(Question::Named));
        // A single file is hashed before threads would have started.
        if let ([sink], false) = (&mut *sinks, self.stdin_paths) {
            given.try_for_each(|question| printer.take(answer(sink, question)))?;
            return Ok(sinks);
        }
        let questions = |ask: &mut Ask<'_, Question>| {
            if !given.all(&mut *ask) || !self.stdin_paths {
                return Ok(());
            }
            input::for_each_item(self.nul, |item| {
                match ask(Question::Listed(input::local_path(item)?.into_owned())) {
                    true => Ok(()),
                    // Why no more answers are wanted is told by whoever wants none.
                    false => {
                        Err(Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)))
                    }
                }
            })
        };
        in_order(
            sinks,
            OUTSTANDING_MAX,
            questions,
            |sink, question| answer(sink, question),
            printer,
        )
    }
}

fn answer<S: ObjectSink>(sink: &mut S, question: Question) -> Answer {
    let hashed = match &question {
        Question::Stdin(_) => {
            let hashed = hash_stream(sink, &mut std::io::stdin().lock());
            hashed.map(Hashed::Stream).map_err(|error| match error {
                WriteError::Source(error) => EntryError::Source { reason: error.to_string() },
                other => other.into(),
            })
        }
        Question::Named(path) => hash_file(sink, Path::new(path)),
        Question::Listed(path) => hash_listed(sink, path),
    };
    match hashed {
        Ok(hashed) => Ok((question, Ok(hashed))),
        Err(EntryError::Source { reason }) => Ok((question, Err(reason))),
        Err(EntryError::Sink(error)) => Err(error.into()),
    }
}

/// Prints answers. A path that cannot be read has a record too, so that answers keep step.
struct Printer<'a> {
    output: &'a mut Output,
    owners: Owners,
    command: &'a HashObject,
    exit: Exit,
}

impl Answers<Answer> for Printer<'_> {
    type Error = Failure;

    fn take(&mut self, answer: Answer) -> Result<(), Failure> {
        let (question, hashed) = answer?;
        let path: Option<&[u8]> = match &question {
            Question::Stdin(path) => path.as_deref().map(OsStr::as_bytes),
            Question::Named(path) => Some(path.as_bytes()),
            Question::Listed(path) => Some(path),
        };
        let mut record = self.record(path, &hashed);
        let reason = match hashed {
            Ok(Hashed::Entry(ReadEntry { is_still: false, .. })) => {
                Some(("changed", "changed while it was read: hashed as it was read".to_owned()))
            }
            Ok(_) => None,
            Err(reason) => Some(("unreadable", reason)),
        };
        if let Some((code, message)) = reason {
            self.exit = self.exit.and(Exit::Incomplete);
            if self.command.plain {
                let path = String::from_utf8_lossy(path.unwrap_or(b"standard input")).into_owned();
                Failure::new(Exit::Incomplete, code, format!("{path}: {message}")).report(false);
            }
            record.error = Some(ErrorRecord { code, message });
        }
        let nul = self.command.nul;
        match (self.command.plain, record.entry.id) {
            (false, _) => self.output.record(&record, nul)?,
            (true, Some(id)) => {
                self.output.bytes(id.to_hex().as_bytes())?;
                self.output.bytes(if nul { b"\0" } else { b"\n" })?;
            }
            (true, None) => {}
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), Failure> {
        Ok(self.output.flush()?)
    }
}

impl Printer<'_> {
    fn record(&mut self, path: Option<&[u8]>, hashed: &Result<Hashed, String>) -> Record {
        let path_of = |record: EntryRecord| {
            let text = path.map(PathText::new);
            let (path, path_b64) =
                text.map_or((None, None), |text| (Some(text.path), text.path_b64));
            EntryRecord { path, path_b64, ..record }
        };
        let entry = match hashed {
            Ok(Hashed::Stream(object)) => EntryRecord {
                r#type: Some("file"),
                id: Some(object.id),
                size_bytes: Some(object.size_bytes),
                ..EntryRecord::default()
            },
            Ok(Hashed::Entry(ReadEntry { entry, status, .. })) => {
                self.described(EntryRecord::new(b"", entry), status)
            }
            Ok(Hashed::Directory(metadata, status)) => {
                self.described(EntryRecord::of_metadata(b"", "dir", metadata), status)
            }
            Err(_) => EntryRecord::default(),
        };
        Record { entry: path_of(entry), error: None }
    }

    fn described(&mut self, record: EntryRecord, status: &Status) -> EntryRecord {
        self.owners.note(status.uid, status.gid);
        let (user, group) = self.owners.names_of(status.uid, status.gid);
        let is_linked = status.nlink > 1 && status.kind != FileKind::Directory;
        EntryRecord {
            user: user.map(str::to_owned),
            group: group.map(str::to_owned),
            link_group: is_linked.then(|| format!("{}:{}", status.dev, status.ino)),
            ..record
        }
    }
}
