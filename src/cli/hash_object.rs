//! `runup hash-object`: files to ids, stored with `-w`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::json::PathText;
use super::output::Output;
use super::{Command, Layer};
use crate::base::id::Id;
use crate::ops::hash_object::{HashedObject, hash_file, hash_stream};
use crate::repository::{Repository, WriteSession};
use crate::store::{HashOnly, InsertOptions, Inserter, LooseSink, ObjectSink, WriteError};

/// Arguments of `runup hash-object`.
#[derive(Debug, clap::Args)]
pub struct HashObject {
    /// Files to hash
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "stdin_paths"])]
    paths: Vec<OsString>,
    /// Store the objects. Ids are durable once the program has ended with 0
    #[arg(short = 'w')]
    write: bool,
    /// Hash what comes on standard input
    #[arg(long, conflicts_with = "stdin_paths")]
    stdin: bool,
    /// Read paths from standard input, one a line, and answer each with a record
    #[arg(long)]
    stdin_paths: bool,
    /// Paths on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Store as loose objects, one file each [default for single objects]
    #[arg(long, conflicts_with = "pack", requires = "write")]
    loose: bool,
    /// Store in packs [default with --stdin-paths]
    #[arg(long, requires = "write")]
    pack: bool,
    /// Print bare ids
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, serde::Serialize)]
struct Record {
    path: Option<String>,
    path_b64: Option<String>,
    r#type: &'static str,
    id: Option<Id>,
    size_bytes: Option<u64>,
    error: Option<String>,
}

impl Command for HashObject {
    const NAME: &'static str = "hash-object";
    const ABOUT: &'static str = "Compute the ids of files, and store them";
    const LAYER: Layer = Layer::Plumbing;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        if !self.write {
            return self.all(&mut HashOnly, output);
        }
        let repository: Repository = globals.open_repository()?;
        let session: WriteSession<'_> = repository.write_session()?;
        let is_packed = self.pack || (self.stdin_paths && !self.loose);
        if !is_packed {
            return self.all(&mut LooseSink::new(repository.store(), session.id()), output);
        }
        let compression = repository.config().compression();
        let options = InsertOptions { workers: 1, compression };
        let inserter = Inserter::new(repository.store(), session.id(), options);
        let (exit, _) = inserter.run_one(|worker| self.all(worker, output))?;
        Ok(exit)
    }
}

impl HashObject {
    fn all<S: ObjectSink>(&self, sink: &mut S, output: &mut Output) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        if self.stdin {
            let hashed = hash_stream(sink, &mut std::io::stdin().lock())?;
            self.print(None, Ok(hashed), output)?;
        }
        for path in &self.paths {
            exit = exit.and(self.one(path.as_encoded_bytes(), sink, output)?);
        }
        if self.stdin_paths {
            input::for_each_item(self.nul, |item| {
                exit = exit.and(self.one(&input::path(item)?, sink, output)?);
                Ok(())
            })?;
        }
        Ok(exit)
    }

    /// Answers one path. One that cannot be read has a record too, so that answers keep step.
    fn one<S: ObjectSink>(
        &self,
        path: &[u8],
        sink: &mut S,
        output: &mut Output,
    ) -> Result<Exit, Failure> {
        match hash_file(sink, Path::new(std::ffi::OsStr::from_bytes(path))) {
            Ok(hashed) => {
                self.print(Some(path), Ok(hashed), output)?;
                Ok(Exit::Done)
            }
            Err(WriteError::Source(error)) => {
                self.print(Some(path), Err(&error), output)?;
                if self.plain {
                    let path = String::from_utf8_lossy(path);
                    Failure::new(Exit::Incomplete, "unreadable", format!("{path}: {error}"))
                        .report(false);
                }
                Ok(Exit::Incomplete)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn print(
        &self,
        path: Option<&[u8]>,
        hashed: Result<HashedObject, &std::io::Error>,
        output: &mut Output,
    ) -> std::io::Result<()> {
        if self.plain {
            return match hashed {
                Ok(hashed) => output.line(hashed.id.to_hex().as_bytes()),
                Err(_) => Ok(()),
            };
        }
        let text = path.map(PathText::new);
        let record = Record {
            path: text.as_ref().map(|text| text.path.clone()),
            path_b64: text.and_then(|text| text.path_b64),
            r#type: "file",
            id: hashed.ok().map(|hashed| hashed.id),
            size_bytes: hashed.ok().map(|hashed| hashed.size_bytes),
            error: hashed.err().map(ToString::to_string),
        };
        output.record(&record, self.nul)
    }
}
