//! Every command line that a manual page shows runs, and ends as the page says.
//!
//! A literal display behind a comment `exits with: CODE` is run; what it prints is compared with a
//! display behind a comment `prints:` that follows it. Each page has a fixture of its own,
//! where its displays run one after the other, each in a shell of its own: `sh -e`, or for a
//! pipeline `bash -e -o pipefail`, as `sh` knows only how the last program of one ended.
//!
//! Invariant: what runs is the text of the page, not what it was made from.

use super::mdoc::display_text;
use super::{fixture, has_program};

/// A display of a page, to be run.
struct Run {
    exit: i32,
    script: String,
    /// What it prints, where the page shows that.
    prints: Option<String>,
}

/// The text of the display that begins at a line.
fn display_at(lines: &[&str], at: usize) -> String {
    assert!(lines[at].starts_with(".Bd -literal"), "line {} begins no display", at + 1);
    let display = lines[at + 1..].iter().take_while(|line| **line != ".Ed");
    display.map(|line| display_text(line) + "\n").collect()
}

/// The displays of a page that are marked to be run.
fn runs_of(page: &str) -> Vec<Run> {
    let lines: Vec<&str> = page.lines().collect();
    let marks = lines.iter().enumerate();
    marks
        .filter_map(|(at, line)| Some((at, line.strip_prefix(".\\\" exits with: ")?)))
        .map(|(at, code)| {
            let end = at + lines[at..].iter().position(|line| *line == ".Ed").unwrap();
            let is_shown = lines.get(end + 1) == Some(&".\\\" prints:");
            Run {
                exit: code.parse().unwrap(),
                script: display_at(&lines, at + 1),
                prints: is_shown.then(|| display_at(&lines, end + 2)),
            }
        })
        .collect()
}

/// The first program that a script needs beside those of RunUp and that is not installed.
fn lacks(script: &str) -> bool {
    let words: Vec<&str> = script.split([' ', '(', ')', ';', '\n']).collect();
    ["jq", "b3sum", "fzf", "git"]
        .iter()
        .any(|name| words.contains(name) && !has_program(name, false))
}

#[test]
fn examples_run_as_the_pages_say() {
    let mut count = 0;
    let first = fixture::sandbox();
    let runs = super::pages().into_values().map(|page| runs_of(&page));
    for runs in runs.filter(|runs| !runs.is_empty()) {
        let sandbox = fixture::copy(&first);
        for run in &runs {
            if lacks(&run.script) {
                continue;
            }
            let is_pipeline = run.script.contains(" |");
            // Somebody types this and presses return.
            let typed = "export FZF_DEFAULT_OPTS=--filter=main";
            let script = match is_pipeline && has_program("bash", false) {
                true => {
                    let quoted = run.script.replace('\'', "'\\''");
                    format!("{typed}; exec bash -e -o pipefail -c '{quoted}'")
                }
                false => run.script.clone(),
            };
            let ran = sandbox.run(&script).exits(run.exit);
            if let Some(prints) = &run.prints {
                assert_eq!(ran.stdout(), *prints, "{script}");
            }
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} examples were found");
}

#[test]
fn displays_are_read_back() {
    let page = ".\\\" exits with: 3\n.Bd -literal -offset indent\na \\-b \\\\\n\\&.c\n.Ed\n.Bd -literal\nx\n.Ed\n";
    let runs = runs_of(page);
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].exit, runs[0].script.as_str()), (3, "a -b \\\\\n.c\n"));
}
