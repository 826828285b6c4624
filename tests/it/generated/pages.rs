//! The pages of section 1: one for each command, and the lists of runup(1).
//!
//! Invariant: what a page says of options is what clap knows of them, in its order.

use clap::{Arg, Command};
use runup::cli::commands::{ALL, Listed};
use runup::cli::{Example, Exit, Layer};

use super::arguments::{
    below, choices, clap_of, global, help, is_value_optional, own, program_of, repeats, spellings,
    takes_value, value_name,
};
use super::markup::{block, inline};
use super::mdoc::{Page, arguments, display_line};

/// The page that is written by hand, but for its lists.
pub(super) const OVERVIEW: &str = "man/runup.1";
/// When the texts were last gone over.
const DATE: &str = "November 22, 2026";

/// Where the page of a command is.
pub(super) fn path(listed: &Listed) -> String {
    format!("man/runup-{}.1", listed.name)
}

/// The page of a command.
pub(super) fn command_page(listed: &Listed) -> String {
    let command = clap_of(listed);
    let title = format!("runup-{}", listed.name);
    let source = listed.name.replace('-', "_");
    let mut page = Page::new();
    page.comment(&format!("Made by tests/it/generated.rs from src/cli/{source}.rs."));
    page.raw(&format!(".Dd {DATE}"));
    page.raw(&format!(".Dt {} 1", title.to_uppercase()));
    page.raw(".Os RunUp");
    page.raw(".Sh NAME");
    page.raw(&format!(".Nm {title}"));
    page.raw(&format!(".Nd {}", arguments(&about(&command))));
    page.raw(".Sh SYNOPSIS");
    synopsis(&mut page, listed, &command);
    page.raw(".Sh DESCRIPTION");
    block(&mut page, listed.manual().unwrap().description, &[]);
    argument_lists(&mut page, &command);
    page.raw(".Pp");
    inline(&mut page, "runup(1) describes the options that all commands have.", &[]);
    page.raw(".Sh EXIT STATUS");
    exits(&mut page, listed.manual().unwrap().exits);
    if !listed.manual().unwrap().examples.is_empty() {
        page.raw(".Sh EXAMPLES");
        examples(&mut page, listed.manual().unwrap().examples);
    }
    page.raw(".Sh SEE ALSO");
    see_also(&mut page, listed);
    page.finish()
}

/// The line about a command, as it goes on from the name of the page.
fn about(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut chars = about.chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    first + chars.as_str()
}

// Synopsis.

fn synopsis(page: &mut Page, listed: &Listed, command: &Command) {
    let name = match program_of(listed) {
        Some(program) => program,
        None => format!("runup Cm {}", arguments(listed.name)),
    };
    if below(command).next().is_none() {
        page.raw(&format!(".Nm {name}"));
        synopsis_arguments(page, command);
    }
    for below in below(command) {
        page.raw(&format!(".Nm {name} Cm {}", arguments(below.get_name())));
        synopsis_arguments(page, below);
    }
}

fn synopsis_arguments(page: &mut Page, command: &Command) {
    let all = own(command);
    let groups = exclusive_groups(command, &all);
    let in_group = |arg: &Arg| groups.iter().any(|(_, group)| group.contains(&arg.get_id()));
    let is_letter = |arg: &&&Arg| !takes_value(arg) && arg.get_long().is_none() && !in_group(arg);
    let letters: String = all.iter().filter(is_letter).filter_map(|arg| arg.get_short()).collect();
    if !letters.is_empty() {
        page.raw(&format!(".Op Fl {letters}"));
    }
    for (is_required, group) in &groups {
        let members = all.iter().filter(|arg| group.contains(&arg.get_id()));
        let members: Vec<_> = members.map(|arg| synopsis_argument(arg)).collect();
        let bracket = if *is_required { "Brq" } else { "Op" };
        page.raw(&format!(".{bracket} {}", members.join(" | ")));
    }
    let (positional, options): (Vec<&Arg>, Vec<&Arg>) = all
        .iter()
        .filter(|arg| !is_letter(arg) && !in_group(arg))
        .partition(|arg| arg.is_positional());
    for arg in options.into_iter().chain(positional) {
        let more = if repeats(arg) { " ..." } else { "" };
        let bracket = if arg.is_required_set() { "" } else { "Op " };
        page.raw(&format!(".{bracket}{}{more}", synopsis_argument(arg)));
    }
}

/// The groups of arguments of which only one may be given, and whether one must.
fn exclusive_groups<'c>(command: &'c Command, all: &[&Arg]) -> Vec<(bool, Vec<&'c clap::Id>)> {
    let groups = command.get_groups().filter(|group| !(*group).clone().is_multiple());
    let known = |id: &&clap::Id| all.iter().any(|arg| arg.get_id() == *id);
    groups
        .map(|group| (group.is_required_set(), group.get_args().filter(known).collect()))
        .collect()
}

/// An option with its value, or the name of an argument, as words of a macro line.
fn synopsis_argument(arg: &Arg) -> String {
    let options: Vec<_> = spellings(arg).iter().map(|option| flag(option)).collect();
    if is_value_optional(arg) {
        return format!("{}{}", options.join(" | "), optional_value(arg));
    }
    let value = takes_value(arg).then(|| format!("Ar {}", arguments(&value_name(arg))));
    let options = Some(options.join(" | ")).filter(|options| !options.is_empty());
    options.into_iter().chain(value).collect::<Vec<_>>().join(" ")
}

/// A value that may be left out.
fn optional_value(arg: &Arg) -> String {
    format!(" Ns Oo Ns = Ns Ar {} Oc", arguments(&value_name(arg)))
}

