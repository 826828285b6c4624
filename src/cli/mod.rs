//! The command line: arguments, standard streams, environment, exit codes.
//!
//! Invariant: standard output carries data only; whatever fails ends in one message on standard
//! error, as a JSON record where JSON was asked for, and in a documented exit code.

pub mod archive;
pub mod backup;
pub mod cat_object;
pub mod cat_snapshot;
pub mod check;
pub mod check_ignore;
pub mod checkout;
pub mod codes;
pub mod commands;
pub mod count_objects;
pub mod diff_tree;
mod entry;
mod environment;
mod exit;
mod failure;
pub mod for_each_ref;
pub mod forget;
pub mod fsck;
pub mod hash_object;
pub mod import_archive;
pub mod index_pack;
pub mod init;
mod input;
mod json;
pub mod ls;
pub mod ls_projects;
pub mod ls_snapshots;
pub mod ls_tree;
mod manual;
mod messages;
pub mod mktree;
mod output;
mod pack_name;
pub mod pack_objects;
pub mod prune;
pub mod prune_objects;
mod rendering;
pub mod repair;
pub mod restore;
pub mod rev_list;
pub mod rev_parse;
pub mod schema;
pub mod session;
pub mod snapshots;
pub mod update_ref;
pub mod verify_pack;
pub mod write_snapshot;
pub mod write_tree;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Args, FromArgMatches};

pub use environment::Globals;
pub use exit::Exit;
pub use failure::Failure;
pub use manual::{Example, Manual};
pub use output::Output;
pub use schema::Shape;

/// Whether a command is a stable building block or made for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A building block: JSON lines unless `--plain`, a program of its own too.
    Plumbing,
    /// For people: text unless `--json`.
    Porcelain,
}

/// One command: its arguments, its words, and what it does.
pub trait Command: Args {
    /// Its name, as in `runup NAME` and `runup-NAME`.
    const NAME: &'static str;
    /// One line, without a full stop.
    const ABOUT: &'static str;
    /// Which layer it belongs to.
    const LAYER: Layer;

    /// The records that it prints.
    const RECORDS: &'static [Shape];

    /// Whether an interrupt is noticed while it works, and ends it in good order. One that waits
    /// for standard input is better ended at once.
    const ENDS_IN_ORDER: bool = false;

    /// What it does, for its manual page: paragraphs divided by empty lines; lines that begin with
    /// `- ` are items of a list. What is in `backquotes` is literal, as options, file names and
    /// commands are, or stands for something, as `REV` does; runup(1) is a page. Indentation and
    /// single line ends mean nothing.
    const DESCRIPTION: &'static str = "";
    /// Command lines that show it at work, for its manual page.
    const EXAMPLES: &'static [Example] = &[];
    /// Pages that its manual page refers to beside runup(1), such as `runup.yaml(5)`.
    const SEE_ALSO: &'static [&'static str] = &[];
    /// How it may end, ascending. Their meanings are in [`Exit::ALL`].
    const EXITS: &'static [Exit] = Exit::USUAL;

    /// Does it.
    ///
    /// # Errors
    ///
    /// Whatever ends the command early, with the exit code it has.
    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure>;
}

/// The clap command of one command.
pub fn clap_command<C: Command>(name: &'static str) -> clap::Command {
    // The derived groups of arguments bring texts of their own, which are not the command's.
    Globals::augment_args(C::augment_args(clap::Command::new(name)))
        .about(C::ABOUT)
        .long_about(None::<&str>)
        .after_help(format!("Manual page: runup-{}(1)", C::NAME))
        .version(env!("CARGO_PKG_VERSION"))
}

/// Runs one plumbing program: `main` of `runup-NAME`.
pub fn main<C: Command>() -> ExitCode {
    let name = format!("runup-{}", C::NAME);
    let command = clap_command::<C>(Box::leak(name.into_boxed_str()));
    match parse(command, |_| C::LAYER) {
        Ok(matches) => run_matches::<C>(&matches, &matches),
        Err(code) => code,
    }
}

fn wants_json(layer: Layer, is_plain: bool, is_json: bool) -> bool {
    is_json || (layer == Layer::Plumbing && !is_plain)
}

/// Parses the command line; `layer_of` tells from it whose rules for errors hold.
fn parse(
    command: clap::Command,
    layer_of: impl Fn(&[OsString]) -> Layer,
) -> Result<ArgMatches, ExitCode> {
    let arguments = arguments();
    command.try_get_matches_from(&arguments).map_err(|error| {
        let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
        let is_json = wants_json(layer_of(&arguments), has("--plain"), has("--json"));
        if error.use_stderr() && is_json {
            Failure::usage(first_paragraph(&error.render().to_string())).report(true);
        } else if let Err(error) = error.print() {
            Failure::from(error).report(false);
        }
        if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
    })
}

/// The command line. What follows `--end-of-options` is no option, as after `--`.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let end =
        arguments.iter().position(|argument| argument == "--" || argument == "--end-of-options");
    if let Some(argument) = end.and_then(|end| arguments.get_mut(end)) {
        *argument = "--".into();
    }
    arguments
}

/// What clap says is wrong, on one line, without its advice.
fn first_paragraph(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = text.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

/// Runs a command from parsed arguments; `globals` may stand on a level above.
pub(crate) fn run_matches<C: Command>(matches: &ArgMatches, globals: &ArgMatches) -> ExitCode {
    let parsed = Globals::from_arg_matches(globals)
        .and_then(|globals| C::from_arg_matches(matches).map(|command| (globals, command)));
    let (globals, command) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            Failure::new(Exit::Usage, "usage", error.to_string()).report(false);
            return Exit::Usage.into();
        }
    };
    let is_plain = matches.try_get_one::<bool>("plain").ok().flatten().copied().unwrap_or(false);
    let is_json = wants_json(C::LAYER, is_plain, globals.json);
    let mut output = Output::new(is_json, messages::is_cancelled);
    if C::ENDS_IN_ORDER {
        messages::listen_for_interrupts();
    }
    let done = command.run(&globals, &mut output).and_then(|exit| {
        output.flush()?;
        Ok(exit)
    });
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let failure = if messages::is_cancelled() { Failure::interrupted() } else { failure };
            failure.report(is_json);
            failure.exit.into()
        }
    }
}
