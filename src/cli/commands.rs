//! The one list of commands: what `runup` runs, and which have a program of their own.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::{Command, Globals, Layer, Manual, clap_command, run_matches};

/// A command as `runup` knows it.
#[derive(Clone, Copy)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// The layer it belongs to.
    pub layer: Layer,
    /// Makes its clap command, with a program name.
    pub clap: fn(&'static str) -> clap::Command,
    run: fn(&ArgMatches, &ArgMatches) -> ExitCode,
}

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Listed {
    /// What its manual page says beside its arguments.
    pub fn manual(&self) -> Option<&'static Manual> {
        MANUALS.iter().find(|manual| manual.name == self.name)
    }
}

const fn listed<C: Command>() -> Listed {
    Listed { name: C::NAME, layer: C::LAYER, clap: clap_command::<C>, run: run_matches::<C> }
}

macro_rules! commands {
    ($($command:ty),+ $(,)?) => {
        /// Every command, porcelain first.
        pub const ALL: &[Listed] = &[$(listed::<$command>()),+];

        /// What manual pages say of each. Apart from [`ALL`], so that no program holds it.
        const MANUALS: &[Manual] = &[$(Manual::of::<$command>()),+];
    };
}

commands!(
    super::init::Init,
    super::backup::Backup,
    super::restore::Restore,
    super::snapshots::Snapshots,
    super::ls::Ls,
    super::check::Check,
    super::repair::Repair,
    super::forget::Forget,
    super::prune::Prune,
    super::hash_object::HashObject,
    super::cat_object::CatObject,
    super::write_tree::WriteTree,
    super::mktree::Mktree,
    super::ls_tree::LsTree,
    super::diff_tree::DiffTree,
    super::write_snapshot::WriteSnapshot,
    super::cat_snapshot::CatSnapshot,
    super::ls_snapshots::LsSnapshots,
    super::ls_projects::LsProjects,
    super::rev_parse::RevParse,
    super::rev_list::RevList,
    super::check_ignore::CheckIgnore,
    super::checkout::Checkout,
    super::update_ref::UpdateRef,
    super::for_each_ref::ForEachRef,
    super::session::Session,
    super::fsck::Fsck,
    super::count_objects::CountObjects,
    super::pack_objects::PackObjects,
    super::verify_pack::VerifyPack,
    super::prune_objects::PruneObjects,
    super::index_pack::IndexPack,
    super::archive::Archive,
    super::import_archive::ImportArchive,
);

/// The clap command of `runup` itself, with all others below it.
pub fn runup() -> clap::Command {
    let about =
        "Fragmented backups: each stores only what is new, each restores as if it were full";
    let after = "The commands from hash-object on are plumbing: they print JSON lines, and each is a\n\
                 program of its own too, such as runup-hash-object.\n\n\
                 Manual pages: runup(1), runup.yaml(5), and one for each command, such as\n\
                 runup-backup(1)";
    let command = Globals::augment_args(clap::Command::new("runup"))
        .about(about)
        .long_about(None::<&str>)
        .after_help(after)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true);
    ALL.iter().fold(command, |command, listed| command.subcommand((listed.clap)(listed.name)))
}

/// Runs `runup`.
pub fn main() -> ExitCode {
    let matches = match super::parse(runup(), layer_of) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let Some((name, below)) = matches.subcommand() else { return ExitCode::from(2) };
    match ALL.iter().find(|listed| listed.name == name) {
        // Global options given on either level are seen on both.
        Some(listed) => (listed.run)(below, below),
        None => ExitCode::from(2),
    }
}

/// The layer of the command that `runup` is asked to run.
fn layer_of(arguments: &[OsString]) -> Layer {
    let named =
        |argument: &OsString| ALL.iter().find(|listed| argument.to_str() == Some(listed.name));
    arguments.iter().skip(1).find_map(named).map_or(Layer::Porcelain, |listed| listed.layer)
}