fn flag(option: &str) -> String {
    format!("Fl {}", arguments(option.strip_prefix('-').unwrap_or(option)))
}

// Lists.

fn argument_lists(page: &mut Page, command: &Command) {
    let (positional, options): (Vec<_>, Vec<_>) =
        own(command).into_iter().partition(|arg| arg.is_positional());
    for (head, args) in [("The arguments are:", positional), ("The options are:", options)] {
        if !args.is_empty() {
            page.raw(".Pp");
            page.raw(head);
            argument_list(page, &args, &own(command));
        }
    }
}

fn argument_list(page: &mut Page, args: &[&Arg], all: &[&Arg]) {
    let values: Vec<String> = all.iter().map(|arg| value_name(arg)).collect();
    page.raw(".Bl -tag -width Ds");
    for arg in args {
        page.raw(&format!(".It {}", head(arg)));
        let (text, default) = help(arg);
        for text in [Some(text), default].into_iter().flatten() {
            inline(page, &sentence(&text), &values);
        }
        choice_list(page, &choices(arg));
    }
    page.raw(".El");
}

/// An option in all its spellings, or an argument, at the head of its text.
fn head(arg: &Arg) -> String {
    let value = || format!("Ar {}", arguments(&value_name(arg)));
    let one = |option: &String| match takes_value(arg) {
        true if is_value_optional(arg) => format!("{}{}", flag(option), optional_value(arg)),
        true => format!("{} {}", flag(option), value()),
        false => flag(option),
    };
    match spellings(arg) {
        options if options.is_empty() => value(),
        options => options.iter().map(one).collect::<Vec<_>>().join(" , "),
    }
}

fn choice_list(page: &mut Page, choices: &[(String, String)]) {
    if choices.is_empty() {
        return;
    }
    page.raw("It is one of:");
    page.raw(".Pp");
    page.raw(".Bl -tag -width Ds -compact");
    for (name, about) in choices {
        page.raw(&format!(".It Cm {}", arguments(name)));
        if !about.is_empty() {
            inline(page, &sentence(about), &[]);
        }
    }
    page.raw(".El");
}

/// A help text with its full stop.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with(['.', '?', '!']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

fn exits(page: &mut Page, exits: &[Exit]) {
    page.raw(".Bl -tag -width Ds -compact");
    for (exit, meaning) in Exit::ALL.iter().filter(|(exit, _)| exits.contains(exit)) {
        page.raw(&format!(".It {}", exit.code()));
        inline(page, meaning, &[]);
    }
    page.raw(".El");
}

fn examples(page: &mut Page, examples: &[Example]) {
    for (number, example) in examples.iter().enumerate() {
        if number > 0 {
            page.raw(".Pp");
        }
        let code = example.exit.code();
        let said = if code == 0 { String::new() } else { format!(" (exits with {code})") };
        inline(page, &format!("{}{said}:", example.text), &[]);
        page.comment(&format!("exits with: {code}"));
        page.raw(".Bd -literal -offset indent");
        for line in example.script.lines() {
            page.raw(&display_line(line));
        }
        page.raw(".Ed");
    }
}

fn see_also(page: &mut Page, listed: &Listed) {
    let of_all = match listed.layer {
        Layer::Plumbing => ["runup(1)", "runup-json(5)"].as_slice(),
        Layer::Porcelain => &["runup(1)"],
    };
    let mut pages: Vec<(&str, &str)> = listed
        .manual()
        .unwrap()
        .see_also
        .iter()
        .chain(of_all)
        .map(|page| split_reference(page))
        .collect();
    pages.sort_unstable_by_key(|(name, section)| (*section, *name));
    pages.dedup();
    let last = pages.len() - 1;
    for (number, (name, section)) in pages.iter().enumerate() {
        let comma = if number < last { " ," } else { "" };
        page.raw(&format!(".Xr {name} {section}{comma}"));
    }
}

fn split_reference(reference: &str) -> (&str, &str) {
    let split = reference.strip_suffix(')').and_then(|text| text.split_once('('));
    split.unwrap_or_else(|| panic!("{reference} is no reference such as runup(1)"))
}

// The overview.

/// A page written by hand, with its lists made anew: what stands between `generated: NAME` and `end`.
pub(super) fn with_lists(text: &str, list: impl Fn(&str) -> String) -> String {
    let mut page = String::new();
    let mut in_list = false;
    for line in text.lines() {
        in_list &= line != ".\\\" end";
        if in_list {
            continue;
        }
        page.push_str(line);
        page.push('\n');
        if let Some(name) = line.strip_prefix(".\\\" generated: ") {
            in_list = true;
            page.push_str(&list(name));
        }
    }
    assert!(!in_list, "a generated list without an end");
    page
}

/// A list of runup(1).
pub(super) fn overview_list(name: &str) -> String {
    let mut page = Page::new();
    match name {
        "porcelain" => command_list(&mut page, Layer::Porcelain),
        "plumbing" => command_list(&mut page, Layer::Plumbing),
        "options" => {
            let command = clap_of(&ALL[0]);
            let options = global(&command);
            argument_list(&mut page, &options, &options);
        }
        "exits" => exits(&mut page, &Exit::ALL.map(|(exit, _)| exit)),
        other => panic!("{OVERVIEW}: no list is called {other}"),
    }
    page.finish()
}

fn command_list(page: &mut Page, layer: Layer) {
    page.raw(".Bl -tag -width Ds");
    for listed in ALL.iter().filter(|listed| listed.layer == layer) {
        page.raw(&format!(".It Xr runup-{} 1", listed.name));
        let command = clap_of(listed);
        inline(page, &sentence(&command.get_about().unwrap_or_default().to_string()), &[]);
    }
    page.raw(".El");
}
