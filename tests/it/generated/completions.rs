//! Completions for bash, zsh and fish: a head written by hand for each, and a table of the commands.
//!
//! Why not `clap_complete`: its scripts cannot ask the repository for projects, jobs and paths, and
//! its engine that can is behind a feature called unstable, and would be part of every program. The
//! heads ask `runup` itself, which is quick enough, with the repository and the context of the line
//! that is being completed.
//!
//! Invariant: what a shell knows of options is what clap knows; what a value can be is found by
//! [`value`] alone.

mod bash;
mod fish;
mod zsh;

use clap::{Arg, Command};
use runup::cli::commands::{ALL, Listed};

use super::arguments::{Value, below, clap_of, help, own, program_of, repeats, value, value_name};

/// The three files: path and text.
pub(super) fn files() -> [(String, String); 3] {
    let commands: Vec<Row> = ALL.iter().map(Row::new).collect();
    [
        ("completions/runup.bash".to_owned(), bash::script(&commands)),
        ("completions/_runup".to_owned(), zsh::script(&commands)),
        ("completions/runup.fish".to_owned(), fish::script(&commands)),
    ]
}

/// A command as the tables know it.
struct Row {
    name: &'static str,
    /// Its name as a program of its own.
    program: Option<String>,
    about: String,
    clap: Command,
}

impl Row {
    fn new(listed: &Listed) -> Self {
        let clap = clap_of(listed);
        let about = clap.get_about().map(ToString::to_string).unwrap_or_default();
        Self { name: listed.name, program: program_of(listed), about, clap }
    }

    /// Its own options.
    fn options(&self) -> Vec<&Arg> {
        own(&self.clap).into_iter().filter(|arg| !arg.is_positional()).collect()
    }

    /// Options that all commands have.
    fn options_of_all(&self) -> Vec<&Arg> {
        super::arguments::global(&self.clap)
    }

    /// What its arguments are, with their names, and whether the last may be repeated.
    fn arguments(&self) -> (Vec<(Value, String)>, bool) {
        let names: Vec<_> = below(&self.clap).map(|below| below.get_name().to_owned()).collect();
        let first = (!names.is_empty()).then(|| (Value::Word(names), "COMMAND".to_owned()));
        let args: Vec<&Arg> =
            own(&self.clap).into_iter().filter(|arg| arg.is_positional()).collect();
        let others = args.iter().map(|arg| (self.value(arg), value_name(arg)));
        let is_repeated = args.last().is_some_and(|arg| repeats(arg));
        (first.into_iter().chain(others).collect(), is_repeated)
    }

    fn value(&self, arg: &Arg) -> Value {
        value(&self.clap, arg)
    }

    /// The kinds of its arguments, the last with a `*` if it may be repeated.
    fn kinds(&self) -> String {
        let (arguments, is_repeated) = self.arguments();
        let kinds: Vec<_> = arguments.iter().map(|(value, _)| kind(value)).collect();
        kinds.join(" ") + if is_repeated { "*" } else { "" }
    }
}

/// The programs that are completed.
fn programs(rows: &[Row]) -> Vec<&str> {
    let own = rows.iter().filter_map(|row| row.program.as_deref());
    std::iter::once("runup").chain(own).collect()
}

/// The names of all commands, with the one that clap adds.
fn names(rows: &[Row]) -> String {
    let names: Vec<_> = rows.iter().map(|row| row.name).chain(["help"]).collect();
    names.join(",")
}

/// The first sentence of what an option is for.
fn first_sentence(arg: &Arg) -> String {
    let (text, _) = help(arg);
    text.split(". ").next().unwrap_or_default().replace('`', "")
}

/// A kind of value as the heads of bash and fish name it.
fn kind(value: &Value) -> String {
    match value {
        Value::Word(words) => return format!("words:{}", words.join(",")),
        Value::Revision => "revision",
        Value::TreePath => "tree-path",
        Value::Project => "project",
        Value::Job => "job",
        Value::Reference => "reference",
        Value::File => "file",
        Value::Directory => "directory",
        Value::Program => "program",
        Value::Text => "text",
    }
    .to_owned()
}

/// Lines of a script, with the last one ended.
fn lines(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

#[test]
fn values_are_known_by_their_names() {
    let arg = |name: &'static str| Arg::new(name).value_name(name);
    let row = |clap: Command| Row { name: "x", program: None, about: String::new(), clap };
    let many = || arg("PATH").action(clap::ArgAction::Append);
    for (clap, kinds) in [
        (Command::new("x").args([arg("REV"), many()]), "revision tree-path*"),
        (Command::new("x").args([arg("REV1"), arg("REV2")]), "revision revision"),
        (Command::new("x").arg(many()), "file*"),
        (Command::new("x").args([arg("REF"), arg("OBJECT")]), "reference revision"),
        (Command::new("x").arg(arg("HOST")), "text"),
        (
            Command::new("x").subcommand(Command::new("run").arg(many().value_name("CMD"))),
            "words:run program*",
        ),
    ] {
        assert_eq!(row(clap).kinds(), kinds);
    }
}
