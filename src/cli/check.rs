//! `runup check`: whether the repository is sound, for people.

use super::environment::{Globals, local_time};
use super::exit::Exit;
use super::failure::Failure;
use super::fsck::{
    FindingRecord, Fsck, SummaryRecord, check, exit_of, finding_record, summary_record,
};
use super::output::{Output, count, counted, size};
use super::{Command, Example, Layer, Shape};
use crate::ops::fsck::{Amount, Depth, FsckReport, Holder};

/// Arguments of `runup check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Read and verify every byte stored, not only the structure; with an amount, of so many packs: `N%`
    /// of their bytes, `N/M` for the Nth of M parts, or as many as can be begun in a time such as 30s,
    /// 10m or 2h
    #[arg(long, value_name = "AMOUNT", num_args = 0..=1, require_equals = true,
        default_missing_value = "100%")]
    read_data: Option<Amount>,
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

        With an amount, only some packs are read, and over time all of them. A share, `10%`, and a
        time, `10m`, first take what was never verified, and then what was verified longest ago.
        A part, `2/7`, takes each pack whose name falls into it: the seven parts are all packs, also
        if packs are added meanwhile. With a time, no pack is begun once it is over.

        Which packs were read and found good, and when, is kept in the cache directory, as is what
        was found damaged. Each check tells how many packs that holds for, and since when. A pack
        that was found damaged is read again by each check, and the next runup-backup(1) does not rely
        on it. Where the cache is lost, packs are verified again.

        Damage is printed with its file, the number of objects that it costs, and the paths of jobs
        that suffer from it, up to 100 for each. A note is worth knowing and no damage. Nothing in
        the repository is changed: runup-repair(1) does that.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("The structure, quickly", "runup check"),
        Example::new("Every byte", "runup check --read-data"),
        Example::new(
            "Every byte once a week, a part each day",
            "runup check --read-data=$(date +%u)/7",
        ),
        Example::new(
            "What ten minutes suffice for, the oldest first",
            "runup check --read-data=10m",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-fsck(1)", "runup-repair(1)", "runup-repository(5)"];
    const EXITS: &'static [Exit] = Fsck::EXITS;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let depth = match self.read_data {
            None => Depth::Structure,
            Some(Amount::ALL) => Depth::ReadData,
            Some(amount) => Depth::ReadSome(amount),
        };
        let report = check(globals, output, depth, self.jobs)?;
        if output.is_json() {
            for finding in &report.findings {
                output.record(&finding_record(finding), false)?;
            }
            output.record(&summary_record(&report, depth), false)?;
        } else {
            print_findings(output, &report)?;
            print_figures(output, &report, depth)?;
        }
        Ok(exit_of(&report))
    }
}

pub(super) fn print_findings(output: &mut Output, report: &FsckReport) -> std::io::Result<()> {
    for finding in &report.findings {
        let word = if finding.is_damage { "damage" } else { "note" };
        let place = match (&finding.file, finding.object, finding.kind) {
            (Some(file), ..) => file.clone(),
            (None, Some(id), Some(kind)) => format!("{kind} {id}"),
            (None, Some(id), None) => format!("object {id}"),
            (None, None, _) => "repository".to_owned(),
        };
        output.line(format!("{word}: {place}: {}", finding.message).as_bytes())?;
        if let Some((id, kind)) = finding.objects.first() {
            let objects = counted(finding.object_count, "object", "objects");
            output.line(format!("  {objects}, the first is {kind} {}", id.short()).as_bytes())?;
        }
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
    Ok(())
}

fn print_figures(output: &mut Output, report: &FsckReport, depth: Depth) -> std::io::Result<()> {
    let verification = &report.verification;
    let what = match depth {
        Depth::ReadData => format!("every byte read, {}", size(report.bytes_read)),
        Depth::ReadSome(_) => {
            let packs = counted(verification.packs_read, "pack", "packs");
            format!("{packs} of {} read, {}", count(report.packs), size(verification.bytes_read))
        }
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
    )?;
    let Some(oldest) = verification.oldest else {
        return if report.packs == 0 {
            Ok(())
        } else {
            output.line(b"  no pack was verified so far")
        };
    };
    let all = if verification.never == 0 { "all " } else { "" };
    let never = match verification.never {
        0 => String::new(),
        more => format!("; {} never", count(more)),
    };
    let line = format!(
        "  {all}{} of {}, {}, were verified since {}{never}",
        count(verification.packs),
        counted(verification.packs + verification.never, "pack", "packs"),
        size(verification.bytes),
        local_time(oldest)
    );
    output.line(line.as_bytes())
}
