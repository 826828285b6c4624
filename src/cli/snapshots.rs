//! `runup snapshots`: what was backed up when, for people.

use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::json::SnapshotRecord;
use super::ls_snapshots::Filter;
use super::output::{Output, count, size};
use super::{Command, Example, Layer, Shape};

/// Arguments of `runup snapshots`.
#[derive(Debug, clap::Args)]
pub struct Snapshots {
    #[command(flatten)]
    filter: Filter,
}

impl Command for Snapshots {
    const NAME: &'static str = "snapshots";
    const ABOUT: &'static str = "List jobs with their snapshots";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] = &[Shape::of::<SnapshotRecord<'_>>()];

    const DESCRIPTION: &'static str = "
        Prints a table of the snapshots of all jobs, oldest job first: the job, the project, when
        the backup began, the first digits of the snapshot's id, how many files it has, their size,
        and its description. Everything but directories counts as a file. The options choose among
        the snapshots; all that are given must hold.

        A job or snapshot that is damaged is passed over and told at the end, with the exit code 4.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "The snapshots of one project that have a tag",
            "runup snapshots --project app --tag release",
        ),
        Example::new(
            "The machines that were backed up",
            "runup snapshots --json | jq -r .host | sort -u",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-backup(1)", "runup-ls(1)", "runup-ls-snapshots(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let mut rows: Vec<[String; 7]> = Vec::new();
        let listed = self.filter.for_each(&repository, |job, id, snapshot| {
            if output.is_json() {
                output.record(&SnapshotRecord::new(*id, Some(job), snapshot), false)?;
                return Ok(());
            }
            let counts = snapshot.root.counts;
            let time = snapshot.time.get(..19).unwrap_or(&snapshot.time).replace('T', " ");
            rows.push([
                job.to_string(),
                snapshot.project.clone(),
                time,
                id.short(),
                count(counts.files + counts.symlinks + counts.others),
                size(counts.size_bytes),
                snapshot.description.clone().unwrap_or_default(),
            ]);
            Ok(())
        });
        if !output.is_json() {
            if rows.is_empty() {
                repository.refuse_lost_jobs()?;
            }
            print_table(output, &rows)?;
        }
        output.flush()?;
        listed.map(|()| Exit::Done)
    }
}

fn print_table(output: &mut Output, rows: &[[String; 7]]) -> std::io::Result<()> {
    if rows.is_empty() {
        return output.line(b"no snapshots yet");
    }
    let head = ["JOB", "PROJECT", "TIME", "SNAPSHOT", "FILES", "SIZE", "DESCRIPTION"];
    let is_number = [true, false, false, false, true, true, false];
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: &[String; 7]| {
        let mut text = String::new();
        for ((cell, width), number) in cells.iter().zip(widths).zip(is_number) {
            let padding = " ".repeat(width - cell.chars().count());
            let (before, after) = if number { (&*padding, "") } else { ("", &*padding) };
            text.extend([before, cell, after, "  "]);
        }
        output.line(text.trim_end().as_bytes())
    };
    line(&head.map(str::to_owned))?;
    rows.iter().try_for_each(line)
}
