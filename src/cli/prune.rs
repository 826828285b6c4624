//! `runup prune`: gives back the room that nothing needs, for people.

use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, counted, size};
use super::prune_objects::{How, PlanRecord, Summary, exit_of, run};
use super::{Command, Example, Layer, Shape};
use crate::ops::prune::{PrunePlan, PruneReport};

/// Arguments of `runup prune`.
#[derive(Debug, clap::Args)]
pub struct Prune {
    #[command(flatten)]
    how: How,
}

impl Command for Prune {
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Delete what forgotten jobs alone needed";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] = &[Shape::of::<PlanRecord>(), Shape::of::<Summary>()];

    const DESCRIPTION: &'static str = "
        Gives back the room of what no job, tag or pin needs any more, and tells beforehand how much
        that is. From then on, what was forgotten cannot be brought back.

        It may run at any time. Backups and restores that are at work are waited for before anything
        is deleted, and others may begin meanwhile; with `--fence` their sessions are ended instead,
        and they have to begin again. It may be interrupted at any time, too, and works on a full
        disk.

        Packs that are needed in part stay while less than `--max-unused` of the repository is
        unneeded; beyond that, what is needed of them is stored again first.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("Keep some, delete the rest", "runup forget --keep-daily 7\nrunup prune"),
        Example::new("See what it would free", "runup prune --dry-run"),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-forget(1)", "runup-prune-objects(1)", "runup-check(1)"];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let options = self.how.options();
        let is_json = output.is_json();
        let report = run(globals, &options, output, |output, plan| match is_json {
            true => output.record(&PlanRecord::new(plan, options.is_dry_run), false),
            false => print_plan(output, plan, options.is_dry_run),
        })?;
        if is_json {
            output.record(&Summary::new(&report), false)?;
        } else if !report.is_dry_run {
            print_report(output, &report)?;
        }
        Ok(exit_of(&report))
    }
}

fn print_plan(output: &mut Output, plan: &PrunePlan, is_dry_run: bool) -> std::io::Result<()> {
    let mut line = |text: String| output.line(text.as_bytes());
    let packs = |count| counted(count, "pack", "packs");
    line(format!(
        "{} in {}, {}",
        counted(plan.needed_objects, "object is needed", "objects are needed"),
        packs(plan.packs),
        size(plan.pack_bytes)
    ))?;
    if plan.unneeded_packs > 0 {
        let (count, bytes) = (packs(plan.unneeded_packs), size(plan.unneeded_pack_bytes));
        line(format!("  {count} not needed at all, {bytes}: to be deleted"))?;
    }
    if plan.repacked_packs > 0 {
        let (count, bytes) = (packs(plan.repacked_packs), size(plan.repacked_pack_bytes));
        let copied = size(plan.copied_bytes);
        line(format!("  {count} needed in part, {bytes}: about {copied} to be stored again"))?;
    }
    if plan.unneeded_loose > 0 {
        let count = counted(plan.unneeded_loose, "loose object", "loose objects");
        line(format!("  {count} not needed, {}: to be deleted", size(plan.unneeded_loose_bytes)))?;
    }
    let would = if is_dry_run { "would free" } else { "frees" };
    line(format!(
        "This {would} about {}; {} stay unneeded in packs that are needed.",
        size(plan.freed_bytes),
        size(plan.unused_bytes)
    ))
}

fn print_report(output: &mut Output, report: &PruneReport) -> std::io::Result<()> {
    for pack in &report.damaged_packs {
        let text =
            format!("packs/{pack}.pack is damaged and stays: `runup check --read-data` tells more");
        output.line(text.as_bytes())?;
    }
    let text = match report.freed_bytes() {
        0 => "Nothing was freed.".to_owned(),
        bytes => format!(
            "Freed {}: {} deleted, {} written.",
            size(bytes),
            counted(report.deleted_packs, "pack", "packs"),
            size(report.repacked_bytes)
        ),
    };
    output.line(text.as_bytes())?;
    if report.postponed > 0 {
        let more = counted(report.postponed, "pack or loose object", "packs and loose objects");
        output.line(format!("{more} more can go: run it again.").as_bytes())?;
    }
    Ok(())
}
