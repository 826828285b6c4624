//! `runup index-pack`: index segments from packs alone.

use std::ffi::OsString;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::Globals;
use super::exit::Exit;
use super::failure::{ErrorRecord, Failure};
use super::messages::Messages;
use super::output::Output;
use super::pack_name::{PackName, id_in_file_name};
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::ops::index_pack::{
    How, IndexPackError, IndexPackOptions, IndexPackReport, IndexedPack, index_pack,
};

/// Arguments of `runup index-pack`.
#[derive(Debug, clap::Args)]
pub struct IndexPack {
    /// Packs of the repository: ids, their first digits, or paths; every byte of these is verified
    /// [default: all packs that no sound index covers]
    #[arg(value_name = "PACK")]
    packs: Vec<OsString>,
    /// Write nothing: tell what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// End records with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print nothing: tell by the exit code
    #[arg(long)]
    plain: bool,
}

/// What became of one pack.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "indexed-pack")]
struct PackRecord {
    /// `pack`.
    message_type: &'static str,
    /// Its name.
    pack: Id,
    /// Its file in the repository.
    file: String,
    /// covered (by an index that is sound), footer (read from there), or scan (frame by frame);
    /// null where nothing of it could be read.
    how: Option<&'static str>,
    /// Frames.
    frames: u64,
    /// Objects.
    objects: u64,
    /// Objects that were left out, as they refer to what is not there.
    dropped: u64,
    /// New packs that its sound frames were copied to.
    salvaged_to: Vec<Id>,
    /// What is wrong with it.
    error: Option<ErrorRecord>,
}

/// What became of the index.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "index-summary")]
struct Summary {
    /// `summary`.
    message_type: &'static str,
    /// Whether nothing was written.
    is_dry_run: bool,
    /// Packs that were looked at.
    packs: u64,
    /// Packs that were left alone, as a prune is about to delete them.
    condemned: u64,
    /// Objects that were indexed.
    objects: u64,
    /// Objects that were left out.
    dropped: u64,
    /// New index segments.
    index_segments: u64,
    /// Damaged files that were set aside, by their new names.
    set_aside: Vec<String>,
    /// Packs with which something is wrong.
    errors: u64,
}

impl Command for IndexPack {
    const NAME: &'static str = "index-pack";
    const ABOUT: &'static str = "Make a lost index again from the packs";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<PackRecord>(), Shape::of::<Summary>()];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Makes index segments for packs that no sound index covers, or for each `PACK`, from their
        footers. A pack whose footer is lost or damaged is read frame by frame; its sound frames are
        copied to new packs, and its file is set aside in `lost`, never deleted. So is an index file
        that is damaged.

        A pack of a program that died may refer to what never came. Such a pack is left out, unless
        a job needs something that it holds. Packs that a prune is about to delete are left out,
        too.

        Backups and restores may run meanwhile; while a prune runs, the exit code is 1. It is 4 if
        something was damaged: runup-fsck(1) then tells whether anything is missing.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "Bring back a lost index",
            "rm .runup/index/*
runup-index-pack",
        ),
        Example::new("What would be done", "runup-index-pack --dry-run"),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-fsck(1)", "runup-verify-pack(1)", "runup-repository(5)"];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let mut packs = Vec::new();
        for pack in &self.packs {
            packs.push(match PackName::new(pack) {
                PackName::Digits(digits) => PackName::resolve(&digits, &repository)?,
                PackName::Path(path) => id_in_file_name(&path).ok_or_else(|| {
                    let path = path.display();
                    Failure::usage(format!("{path}: not the name of a pack of the repository"))
                })?,
            });
        }
        let packs = (!packs.is_empty()).then_some(packs);
        let options =
            IndexPackOptions { packs, is_dry_run: self.dry_run, ..IndexPackOptions::default() };
        let messages = Messages::new(output.is_json(), globals.verbose);
        let mut exit = Exit::Done;
        let done = index_pack(&repository, &options, &messages, &mut |indexed| {
            exit = exit.and(exit_of(indexed));
            if self.plain {
                return Ok(());
            }
            output.record(&record(indexed), self.nul)
        });
        messages.finish();
        let report = done?;
        if !self.plain {
            output.record(&summary(&report, self.dry_run), self.nul)?;
        }
        Ok(exit)
    }
}

fn exit_of(indexed: &IndexedPack) -> Exit {
    match indexed.problem.as_ref().map(|problem| problem.code) {
        None => Exit::Done,
        Some("unsupported") => Exit::Unsupported,
        Some(_) => Exit::Damaged,
    }
}

fn record(indexed: &IndexedPack) -> PackRecord {
    let how = indexed.how.map(|how| match how {
        How::Covered => "covered",
        How::Footer => "footer",
        How::Scan => "scan",
    });
    let problem = indexed.problem.as_ref();
    PackRecord {
        message_type: "pack",
        pack: indexed.pack,
        file: format!("packs/{}.pack", indexed.pack),
        how,
        frames: indexed.frames,
        objects: indexed.objects,
        dropped: indexed.dropped,
        salvaged_to: indexed.salvaged_to.clone(),
        error: problem
            .map(|problem| ErrorRecord { code: problem.code, message: problem.message.clone() }),
    }
}

fn summary(report: &IndexPackReport, is_dry_run: bool) -> Summary {
    Summary {
        message_type: "summary",
        is_dry_run,
        packs: report.packs,
        condemned: report.condemned,
        objects: report.objects,
        dropped: report.dropped,
        index_segments: report.segments,
        set_aside: report.set_aside.clone(),
        errors: report.errors,
    }
}

impl From<IndexPackError> for Failure {
    fn from(error: IndexPackError) -> Self {
        match error {
            IndexPackError::Busy => Self::new(Exit::Failed, "busy", error.to_string()),
            IndexPackError::Cancelled => Self::interrupted(),
            IndexPackError::Output(error) => error.into(),
            IndexPackError::Repository(error) => error.into(),
        }
    }
}
