//! `runup prune-objects`: the only program that deletes stored objects.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::messages::Messages;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::ops::prune::{
    PruneError, PruneOptions, PrunePlan, PruneReport, Sessions, Unused, prune,
};

/// How a prune goes about it; the same for `prune` and `prune-objects`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct How {
    /// Room that may go on being unneeded in packs that are needed in part: percent of all packs,
    /// such as 5%, bytes, such as 500M, or unlimited
    #[arg(long, value_name = "N%|BYTES|unlimited", default_value = "5%")]
    max_unused: MaxUnused,
    /// Do not wait for programs that are at work on the repository: end their sessions. They lose no
    /// data, and have to begin again
    #[arg(long)]
    fence: bool,
    /// Do not wait for programs that are at work: delete nothing while there are any
    #[arg(long, conflicts_with = "fence")]
    no_wait: bool,
    /// Delete nothing: only tell what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy)]
struct MaxUnused(Unused);

impl FromStr for MaxUnused {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "give a percentage such as 5%, bytes such as 500M, or unlimited".to_owned();
        if text == "unlimited" {
            return Ok(Self(Unused::Unlimited));
        }
        if let Some(percent) = text.strip_suffix('%') {
            let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
            let is_number = |digits: &str| {
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            };
            if !is_number(whole) || !is_number(part) || part.len() > 4 {
                return Err(wrong());
            }
            let parts: u64 = format!("{whole}{part:0<4}").parse().map_err(|_| wrong())?;
            return if parts <= 1_000_000 { Ok(Self(Unused::Share(parts))) } else { Err(wrong()) };
        }
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
            Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
            Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
            Some(b'T' | b't') => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let bytes = number.checked_mul(1 << shift).ok_or_else(wrong)?;
        Ok(Self(Unused::Bytes(bytes)))
    }
}

impl How {
    pub(super) fn options(&self) -> PruneOptions {
        let sessions = match (self.fence, self.no_wait) {
            (true, _) => Sessions::Fence,
            (_, true) => Sessions::Leave,
            _ => Sessions::Wait,
        };
        PruneOptions {
            unused: self.max_unused.0,
            sessions,
            is_dry_run: self.dry_run,
            ..PruneOptions::default()
        }
    }
}

/// Prunes; what is about to be done is printed before it is done.
pub(super) fn run(
    globals: &Globals,
    options: &PruneOptions,
    output: &mut Output,
    print_plan: impl Fn(&mut Output, &PrunePlan) -> std::io::Result<()>,
) -> Result<PruneReport, Failure> {
    let repository = globals.open_repository()?;
    let messages = Messages::new(output.is_json(), globals.verbose);
    let mut printed = Ok(());
    let pruned = prune(&repository, options, &messages, &mut |plan| {
        printed = print_plan(output, plan).and_then(|()| output.flush());
    });
    messages.finish();
    let report = pruned?;
    printed?;
    Ok(report)
}

pub(super) fn exit_of(report: &PruneReport) -> Exit {
    if report.damaged_packs.is_empty() { Exit::Done } else { Exit::Damaged }
}

/// Arguments of `runup prune-objects`.
#[derive(Debug, clap::Args)]
pub struct PruneObjects {
    #[command(flatten)]
    how: How,
    /// End records with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print nothing: tell by the exit code
    #[arg(long)]
    plain: bool,
}

/// What is about to be done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "prune-plan")]
pub(super) struct PlanRecord {
    /// `plan`.
    message_type: &'static str,
    /// Whether nothing will be done.
    is_dry_run: bool,
    /// Packs.
    packs: u64,
    /// Their bytes.
    pack_bytes: u64,
    /// Different objects that jobs, tags and pins lead to, and what these are stored as differences
    /// from.
    needed_objects: u64,
    /// Stored copies of objects that are not needed.
    unneeded_copies: u64,
    /// Packs of which nothing is needed.
    unneeded_packs: u64,
    /// Their bytes.
    unneeded_pack_bytes: u64,
    /// Packs of which what is needed is stored again.
    repacked_packs: u64,
    /// Their bytes.
    repacked_pack_bytes: u64,
    /// Bytes that are stored again, about.
    copied_bytes: u64,
    /// Loose objects that are not needed, or are in a pack too.
    unneeded_loose: u64,
    /// Bytes of their files.
    unneeded_loose_bytes: u64,
    /// Bytes that the repository will be smaller, about.
    freed_bytes: u64,
    /// Bytes in packs that will go on being unneeded, about.
    unused_bytes: u64,
}

