//! `runup fsck`: reads and verifies everything stored.

use serde_json::json;

use super::environment::{self, Globals};
use super::exit::Exit;
use super::failure::Failure;
use super::json::PathText;
use super::messages::Messages;
use super::output::Output;
use super::{Command, Layer};
use crate::ops::fsck::{Affected, Depth, Finding, FsckOptions, FsckReport, fsck};

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
    const ENDS_IN_ORDER: bool = true;

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
    let report = fsck(&repository, &FsckOptions { depth, workers }, &messages);
    messages.finish();
    Ok(report?)
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

pub(super) fn finding_record(finding: &Finding) -> serde_json::Value {
    let affected = |affected: &Affected| {
        let path = PathText::new(&affected.path);
        json!({
            "job": affected.job, "project": affected.project,
            "path": path.path, "path_b64": path.path_b64,
        })
    };
    json!({
        "message_type": "finding",
        "code": finding.code,
        "is_damage": finding.is_damage,
        "file": finding.file,
        "object": finding.object,
        "kind": finding.kind,
        "message": finding.message,
        "affected": finding.affected.iter().map(affected).collect::<Vec<_>>(),
        "affected_count": finding.affected_count,
    })
}

pub(super) fn summary_record(report: &FsckReport, depth: Depth) -> serde_json::Value {
    json!({
        "message_type": "summary",
        "is_sound": report.is_sound(),
        "has_read_data": depth == Depth::ReadData,
        "num_errors": report.findings.iter().filter(|finding| finding.is_damage).count(),
        "packs": report.packs,
        "pack_bytes": report.pack_bytes,
        "frames": report.frames,
        "objects": report.objects,
        "loose": report.loose,
        "index_segments": report.index_segments,
        "jobs": report.jobs,
        "snapshots": report.snapshots,
        "trees": report.trees,
        "lists": report.lists,
        "bytes_read": report.bytes_read,
    })
}
