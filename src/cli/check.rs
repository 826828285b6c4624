//! `runup check`: whether the repository is sound, for people.

use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::fsck::{
    FindingRecord, Fsck, SummaryRecord, check, exit_of, finding_record, summary_record,
};
use super::output::{Output, count, counted, size};
use super::{Command, Example, Layer, Shape};
use crate::ops::fsck::{Depth, FsckReport, Holder};

/// Arguments of `runup check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Read and verify every byte stored, not only the structure
    #[arg(long)]
    read_data: bool,
    /// How many threads read packs [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

impl Command for Check {
    const NAME: &'static str = "check";
    const ABOUT: &'static str = "Check that the repository is sound";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] =
        &[Shape::of::<FindingRecord<'_>>(), Shape::of::<SummaryRecord>()];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Follows every job down to its files, and checks that all they need is stored: control
        files, indexes, the tables at the end of packs, loose objects, snapshots, trees and lists
        are read and verified; of the bytes of files, that they are there. With `--read-data` every
        byte of every pack is read and verified too.

        Damage is printed with its file and with the paths of jobs that suffer from it, up to 100
        for each. A note is worth knowing and no damage. Nothing is changed.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("The structure, quickly", "runup check"),
        Example::new("Every byte", "runup check --read-data"),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-fsck(1)", "runup-repository(5)"];
    const EXITS: &'static [Exit] = Fsck::EXITS;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let depth = if self.read_data { Depth::ReadData } else { Depth::Structure };
        let report = check(globals, output, depth, self.jobs)?;
        if output.is_json() {
            for finding in &report.findings {
                output.record(&finding_record(finding), false)?;
            }
            output.record(&summary_record(&report, depth), false)?;
        } else {
            print(output, &report, depth)?;
        }
        Ok(exit_of(&report))
    }
}

fn print(output: &mut Output, report: &FsckReport, depth: Depth) -> std::io::Result<()> {
    for finding in &report.findings {
        let word = if finding.is_damage { "damage" } else { "note" };
        let place = finding.file.as_deref().unwrap_or("repository");
        output.line(format!("{word}: {place}: {}", finding.message).as_bytes())?;
        for affected in &finding.affected {
            let mut line = match &affected.holder {
                Holder::Job { number, project } => format!("  job {number}, {project}: "),
                Holder::Ref { name } => format!("  {name}: "),
            }
            .into_bytes();
            line.extend_from_slice(if affected.path.is_empty() { b"." } else { &affected.path });
            output.line(&line)?;
        }
        let more = finding.affected_count.saturating_sub(finding.affected.len() as u64);
        if more > 0 {
            output.line(format!("  and {} more paths", count(more)).as_bytes())?;
        }
    }
    let what = match depth {
        Depth::ReadData => format!("every byte read, {}", size(report.bytes_read)),
        Depth::Structure => "structure only; --read-data verifies every byte".to_owned(),
    };
    let damage = report.findings.iter().filter(|finding| finding.is_damage).count() as u64;
    let verdict = match damage {
        0 => "The repository is sound".to_owned(),
        1 => "1 damage found".to_owned(),
        more => format!("{} damages found", count(more)),
    };
    output.line(format!("{verdict} ({what}).").as_bytes())?;
    output.line(
        format!(
            "  {}, {}, {} in {}, {}",
            counted(report.jobs, "job", "jobs"),
            counted(report.snapshots, "snapshot", "snapshots"),
            counted(report.objects, "object", "objects"),
            counted(report.packs, "pack", "packs"),
            size(report.pack_bytes)
        )
        .as_bytes(),
    )
}
