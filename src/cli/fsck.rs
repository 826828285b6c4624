//! `runup fsck`: reads and verifies everything stored.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::codes::Code;
use super::environment::{self, Globals};
use super::exit::Exit;
use super::failure::Failure;
use super::json::PathText;
use super::messages::Messages;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::ops::fsck::{
    Affected, Depth, Finding, FsckOptions, FsckReport, Holder, Memory, fsck_with,
};
use crate::repository::Repository;

/// Arguments of `runup fsck`.
#[derive(Debug, clap::Args)]
pub struct Fsck {
    /// Check the structure only: no file data is read
    #[arg(long)]
    structure: bool,
    /// How many threads read packs [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// End records with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print nothing: tell by the exit code
    #[arg(long)]
    plain: bool,
}

impl Command for Fsck {
    const NAME: &'static str = "fsck";
    const ABOUT: &'static str = "Read and verify everything stored";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] =
        &[Shape::of::<FindingRecord<'_>>(), Shape::of::<SummaryRecord>()];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Reads and verifies everything stored, and follows every job down to its files. Each finding
        is a record with a stable `code`, whether it `is_damage`, its file or object, and the paths
        of jobs that suffer from it, up to 100; `affected_count` has the number of all. A record of
        figures comes last. Nothing is changed.

        With `--structure` the bytes of files are only looked for, as runup-check(1) does without
        `--read-data`. What was verified when is kept in the cache directory by either program, for
        both.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("Damage alone", "runup-fsck | jq -c 'select(.is_damage)'"),
        Example::new("The structure, for a script", "runup-fsck --structure --plain"),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-check(1)", "runup-repository(5)"];
    const EXITS: &'static [Exit] = &[
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Damaged,
        Exit::NoRepository,
        Exit::Hostile,
        Exit::NoSpace,
        Exit::Unsupported,
        Exit::Interrupted,
    ];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let depth = if self.structure { Depth::Structure } else { Depth::ReadData };
        let report = check(globals, output, depth, self.jobs)?;
        if !self.plain {
            for finding in &report.findings {
                output.record(&finding_record(finding), self.nul)?;
            }
            output.record(&summary_record(&report, depth), self.nul)?;
        }
        Ok(exit_of(&report))
    }
}

/// Runs the check that both `fsck` and `check` are.
pub(super) fn check(
    globals: &Globals,
    output: &Output,
    depth: Depth,
    jobs: Option<u16>,
) -> Result<FsckReport, Failure> {
    let repository = globals.open_repository()?;
    let workers = jobs.map_or_else(environment::threads, usize::from);
    // Findings are printed at the end, with the paths that they affect.
    let messages = Messages::new(output.is_json(), globals.verbose).without_problems();
    let report = remembering(&repository, |memory| {
        fsck_with(&repository, &FsckOptions { depth, workers }, memory, &messages)
    });
    messages.finish();
    Ok(report??)
}

/// Runs a check with what earlier ones have learnt.
pub(super) fn remembering<T>(
    repository: &Repository,
    check: impl FnOnce(&Memory<'_>) -> T,
) -> Result<T, Failure> {
    let begun = Instant::now();
    let memory = Memory {
        repository_id: repository.config().repository_id.clone(),
        path: environment::verified_path(repository),
        now: environment::file_time()?,
        elapsed: &|| begun.elapsed(),
    };
    Ok(check(&memory))
}

pub(super) fn exit_of(report: &FsckReport) -> Exit {
    if report.is_cancelled {
        Exit::Interrupted
    } else if report.is_sound() {
        Exit::Done
    } else {
        Exit::Damaged
    }
}

/// Something that is not as it should be.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "finding")]
pub(super) struct FindingRecord<'a> {
    /// `finding`.
    message_type: &'static str,
    /// A stable word for programs.
    #[schemars(with = "Code")]
    code: &'static str,
    /// Whether stored data is damaged or lost; else it is only told.
    is_damage: bool,
    /// The file of the repository that it is about.
    file: Option<&'a str>,
    /// The object that it is about.
    object: Option<Id>,
    /// The kind of that object.
    kind: Option<Kind>,
    /// One line for people.
    message: &'a str,
    /// Snapshots and paths that need what is damaged, the first of them.
    affected: Vec<AffectedRecord<'a>>,
    /// How many there are in all.
    affected_count: u64,
    /// Objects of which a stored copy cannot be used because of it, the first of them.
    objects: Vec<LostRecord>,
    /// How many there are in all.
    object_count: u64,
}

