//! `runup count-objects`: figures of what is stored.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::kind::Kind;
use crate::ops::count_objects::{Counts, count_objects};

/// Arguments of `runup count-objects`.
#[derive(Debug, clap::Args)]
pub struct CountObjects {
    /// End the record with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print each figure on a line of its own
    #[arg(long)]
    plain: bool,
}

/// Figures of a repository.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "repository-counts")]
struct Record {
    /// Different objects.
    objects: u64,
    /// The same by kind.
    objects_by_kind: BTreeMap<&'static str, KindRecord>,
    /// Of the objects, those stored as a list of chunks.
    lists: u64,
    /// Of the objects, those stored as a difference from another object.
    deltas: u64,
    /// The bytes that they take, compressed.
    delta_stored_bytes: u64,
    /// Copies of objects beyond the first of each.
    duplicate_copies: u64,
    /// Loose objects.
    loose: u64,
    /// Bytes of their files.
    loose_bytes: u64,
    /// Loose objects whose head cannot be read.
    damaged_loose: u64,
    /// Packs.
    packs: u64,
    /// Their bytes.
    pack_bytes: u64,
    /// Packs of file data.
    content_packs: u64,
    /// Their bytes.
    content_pack_bytes: u64,
    /// Packs of trees, lists and snapshots.
    metadata_packs: u64,
    /// Their bytes.
    metadata_pack_bytes: u64,
    /// Packs whose head cannot be read.
    unknown_packs: u64,
    /// Their bytes.
    unknown_pack_bytes: u64,
    /// Packs that no index segment covers.
    unindexed_packs: u64,
    /// Their bytes.
    unindexed_pack_bytes: u64,
    /// Packs that an index segment covers and that are not there.
    missing_packs: u64,
    /// Index segments.
    index_segments: u64,
    /// Their bytes.
    index_bytes: u64,
    /// Files that are being written, or were when their writer died.
    temporary_files: u64,
    /// Their bytes.
    temporary_bytes: u64,
    /// Damaged files that were set aside.
    lost_files: u64,
    /// Their bytes.
    lost_bytes: u64,
    /// Programs that write or read for long.
    sessions: u64,
    /// Jobs.
    jobs: u64,
    /// Different snapshots that they hold and that were not forgotten.
    snapshots: u64,
}

/// Figures of the objects of one kind.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "kind-counts")]
struct KindRecord {
    /// The objects.
    objects: u64,
    /// Their bytes as they are stored, uncompressed; of a list, those of the list.
    length_bytes: u64,
}

impl Command for CountObjects {
    const NAME: &'static str = "count-objects";
    const ABOUT: &'static str = "Count what is stored";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];

    const DESCRIPTION: &'static str = "
        Prints one record with figures of the repository: objects by kind, copies, loose objects,
        packs by what they hold, index, files that are being written or were set aside, sessions,
        jobs and snapshots. Index segments and file names are read, no object is.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("For people", "runup-count-objects --plain"),
        Example::new(
            "How much of a repository is metadata",
            "runup-count-objects |
  jq '.metadata_pack_bytes / .pack_bytes'",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-cat-object(1)", "runup-rev-list(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let record = record(&count_objects(&repository)?);
        if !self.plain {
            output.record(&record, self.nul)?;
            return Ok(Exit::Done);
        }
        let fields = serde_json::to_value(&record).unwrap_or_default();
        for (name, value) in fields.as_object().into_iter().flatten() {
            for (kind, count) in value.as_object().into_iter().flatten() {
                for (unit, count) in count.as_object().into_iter().flatten() {
                    output.line(format!("{kind}_{unit}: {count}").as_bytes())?;
                }
            }
            if !value.is_object() {
                output.line(format!("{name}: {value}").as_bytes())?;
            }
        }
        Ok(Exit::Done)
    }
}

fn record(counts: &Counts) -> Record {
    let of = |kind: Kind| counts.objects.get(&kind).copied().unwrap_or_default();
    let by_kind = |kind: Kind| {
        (kind.word(), KindRecord { objects: of(kind).count, length_bytes: of(kind).bytes })
    };
    let all = [counts.content_packs, counts.metadata_packs, counts.unknown_packs];
    Record {
        objects: Kind::ALL.into_iter().map(|kind| of(kind).count).sum(),
        objects_by_kind: Kind::ALL.into_iter().map(by_kind).collect(),
        lists: counts.lists,
        deltas: counts.deltas.count,
        delta_stored_bytes: counts.deltas.bytes,
        duplicate_copies: counts.duplicates,
        loose: counts.loose.count,
        loose_bytes: counts.loose.bytes,
        damaged_loose: counts.damaged_loose,
        packs: all.iter().map(|packs| packs.count).sum(),
        pack_bytes: all.iter().map(|packs| packs.bytes).sum(),
        content_packs: counts.content_packs.count,
        content_pack_bytes: counts.content_packs.bytes,
        metadata_packs: counts.metadata_packs.count,
        metadata_pack_bytes: counts.metadata_packs.bytes,
        unknown_packs: counts.unknown_packs.count,
        unknown_pack_bytes: counts.unknown_packs.bytes,
        unindexed_packs: counts.unindexed_packs.count,
        unindexed_pack_bytes: counts.unindexed_packs.bytes,
        missing_packs: counts.missing_packs,
        index_segments: counts.index.count,
        index_bytes: counts.index.bytes,
        temporary_files: counts.temporary.count,
        temporary_bytes: counts.temporary.bytes,
        lost_files: counts.lost.count,
        lost_bytes: counts.lost.bytes,
        sessions: counts.sessions,
        jobs: counts.jobs,
        snapshots: counts.snapshots,
    }
}
