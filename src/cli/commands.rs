//! The one list of commands: what `runup` runs, and which have a program of their own.

use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::{Command, Globals, Layer, Shape, clap_command, run_matches};

/// A command as `runup` knows it.
#[derive(Clone, Copy)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// The layer it belongs to.
    pub layer: Layer,
    /// Makes its clap command, with a program name.
    pub clap: fn(&'static str) -> clap::Command,
    /// The records that it prints.
    pub records: &'static [Shape],
    run: fn(&ArgMatches, &ArgMatches) -> ExitCode,
}

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn listed<C: Command>() -> Listed {
    Listed {
        name: C::NAME,
        layer: C::LAYER,
        clap: clap_command::<C>,
        records: C::RECORDS,
        run: run_matches::<C>,
    }
}

/// Every command, porcelain first.
pub const ALL: [Listed; 21] = [
    listed::<super::init::Init>(),
    listed::<super::backup::Backup>(),
    listed::<super::restore::Restore>(),
    listed::<super::snapshots::Snapshots>(),
    listed::<super::ls::Ls>(),
    listed::<super::check::Check>(),
    listed::<super::hash_object::HashObject>(),
    listed::<super::cat_object::CatObject>(),
    listed::<super::write_tree::WriteTree>(),
    listed::<super::mktree::Mktree>(),
    listed::<super::ls_tree::LsTree>(),
    listed::<super::diff_tree::DiffTree>(),
    listed::<super::write_snapshot::WriteSnapshot>(),
    listed::<super::cat_snapshot::CatSnapshot>(),
    listed::<super::ls_snapshots::LsSnapshots>(),
    listed::<super::ls_projects::LsProjects>(),
    listed::<super::rev_parse::RevParse>(),
    listed::<super::rev_list::RevList>(),
    listed::<super::check_ignore::CheckIgnore>(),
    listed::<super::checkout::Checkout>(),
    listed::<super::fsck::Fsck>(),
];

/// The clap command of `runup` itself, with all others below it.
pub fn runup() -> clap::Command {
    let about =
        "Fragmented backups: each stores only what is new, each restores as if it were full";
    let after = "The commands from hash-object on are plumbing: they print JSON lines, and each is a \
                 program of its own too, such as runup-hash-object.";
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
    let matches = match super::parse(runup(), Layer::Porcelain) {
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
