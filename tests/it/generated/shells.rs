//! The completions in real shells: what each offers at the end of a line.
//!
//! Invariant: no shell needs a terminal or the settings of whoever runs the tests.

use std::fmt::Write as _;

use crate::sandbox::Sandbox;

use super::{completions, fixture, has_program};

/// Lines up to the cursor, and the words that may stand there; all but the last two in the context.
const LINES: [(&str, &[&str]); 22] = [
    ("runup ba", &["backup"]),
    ("runup help ls-s", &["ls-snapshots"]),
    ("runup checkout --fo", &["--force"]),
    ("runup-checkout --fo", &["--force"]),
    ("runup-ls-tree --format ", &["b3sum", "json"]),
    ("runup-ls-tree --format=j", &["--format=json"]),
    ("runup checkout --to s", &["src"]),
    ("runup hash-object R", &["README"]),
    ("runup backup n", &["notes"]),
    ("runup-ls-snapshots --project=a", &["--project=app"]),
    ("runup restore -f --job ", &["1", "2", "3", "4", "5"]),
    ("runup ls ", &["app", "notes", "pin/old", "tag/v1"]),
    ("runup ls p", &["pin/old", "project/app", "project/notes"]),
    ("runup ls app@", &["app@1", "app@2", "app@4", "app@5"]),
    ("runup ls app:", &["app:README", "app:src"]),
    ("runup-ls-tree -r app@2:src/l", &["app@2:src/list.c", "app@2:src/list.h"]),
    ("runup-ls-tree app@1 src/l", &["src/list.c", "src/list.h"]),
    ("runup-checkout --to src app@4 src/q", &["src/queue.c"]),
    ("runup cat-object -p notes:notes/t", &["notes:notes/todo list.txt"]),
    ("runup ls nothing:", &[]),
    ("runup -c context --json ls no", &["notes"]),
    ("runup-ls-tree --repository=context/.runup notes:", &["notes:notes"]),
];
/// How many lines at the end of [`LINES`] are completed in the folder above the context.
const LINES_ABOVE: usize = 2;

/// The fixture with the completions beside it.
fn sandbox() -> Sandbox {
    let sandbox = fixture::sandbox();
    for (path, text) in completions::files() {
        sandbox.write(&format!("../{path}"), text.as_bytes());
    }
    sandbox.write("../completions/inside.zsh", include_bytes!("completions/inside.zsh"));
    sandbox.write("../completions/capture.zsh", include_bytes!("completions/capture.zsh"));
    sandbox
}

/// Completes every line by a command of `sh`, which prints words one a line.
fn assert_offers(
    sandbox: &Sandbox,
    command_of: impl Fn(&str) -> String,
    word_of: fn(&str, &str) -> String,
) {
    let mut script = String::new();
    for (number, (line, _)) in LINES.iter().enumerate() {
        if number == LINES.len() - LINES_ABOVE {
            script.push_str("cd ..\n");
        }
        writeln!(script, "{{ {}; }} >\"$HOME/offered.{number}\" &", command_of(line)).unwrap();
    }
    script.push_str("wait\n");
    sandbox.run(&script).succeeds();
    for (number, (line, expected)) in LINES.iter().enumerate() {
        let offered = String::from_utf8(sandbox.read(&format!("../offered.{number}"))).unwrap();
        let offered = offered.lines().filter(|offer| !offer.is_empty());
        let mut words: Vec<_> =
            offered.map(|offer| word_of(line, offer).trim_end_matches('/').to_owned()).collect();
        words.sort();
        words.dedup();
        assert_eq!(words, *expected, "{line}");
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

// bash

/// Characters at which bash divides words beside blanks.
const BREAKS: [char; 3] = [':', '=', '@'];

/// The words of a line as bash hands them to completions; `line` has no quotes.
fn bash_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for text in line.split(' ') {
        let mut word = String::new();
        for c in text.chars() {
            let is_break = BREAKS.contains(&c);
            if !word.is_empty() && (is_break != word.starts_with(BREAKS)) {
                words.push(std::mem::take(&mut word));
            }
            word.push(c);
        }
        words.push(word);
    }
    words
}

fn bash(line: &str, words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    let script = format!(
        "COMP_WORDBREAKS=$' \\t\\n\"\\'@><=;|&(:'; . \"$HOME/completions/runup.bash\"
         COMP_LINE={} COMP_POINT={} COMP_WORDS=({}) COMP_CWORD={}
         _runup; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted(line),
        line.len(),
        words.join(" "),
        words.len() - 1
    );
    format!("bash --norc -c {}", quoted(&script))
}

#[test]
fn bash_offers_what_fits() {
    if !has_program("bash", false) {
        return;
    }
    // bash keeps what stands before the last break, and wants blanks escaped.
    let word_of = |line: &str, offer: &str| {
        let word = line.rsplit(' ').next().unwrap();
        let fixed = word.rfind(BREAKS).map_or("", |at| &word[..=at]);
        format!("{fixed}{}", offer.replace('\\', ""))
    };
    assert_offers(&sandbox(), |line| bash(line, &bash_words(line)), word_of);
}

#[test]
fn bash_quotes_what_the_shell_would_take_apart() {
    if !has_program("bash", false) {
        return;
    }
    let sandbox = sandbox();
    sandbox.write("notes/it's $HOME", b"");
    sandbox.run("runup backup notes").succeeds();
    let offers = |line: &str, words: &[&str]| {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        sandbox.run(&bash(line, &words)).succeeds().stdout()
    };
    let split = ["runup", "ls", "notes", ":", "notes/"];
    assert_eq!(
        offers("runup ls notes:notes/", &split),
        "notes/it\\'s\\ \\$HOME\nnotes/todo\\ list.txt\n"
    );
    let whole = ["runup", "ls", "\"notes:notes/"];
    assert_eq!(
        offers("runup ls \"notes:notes/", &whole),
        "notes:notes/it's \\$HOME\nnotes:notes/todo list.txt\n"
    );
    let typed = ["runup", "ls", "notes", ":", "notes/todo\\ l"];
    assert_eq!(offers("runup ls notes:notes/todo\\ l", &typed), "notes/todo\\ list.txt\n");
}

// zsh and fish

#[test]
fn zsh_offers_what_fits() {
    if !has_program("zsh", false) {
        return;
    }
    let command_of = |line: &str| {
        let directory = "\"$HOME/completions\"";
        format!("zsh -f {directory}/capture.zsh {directory} {}", quoted(line))
    };
    assert_offers(&sandbox(), command_of, |_, offer| offer.to_owned());
}

#[test]
fn fish_offers_what_fits() {
    if !has_program("fish", false) {
        return;
    }
    let command_of = |line: &str| {
        let script = format!("source $HOME/completions/runup.fish; complete -C {}", quoted(line));
        format!("fish --no-config -c {}", quoted(&script))
    };
    // After a tab stands what the word means.
    let word_of = |_: &str, offer: &str| offer.split('\t').next().unwrap_or_default().to_owned();
    assert_offers(&sandbox(), command_of, word_of);
}
