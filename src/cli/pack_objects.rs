//! `runup pack-objects`: loose objects, or named ones, into new packs.

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::Globals;
use super::exit::Exit;
use super::failure::{ErrorRecord, Failure};
use super::input;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::compress::Compression;
use crate::ops::pack_objects::{PackObjectError, Packed, pack_object};
use crate::ops::with_causes;
use crate::store::{InsertOptions, Inserter, Worker};

/// Arguments of `runup pack-objects`.
#[derive(Debug, clap::Args)]
pub struct PackObjects {
    /// Pack the objects that standard input names, in that order, again where they are packed
    /// already [default: all loose objects that no pack holds]
    #[arg(long)]
    stdin: bool,
    /// Objects on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Compress with zstd at this level, 1 to 19 [default: as the repository is configured]
    #[arg(long, value_name = "N", conflicts_with = "compression",
          value_parser = clap::value_parser!(i32).range(1..=19))]
    level: Option<i32>,
    /// Compress so: zstd, zstd:N, deflate, deflate:N or none
    #[arg(long, value_name = "WORD")]
    compression: Option<Compression>,
    /// Store every object by itself, not as a difference from another one
    #[arg(long)]
    no_deltas: bool,
    /// Print the bare names of the new packs
    #[arg(long)]
    plain: bool,
}

/// What became of one object; told with --verbose, or if it was not packed. What is not known is
/// null.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "repacked-object")]
struct ObjectRecord {
    /// `object`.
    message_type: &'static str,
    /// The object.
    id: Id,
    /// What it is.
    kind: Option<Kind>,
    /// Whether a list of its chunks is stored in place of its bytes.
    is_list: Option<bool>,
    /// Its bytes.
    size_bytes: Option<u64>,
    /// The bytes that are stored, uncompressed: of the list, where it is one.
    length_bytes: Option<u64>,
    /// Whether a pack held it before.
    was_packed: Option<bool>,
    /// Why it was not packed.
    error: Option<ErrorRecord>,
}

/// What was packed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "pack-summary")]
struct Summary {
    /// `summary`.
    message_type: &'static str,
    /// Objects that were packed.
    objects: u64,
    /// Their bytes as they are stored, uncompressed.
    object_bytes: u64,
    /// New packs.
    packs: u64,
    /// Bytes that the objects take in them.
    packed_bytes: u64,
    /// Objects that a pack held before: passed over, or packed again if they were named.
    already_packed: u64,
    /// Loose objects that were left, as a prune is about to delete them.
    condemned: u64,
    /// Objects that could not be packed.
    errors: u64,
    /// The names of the new packs.
    pack_names: Vec<Id>,
}

/// What is counted besides the report of the insertion.
#[derive(Debug, Default)]
struct Tally {
    already_packed: u64,
    condemned: u64,
    errors: u64,
}

impl Command for PackObjects {
    const NAME: &'static str = "pack-objects";
    const ABOUT: &'static str = "Store loose objects, or named ones, in new packs";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<ObjectRecord>(), Shape::of::<Summary>()];

    const DESCRIPTION: &'static str = "
        Stores all loose objects in packs, where they take less space and fewer files, or with
        `--stdin` the objects that it names, in their order, also where packs hold them already.
        With `--level` or `--compression` the new packs are compressed otherwise than the
        repository is configured. Objects that are named one after the other are compressed
        together. One that is stored as a difference from another object stays so, unless
        `--no-deltas` is given or the new packs are not compressed with zstd.