/// An object of which a stored copy cannot be used.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "lost-object")]
struct LostRecord {
    /// The object.
    id: Id,
    /// Its kind.
    kind: Kind,
}

/// A path of a snapshot that damage affects.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "affected")]
struct AffectedRecord<'a> {
    /// The job of the snapshot; null where a ref leads to it.
    job: Option<u64>,
    /// Its project.
    project: Option<&'a str>,
    /// The ref that leads to it, else null.
    r#ref: Option<&'a str>,
    #[serde(flatten)]
    path: PathText,
}

impl<'a> AffectedRecord<'a> {
    fn new(affected: &'a Affected) -> Self {
        let (job, project, name) = match &affected.holder {
            Holder::Job { number, project } => (Some(*number), Some(project.as_str()), None),
            Holder::Ref { name } => (None, None, Some(name.as_str())),
        };
        Self { job, project, r#ref: name, path: PathText::new(&affected.path) }
    }
}

/// What a check came to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "check-summary")]
pub(super) struct SummaryRecord {
    /// `summary`.
    message_type: &'static str,
    /// Whether nothing is damaged.
    is_sound: bool,
    /// Whether every stored byte was read.
    has_read_data: bool,
    /// Findings that are damage.
    num_errors: u64,
    /// Packs.
    packs: u64,
    /// Their bytes.
    pack_bytes: u64,
    /// Frames that were verified.
    frames: u64,
    /// Objects in packs.
    objects: u64,
    /// Loose objects.
    loose: u64,
    /// Index segments.
    index_segments: u64,
    /// Jobs.
    jobs: u64,
    /// Tags and pins.
    refs: u64,
    /// Snapshots.
    snapshots: u64,
    /// Different trees that they hold.
    trees: u64,
    /// Lists of long objects.
    lists: u64,
    /// Bytes that were read.
    bytes_read: u64,
    /// Packs that this check has read whole.
    packs_read: u64,
    /// Packs that were read whole and found good, by this check or an earlier one, as far as is known.
    packs_verified: u64,
    /// Their bytes.
    bytes_verified: u64,
    /// Packs that were not, as far as is known.
    packs_never_verified: u64,
    /// Since when all of those that were verified were: the time of the check that comes first among
    /// those that were the last to find a pack good. RFC 3339; null where no pack was verified.
    oldest_verification: Option<String>,
}

pub(super) fn finding_record(finding: &Finding) -> FindingRecord<'_> {
    FindingRecord {
        message_type: "finding",
        code: finding.code,
        is_damage: finding.is_damage,
        file: finding.file.as_deref(),
        object: finding.object,
        kind: finding.kind,
        message: &finding.message,
        affected: finding.affected.iter().map(AffectedRecord::new).collect(),
        affected_count: finding.affected_count,
        objects: finding
            .objects
            .iter()
            .map(|(id, kind)| LostRecord { id: *id, kind: *kind })
            .collect(),
        object_count: finding.object_count,
    }
}

pub(super) fn summary_record(report: &FsckReport, depth: Depth) -> SummaryRecord {
    SummaryRecord {
        message_type: "summary",
        is_sound: report.is_sound(),
        has_read_data: depth == Depth::ReadData,
        num_errors: report.findings.iter().filter(|finding| finding.is_damage).count() as u64,
        packs: report.packs,
        pack_bytes: report.pack_bytes,
        frames: report.frames,
        objects: report.objects,
        loose: report.loose,
        index_segments: report.index_segments,
        jobs: report.jobs,
        refs: report.refs,
        snapshots: report.snapshots,
        trees: report.trees,
        lists: report.lists,
        bytes_read: report.bytes_read,
        packs_read: report.verification.packs_read,
        packs_verified: report.verification.packs,
        bytes_verified: report.verification.bytes,
        packs_never_verified: report.verification.never,
        oldest_verification: report.verification.oldest.map(environment::dated),
    }
}