impl PlanRecord {
    pub(super) fn new(plan: &PrunePlan, is_dry_run: bool) -> Self {
        Self {
            message_type: "plan",
            is_dry_run,
            packs: plan.packs,
            pack_bytes: plan.pack_bytes,
            needed_objects: plan.needed_objects,
            unneeded_copies: plan.unneeded_copies,
            unneeded_packs: plan.unneeded_packs,
            unneeded_pack_bytes: plan.unneeded_pack_bytes,
            repacked_packs: plan.repacked_packs,
            repacked_pack_bytes: plan.repacked_pack_bytes,
            copied_bytes: plan.copied_bytes,
            unneeded_loose: plan.unneeded_loose,
            unneeded_loose_bytes: plan.unneeded_loose_bytes,
            freed_bytes: plan.freed_bytes,
            unused_bytes: plan.unused_bytes,
        }
    }
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "prune-summary")]
pub(super) struct Summary {
    /// `summary`.
    message_type: &'static str,
    /// Whether nothing was done.
    is_dry_run: bool,
    /// Packs that were deleted.
    deleted_packs: u64,
    /// Their bytes.
    deleted_pack_bytes: u64,
    /// Of these, packs of which something was stored again.
    repacked_packs: u64,
    /// Bytes of the new packs.
    repacked_bytes: u64,
    /// Loose objects that were deleted.
    deleted_loose: u64,
    /// Bytes of their files.
    deleted_loose_bytes: u64,
    /// Bytes that the repository is smaller.
    freed_bytes: u64,
    /// Bytes in packs that go on being unneeded, about.
    unused_bytes: u64,
    /// Packs that were to be stored again in part, and stay because they are damaged.
    damaged_packs: Vec<Id>,
    /// Packs and loose objects that are left for the next prune, as there were too many for one.
    postponed: u64,
    /// Whether other programs were waited for.
    waited: bool,
}

impl Summary {
    pub(super) fn new(report: &PruneReport) -> Self {
        Self {
            message_type: "summary",
            is_dry_run: report.is_dry_run,
            deleted_packs: report.deleted_packs,
            deleted_pack_bytes: report.deleted_pack_bytes,
            repacked_packs: report.repacked_packs,
            repacked_bytes: report.repacked_bytes,
            deleted_loose: report.deleted_loose,
            deleted_loose_bytes: report.deleted_loose_bytes,
            freed_bytes: report.freed_bytes(),
            unused_bytes: report.unused_bytes,
            damaged_packs: report.damaged_packs.clone(),
            postponed: report.postponed,
            waited: report.waited,
        }
    }
}

impl Command for PruneObjects {
    const NAME: &'static str = "prune-objects";
    const ABOUT: &'static str = "Delete what neither jobs nor refs lead to";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<PlanRecord>(), Shape::of::<Summary>()];

    const DESCRIPTION: &'static str = "
        Deletes packs and loose objects that no job, tag or pin needs. Of packs that are needed in
        part, what is needed is stored again where that saves more room than `--max-unused` lets be;
        frames of which little is unneeded are copied as they are. Packs of less than 16 MiB are put
        together once there are 16. Projects of jobs that were forgotten cannot be brought back
        from then on.

        Backups and restores may run meanwhile. Nothing that they need is deleted: those that began
        before are waited for, unless `--fence` or `--no-wait` says otherwise. What a pipeline has
        stored and no job or ref leads to yet is deleted, unless runup-session(1) holds a session
        around it.

        If something that is needed is damaged or missing, nothing is deleted and the exit code is
        4. It is 1 while another prune is at work, and with `--no-wait` while anybody is. Wherever a
        prune ends, nothing is lost, and the next one goes on.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("What would be freed", "runup-prune-objects --dry-run | jq .freed_bytes"),
        Example::new("As small as can be", "runup-prune-objects --max-unused 0%"),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-prune(1)", "runup-forget(1)", "runup-session(1)", "runup-repository(5)"];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let options = self.how.options();
        let (is_plain, nul) = (self.plain, self.nul);
        let report = run(globals, &options, output, |output, plan| match is_plain {
            true => Ok(()),
            false => output.record(&PlanRecord::new(plan, options.is_dry_run), nul),
        })?;
        if !is_plain {
            output.record(&Summary::new(&report), nul)?;
        }
        Ok(exit_of(&report))
    }
}

impl From<PruneError> for Failure {
    fn from(error: PruneError) -> Self {
        let (exit, code) = match &error {
            PruneError::Busy | PruneError::Sessions { .. } => (Exit::Failed, "busy"),
            PruneError::InPipeline => (Exit::Usage, "usage"),
            PruneError::NoJobs { .. } => (Exit::Damaged, "no_jobs"),
            PruneError::Index { .. } => (Exit::Damaged, "damaged_index"),
            PruneError::Needed(_) => (Exit::Damaged, "damaged"),
            PruneError::Cancelled => return Self::interrupted(),
            PruneError::Repository(_) => {
                let PruneError::Repository(error) = error else { return Self::interrupted() };
                return error.into();
            }
        };
        Self::of(exit, code, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_in_three_ways() {
        let unused = |text: &str| text.parse::<MaxUnused>().map(|MaxUnused(unused)| unused);
        assert_eq!(unused("unlimited"), Ok(Unused::Unlimited));
        assert_eq!(unused("2.5%"), Ok(Unused::Share(25_000)));
        assert_eq!(unused("100%"), Ok(Unused::Share(1_000_000)));
        assert_eq!(unused("0"), Ok(Unused::Bytes(0)));
        assert_eq!(unused("3G"), Ok(Unused::Bytes(3 << 30)));
        for bad in [
            "",
            "%",
            "101%",
            "-1%",
            "NaN%",
            "1e1%",
            "100.1%",
            "1.%",
            "5 M",
            "G",
            "99999999999T",
            "all",
        ] {
            assert!(unused(bad).is_err(), "{bad}");
        }
    }
}
