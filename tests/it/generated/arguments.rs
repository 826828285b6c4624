//! What clap knows of the options and arguments of a command, in the terms of pages and
//! completions.

use clap::{Arg, ArgAction, Command, ValueHint};
use runup::cli::Layer;
use runup::cli::commands::Listed;

/// What the value of an option, or an argument, is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// One of these words.
    Word(Vec<String>),
    Revision,
    /// A path in the tree of the revision that comes first.
    TreePath,
    Project,
    Job,
    Reference,
    File,
    Directory,
    Program,
    /// Anything else.
    Text,
}

/// The clap command of one command, complete.
pub(super) fn clap_of(listed: &Listed) -> Command {
    let mut command = (listed.clap)(listed.name);
    command.build();
    command
}

/// The name of a command as a program: `runup-ls-tree`, or `runup` where it has none.
pub(super) fn program_of(listed: &Listed) -> Option<String> {
    (listed.layer == Layer::Plumbing).then(|| format!("runup-{}", listed.name))
}

/// Options and arguments of a command and of those below it, as they are defined, without the ones
/// that all commands have.
pub(super) fn own(command: &Command) -> Vec<&Arg> {
    let is_own = |arg: &&Arg| {
        let is_of_all = arg.is_global_set() || ["help", "version"].contains(&arg.get_id().as_str());
        !is_of_all && !arg.is_hide_set()
    };
    let of_below = below(command).flat_map(own);
    command.get_arguments().filter(is_own).chain(of_below).collect()
}

/// The commands below a command, without the one that clap adds.
pub(super) fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| below.get_name() != "help")
}

/// Options that all commands have.
pub(super) fn global(command: &Command) -> Vec<&Arg> {
    command.get_arguments().filter(|arg| arg.is_global_set()).collect()
}

pub(super) fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// Whether it may do without its value, which is written behind an equals sign then.
pub(super) fn is_value_optional(arg: &Arg) -> bool {
    !arg.is_positional()
        && arg.get_num_args().is_some_and(|count| count.min_values() == 0)
        && takes_value(arg)
}

/// Whether it may be given more than once.
pub(super) fn repeats(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
}

pub(super) fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().as_str().to_uppercase(), ToString::to_string)
}

/// The ways to write an option: `-m`, `--message`.
pub(super) fn spellings(arg: &Arg) -> Vec<String> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    short.into_iter().chain(arg.get_long().map(|long| format!("--{long}"))).collect()
}

/// The help text without what it says of a default, and that.
pub(super) fn help(arg: &Arg) -> (String, Option<String>) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if let Some((help, default)) = help.split_once(" [default") {
        let default = default.trim_end_matches(']');
        let said = match default.strip_prefix(": ") {
            Some(value) => format!("By default {value}."),
            None => format!("The default{default}."),
        };
        return (help.to_owned(), Some(said));
    }
    let values = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let values = values.collect::<Vec<_>>().join(" ");
    let is_said = takes_value(arg) && !values.is_empty();
    (help, is_said.then(|| format!("By default `{values}`.")))
}

/// The words that a value is chosen from, each with what it means.
pub(super) fn choices(arg: &Arg) -> Vec<(String, String)> {
    let about = |value: &clap::builder::PossibleValue| {
        value.get_help().map(ToString::to_string).unwrap_or_default()
    };
    let values = if takes_value(arg) { arg.get_possible_values() } else { Vec::new() };
    values.iter().map(|value| (value.get_name().to_owned(), about(value))).collect()
}

/// What an option or argument of this command takes, by its value name where clap has no hint.
pub(super) fn value(command: &Command, arg: &Arg) -> Value {
    let choices = choices(arg);
    if !choices.is_empty() {
        return Value::Word(choices.into_iter().map(|(name, _)| name).collect());
    }
    let is_revision = |arg: &Arg| {
        let name = value_name(arg);
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
        ["REV", "OBJECT", "TREE", "SNAPSHOT", "OLD", "NEW"].contains(&name)
    };
    let follows_revision =
        || arg.is_positional() && command.get_positionals().next().is_some_and(is_revision);
    match (arg.get_value_hint(), value_name(arg).as_str()) {
        (ValueHint::DirPath, _) | (_, "DIR") => Value::Directory,
        (ValueHint::CommandName | ValueHint::CommandWithArguments, _) | (_, "CMD" | "COMMAND") => {
            Value::Program
        }
        _ if is_revision(arg) => Value::Revision,
        (_, "PATH") if follows_revision() => Value::TreePath,
        (_, "PROJECT") => Value::Project,
        (_, "N") if arg.get_id() == "job" => Value::Job,
        (_, "REF") => Value::Reference,
        (ValueHint::AnyPath | ValueHint::FilePath, _) | (_, "PATH" | "FILE") => Value::File,
        _ => Value::Text,
    }
}
