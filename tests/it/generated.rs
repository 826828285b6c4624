//! Manual pages of section 1 and shell completions: generated from the one list of commands.
//!
//! How a page comes to be: [`commands::ALL`] has the clap definition of each command, and what its
//! `Command` implementation says for manuals. [`pages`] walks both and writes mdoc(7) through
//! [`markup`], which turns plain text with `backquotes` into macros, and [`mdoc`], which escapes.
//! `man/runup.1` and `man/runup-json.5` are written by hand, but for the lists between `generated:`
//! comments; those of the latter are made of the JSON Schema in [`schema`]. Completions
//! are a head written by hand for each shell, in `generated/completions/`, and a table of commands
//! from [`completions`].
//!
//! The results are checked in, in `man/` and `completions/`, and compared here. To rewrite them:
//! `RUNUP_REWRITE=1 cargo test --test it generated`.
//!
//! Invariant: nothing but the command list, the heads and `man/runup.1` goes into a generated file,
//! so that rewriting twice changes nothing.

mod arguments;
mod completions;
mod examples;
mod fixture;
mod markup;
mod mdoc;
mod pages;
mod records;
mod schema;
mod shells;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use runup::cli::commands;

use crate::sandbox::Sandbox;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every generated file: its path in the project, and its text.
fn files() -> BTreeMap<String, String> {
    let page = |listed| (pages::path(listed), pages::command_page(listed));
    let mut files: BTreeMap<_, _> = commands::ALL.iter().map(page).collect();
    let overview = pages::with_lists(&read(pages::OVERVIEW), pages::overview_list);
    files.insert(pages::OVERVIEW.to_owned(), overview);
    files.insert(schema::PAGE.to_owned(), pages::with_lists(&read(schema::PAGE), schema::list));
    files.insert(schema::PATH.to_owned(), schema::text());
    files.extend(completions::files());
    files
}

/// Names of the manual pages in `man/`.
fn page_names() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("man")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(|c: char| c.is_ascii_digit()));
    names.sort();
    names
}

/// Whether a program that a test runs is there. Where it is not, the test passes and says so; in
/// continuous integration, where `CI` is set, it fails if the program is required.
#[expect(clippy::print_stderr, reason = "what was passed over is told")]
fn has_program(name: &str, is_required: bool) -> bool {
    let found = Sandbox::new().run(&format!("command -v {name} || true")).succeeds();
    let is_there = !found.stdout().is_empty();
    if !is_there {
        assert!(!is_required || std::env::var_os("CI").is_none(), "{name} is not installed");
        eprintln!("passed over, as {name} is not installed");
    }
    is_there
}

#[test]
fn generated_files_are_those_of_the_commands() {
    let is_rewriting = std::env::var_os("RUNUP_REWRITE").is_some();
    let mut stale = Vec::new();
    let files = files();
    for (path, text) in &files {
        let full = root().join(path);
        if std::fs::read_to_string(&full).is_ok_and(|present| present == *text) {
            continue;
        }
        stale.push(path.clone());
        if is_rewriting {
            std::fs::write(full, text).unwrap();
        }
    }
    for name in page_names().iter().filter(|name| name.ends_with(".1")) {
        let path = format!("man/{name}");
        if !files.contains_key(&path) {
            stale.push(path.clone());
            if is_rewriting {
                std::fs::remove_file(root().join(path)).unwrap();
            }
        }
    }
    let how = "RUNUP_REWRITE=1 cargo test --test it generated";
    assert!(is_rewriting || stale.is_empty(), "out of date: {stale:?}; to rewrite them: {how}");
}

#[test]
fn every_command_has_a_manual() {
    for listed in commands::ALL {
        let (name, manual) = (listed.name, listed.manual().unwrap());
        assert!(!manual.description.trim().is_empty(), "{name} has no DESCRIPTION");
        assert!(!manual.examples.is_empty(), "{name} has no EXAMPLES");
        assert!(!manual.see_also.is_empty(), "{name} has no SEE_ALSO");
        let known = runup::cli::Exit::ALL.map(|(exit, _)| exit);
        assert!(manual.exits.is_sorted() && manual.exits.iter().all(|exit| known.contains(exit)));
        for example in manual.examples {
            assert!(manual.exits.contains(&example.exit), "{name}: {}", example.script);
        }
    }
}

#[test]
fn programs_hold_no_manual_and_plumbing_no_other_commands() {
    let line_of = |name: &str| {
        let listed = commands::ALL.iter().find(|listed| listed.name == name).unwrap();
        listed.manual().unwrap().description.trim().lines().next().unwrap()
    };
    let holds = |program: &str, line: &str| {
        let status = Command::new("grep").args(["-qF", "--", line, program]).status().unwrap();
        status.success()
    };
    for program in [env!("CARGO_BIN_EXE_runup"), env!("CARGO_BIN_EXE_runup-ls-tree")] {
        assert!(!holds(program, line_of("ls-tree")));
    }
    assert!(holds(env!("CARGO_BIN_EXE_runup"), "Back up the projects of runup.yaml"));
    assert!(!holds(env!("CARGO_BIN_EXE_runup-ls-tree"), "Back up the projects of runup.yaml"));
}

/// Every manual page, as it is generated now or written by hand: its file name and its text.
fn pages() -> BTreeMap<String, String> {
    let mut pages: BTreeMap<String, String> =
        page_names().into_iter().map(|name| (name.clone(), read(&format!("man/{name}")))).collect();
    for (path, text) in files() {
        let name = path.strip_prefix("man/").filter(|_| path != schema::PATH);
        pages.extend(name.map(|name| (name.to_owned(), text)));
    }
    pages
}

#[test]
fn pages_are_clean() {
    if !has_program("mandoc", true) {
        return;
    }
    let sandbox = Sandbox::new();
    for (name, text) in pages() {
        sandbox.write(&name, text.as_bytes());
    }
    // The conventions of single BSD systems, which `-W all` adds, do not go together.
    let lint = sandbox.run("mandoc -T lint -W style *");
    let printed = lint.stdout() + &lint.stderr();
    // Which pages are installed here says nothing of these.
    let is_about_installed = |line: &&str| {
        line.contains("referenced manual not found") || line.contains("outdated mandoc.db")
    };
    let messages: Vec<_> = printed.lines().filter(|line| !is_about_installed(line)).collect();
    assert!(messages.is_empty(), "{}", messages.join("\n"));
}

#[test]
fn pages_refer_to_pages_that_are_there() {
    let pages = pages();
    for (page, text) in &pages {
        for line in text.lines() {
            let words: Vec<&str> = line.trim_start_matches('.').split(' ').collect();
            for reference in words.windows(3).filter(|words| words[0] == "Xr") {
                let name = format!("{}.{}", reference[1], reference[2]);
                let is_known = pages.contains_key(&name);
                assert!(!name.starts_with("runup") || is_known, "{page}: {line}");
            }
        }
    }
}