        Nothing is deleted: the old copies stay until they are pruned. An object that is damaged or
        missing is told in a record with an `error`, and the others are packed; the exit code is 4,
        or 1 if it is only missing.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("Pack loose objects", "runup-pack-objects"),
        Example::new(
            "Store a snapshot for good, as small as can be",
            "runup-rev-list --objects app@1 |
  runup-pack-objects --stdin --level 19",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-hash-object(1)", "runup-rev-list(1)", "runup-verify-pack(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let session = repository.write_session()?;
        let compression = self.level.map(Compression::Zstd).or(self.compression);
        let compression = compression.unwrap_or_else(|| repository.config().compression());
        let options = InsertOptions { workers: 1, compression, again: true };
        let inserter = Inserter::new(repository.store(), session.id(), options);
        let mut tally = Tally::default();
        let (exit, report) = inserter.run_one(|worker| {
            if self.stdin {
                self.named(worker, &mut tally, globals.verbose, output)
            } else {
                self.loose(worker, &mut tally, globals.verbose, output)
            }
        })?;
        let pack_names = inserter.packs();
        if self.plain {
            for name in pack_names {
                output.line(name.to_hex().as_bytes())?;
            }
            return Ok(exit);
        }
        let summary = Summary {
            message_type: "summary",
            objects: report.objects,
            object_bytes: report.object_bytes,
            packs: report.packs,
            packed_bytes: report.packed_bytes,
            already_packed: tally.already_packed,
            condemned: tally.condemned,
            errors: tally.errors,
            pack_names,
        };
        output.record(&summary, self.nul)?;
        Ok(exit)
    }
}

impl PackObjects {
    fn named(
        &self,
        worker: &mut Worker<'_>,
        tally: &mut Tally,
        is_verbose: bool,
        output: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        input::for_each_item(self.nul, |item| {
            // A link or device has no object.
            let Some(id) = input::id(item)? else { return Ok(()) };
            exit = exit.and(self.one(worker, &id, tally, is_verbose, output)?);
            if is_verbose {
                output.flush()?;
            }
            Ok(())
        })?;
        Ok(exit)
    }

    fn loose(
        &self,
        worker: &mut Worker<'_>,
        tally: &mut Tally,
        is_verbose: bool,
        output: &mut Output,
    ) -> Result<Exit, Failure> {
        let store = worker.store();
        let mut exit = Exit::Done;
        store.for_each_loose(|id, _| {
            if store.is_packed(&id) {
                tally.already_packed += 1;
            } else if store.is_condemned_loose(&id) {
                tally.condemned += 1;
            } else {
                exit = exit.and(self.one(worker, &id, tally, is_verbose, output)?);
            }
            Ok::<(), Failure>(())
        })?;
        Ok(exit)
    }

    fn one(
        &self,
        worker: &mut Worker<'_>,
        id: &Id,
        tally: &mut Tally,
        is_verbose: bool,
        output: &mut Output,
    ) -> Result<Exit, Failure> {
        let packed = match pack_object(worker, id, !self.no_deltas) {
            Err(PackObjectError::Write(error)) => return Err(error.into()),
            other => other,
        };
        let (packed, failure) = match packed {
            Ok(packed) => (Some(packed), None),
            Err(error) => (None, Some(failure_of(&error))),
        };
        tally.already_packed += u64::from(packed.is_some_and(|packed| packed.was_packed));
        tally.errors += u64::from(failure.is_some());
        let exit = failure.as_ref().map_or(Exit::Done, |failure| failure.exit);
        match failure {
            Some(failure) if self.plain => {
                let message = format!("{id}: {}", failure.message);
                Failure { message, ..failure }.report(false);
            }
            failure if !self.plain && (is_verbose || failure.is_some()) => {
                output.record(&record(id, packed, failure), self.nul)?;
            }
            _ => {}
        }
        Ok(exit)
    }
}

fn record(id: &Id, packed: Option<Packed>, failure: Option<Failure>) -> ObjectRecord {
    ObjectRecord {
        message_type: "object",
        id: *id,
        kind: packed.map(|packed| packed.kind),
        is_list: packed.map(|packed| packed.is_list),
        size_bytes: packed.map(|packed| packed.size_bytes),
        length_bytes: packed.map(|packed| packed.length_bytes),
        was_packed: packed.map(|packed| packed.was_packed),
        error: failure.map(ErrorRecord::from),
    }
}

fn failure_of(error: &PackObjectError) -> Failure {
    let (exit, code) = match error {
        PackObjectError::Missing { .. } => (Exit::Failed, "missing_object"),
        PackObjectError::Incomplete { .. } => (Exit::Failed, "incomplete_object"),
        PackObjectError::Unreadable(_) | PackObjectError::Write(_) => {
            (Exit::Damaged, "damaged_object")
        }
    };
    Failure::new(exit, code, with_causes(error))
}
