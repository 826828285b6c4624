//! README.md, runup.yaml(5), LICENSE and .ci/run against the programs: what they say holds.
//!
//! README.md marks what is checked here with comments that do not print, such as
//! `<!-- exit-codes -->`, and its console blocks run as they stand, one after the other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runup::base::hash::plain;
use runup::base::id::hex;
use runup::base::limits;
use runup::cli::commands::{self, Listed};
use runup::cli::{Exit, Layer};
use runup::format::chunker::ChunkerParameters;
use runup::format::project_file::{self, JOBS_MAX, PROJECT_FILE_BYTES_MAX};
use runup::format::snapshot::PROJECT_NAME_BYTES_MAX;
use runup::source::selection::{GLOBS_MAX, PATTERN_BYTES_MAX};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn readme() -> String {
    read("README.md")
}

// Blocks.

/// A fenced block of README.md.
struct Fenced {
    /// The marker comment right before it, without its dashes; empty if there is none.
    marker: String,
    /// What follows the opening fence.
    language: String,
    lines: Vec<String>,
}

impl Fenced {
    fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }
}

fn marker_of(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- ")?.strip_suffix(" -->")
}

fn fenced() -> Vec<Fenced> {
    let readme = readme();
    let mut blocks = Vec::new();
    let mut open: Option<Fenced> = None;
    let mut above = "";
    for line in readme.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                let marker = marker_of(above).unwrap_or_default().to_owned();
                open = Some(Fenced { marker, language: language.to_owned(), lines: Vec::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.lines.push(line.to_owned()),
            (None, None) => {}
        }
        above = line;
    }
    assert!(open.is_none(), "README.md has a block without an end");
    blocks
}

/// The text of the one fenced block behind a marker.
fn marked(marker: &str) -> String {
    let blocks = fenced();
    let mut found = blocks.iter().filter(|block| block.marker == marker);
    let block = found.next().unwrap_or_else(|| panic!("README.md has no block {marker}"));
    assert!(found.next().is_none(), "README.md has two blocks {marker}");
    block.text()
}

/// The cells of the rows of the table behind a marker, without its heading.
fn table(marker: &str) -> Vec<Vec<String>> {
    let readme = readme();
    let lines = readme.lines().skip_while(|line| marker_of(line) != Some(marker)).skip(3);
    let lines = lines.take_while(|line| line.starts_with('|'));
    lines
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The displays of runup.yaml(5) whose marker begins with `kind`, each with what is marked in it
/// and with the display that follows it.
fn displays(kind: &str) -> Vec<(String, String, String)> {
    let page = read("man/runup.yaml.5");
    let lines: Vec<&str> = page.lines().collect();
    let display = |from: usize| -> (String, usize) {
        assert!(lines[from].starts_with(".Bd"), "line {} begins no display", from + 1);
        let length = lines[from + 1..].iter().position(|line| *line == ".Ed");
        let end = from + 1 + length.expect("the display ends");
        let text = lines[from + 1..end].iter().map(|line| line.replace("\\&", "") + "\n");
        (text.collect(), end + 1)
    };
    let mark = format!(".\\\" {kind}: ");
    let marks = lines.iter().enumerate();
    marks
        .filter_map(|(at, line)| Some((at, line.strip_prefix(&mark)?)))
        .map(|(at, name)| {
            let (text, next) = display(at + 1);
            let is_followed = lines.get(next).is_some_and(|line| line.starts_with(".Bd"));
            let after = if is_followed { display(next).0 } else { String::new() };
            (name.to_owned(), text, after)
        })
        .collect()
}

// runup.yaml.

#[test]
fn examples_of_project_files_decode() {
    let blocks = fenced();
    let yaml: Vec<_> = blocks.iter().filter(|block| block.language == "yaml").collect();
    assert!(!yaml.is_empty());
    for block in yaml {
        let text = block.text();
        project_file::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    }
    let file = project_file::decode(marked("project-file").as_bytes()).unwrap();
    assert!(file.storage.is_some() && file.compression.is_some() && file.jobs.is_some());
    assert!(file.projects.iter().any(|(_, project)| project.one_file_system));

    let examples = displays("project file");
    assert!(examples.len() >= 3);
    for (name, text, _) in examples {
        project_file::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn refused_project_files_have_the_messages_of_the_page() {
    let examples = displays("refused");
    assert!(examples.len() >= 4);
    for (name, text, message) in examples {
        let error = project_file::decode(text.as_bytes()).expect_err(&name).to_string();
        assert_eq!(message.split_whitespace().collect::<Vec<_>>().join(" "), error, "{name}");
    }
}

#[test]
fn the_page_explains_every_key() {
    let page = read("man/runup.yaml.5");
    let keys = |list: &str| -> String {
        let lines = page.lines().skip_while(|line| *line != format!(".\\\" keys: {list}"));
        let lines = lines.take_while(|line| *line != ".El");
        let keys: Vec<_> = lines.filter_map(|line| line.strip_prefix(".It Ic ")).collect();
        keys.join(", ")
    };
    for (list, text) in [
        ("top", "zzzzzz: 1\n"),
        ("project", "version: '1'\nproject:\n  app:\n    include: [.]\n    zzzzzz: 1\n"),
    ] {
        let error = project_file::decode(text.as_bytes()).expect_err(list).to_string();
        let (_, known) = error.split_once("one of: ").expect("a list of keys");
        let same = |text: &str| {
            let mut keys: Vec<_> = text.split(", ").map(str::to_owned).collect();
            keys.sort();
            keys
        };
        assert_eq!(same(&keys(list)), same(known), "{list}");
    }
}

#[test]
fn the_page_has_the_limits_of_the_code() {
    let page = read("man/runup.yaml.5");
    let text = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        format!("of at most {PROJECT_FILE_BYTES_MAX} bytes and with at most"),
        format!("Number from 1 to {JOBS_MAX}, not quoted"),
        format!("A name has 1 to {PROJECT_NAME_BYTES_MAX} letters of ASCII"),
        format!("at most {PATTERN_BYTES_MAX} bytes, and at most {GLOBS_MAX} in each list"),
    ] {
        assert!(text.contains(&said), "{said}");
    }
}

// Tables.

#[test]
fn programs_are_all_in_the_table() {
    let plumbing = commands::ALL.iter().filter(|listed| listed.layer == Layer::Plumbing);
    let row = |listed: &Listed| {
        let about = (listed.clap)(listed.name).get_about().unwrap().to_string();
        vec![format!("`runup-{}`", listed.name), about]
    };
    assert_eq!(table("programs"), plumbing.map(row).collect::<Vec<_>>());
}

#[test]
fn exit_codes_are_all_in_the_table() {
    let expected = Exit::ALL.map(|(exit, text)| vec![exit.code().to_string(), text.to_owned()]);
    assert_eq!(table("exit-codes"), expected);
}

#[test]
fn limits_are_those_of_the_code() {
    let chunks = ChunkerParameters::default();
    let kib = |bytes: u64| format!("{} KiB", bytes >> 10);
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let expected = [
        (
            "name of a file, depth of directories",
            format!("{} bytes, {} levels", limits::NAME_BYTES_MAX, limits::DEPTH_MAX),
        ),
        ("target of a symbolic link", format!("{} bytes", limits::LINK_TARGET_BYTES_MAX)),
        (
            "extended attributes of a file",
            format!(
                "{}, of {} each",
                limits::XATTRS_MAX,
                kib(limits::XATTR_VALUE_BYTES_MAX as u64)
            ),
        ),
        ("globs among the includes, and among the excludes", format!("{GLOBS_MAX} each")),
        (
            "chunk of a long file",
            format!("{} to {}", kib(chunks.min_bytes.into()), mib(chunks.max_bytes.into())),
        ),
        ("pack", format!("closed at {}", mib(limits::PACK_BYTES_TARGET))),
        ("zeros kept as a hole", format!("from {}", kib(limits::HOLE_BYTES_MIN))),
    ];
    assert_eq!(table("limits"), expected.map(|(what, value)| vec![what.to_owned(), value]));
}

// Consoles.

/// A home directory, and the environment that all commands of a test run in.
struct Sandbox {
    directory: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir(sandbox.home()).unwrap();
        sandbox
    }

    /// The home directory, without symbolic links.
    fn home(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join("ann")
    }

    /// Runs a script of `sh` in the home directory; standard output and standard error are one.
    fn run(&self, script: &str) -> String {
        let script = format!("exec 2>&1\n{script}");
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(self.home())
            .env_clear()
            .env("PATH", path())
            .env("HOME", self.home())
            .env("TMPDIR", self.directory.path())
            .env("XDG_CACHE_HOME", self.home().join(".cache"))
            .env("RUNUP_CACHE_DIR", self.home().join(".cache/runup"))
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}:\n{text}", output.status);
        text.replace(self.home().to_str().unwrap(), "/home/ann")
    }
}

/// The directory of the programs under test, before the `PATH` of whoever runs the tests.
fn path() -> OsString {
    let programs = Path::new(env!("CARGO_BIN_EXE_runup")).parent().unwrap().to_owned();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let inherited = std::env::split_paths(&inherited).collect::<Vec<_>>();
    std::env::join_paths(std::iter::once(programs).chain(inherited)).unwrap()
}

fn is_installed(program: &str) -> bool {
    std::env::split_paths(&path()).any(|directory| directory.join(program).is_file())
}

/// A command of a console block and what it printed.
struct Step {
    command: String,
    printed: Vec<String>,
}

impl Step {
    /// The exit code said in a comment after the command, else 0.
    fn exit_code(&self) -> i32 {
        match self.command.rsplit_once("# exits with ") {
            Some((_, code)) => code.parse().expect("an exit code"),
            None => 0,
        }
    }

    /// The first program that it needs beside those of this crate, and that is not installed.
    fn lacks(&self) -> Option<&'static str> {
        let words: Vec<&str> = self.command.split([' ', '(', ')', ';']).collect();
        ["jq", "b3sum"].into_iter().find(|name| words.contains(name) && !is_installed(name))
    }
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in fenced().iter().filter(|block| block.language == "console") {
        for (number, line) in block.lines.iter().enumerate() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { command: command.to_owned(), printed: Vec::new() });
                continue;
            }
            assert!(number > 0, "a console block begins with output: {line}");
            steps.last_mut().unwrap().printed.push(line.clone());
        }
    }
    steps
}

/// Replaces what differs from run to run: times, ids of snapshots, and, in the lines that have
/// them, measured times and sizes that depend on the names of host and user.
fn stable(line: &str) -> String {
    let is_measured = ["  read ", "  time "].iter().any(|start| line.starts_with(start))
        || line.contains("(every byte read")
        || line.contains(" objects in ")
        || line.contains(" were verified since ");
    let is_shaped = |word: &str, shape: &str| {
        word.len() == shape.len()
            && word.bytes().zip(shape.bytes()).all(|(byte, kind)| match kind {
                b'0' => byte.is_ascii_digit(),
                b'f' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                other => byte == other,
            })
    };
    let word = |word: &str| -> String {
        let bare = word.trim_matches(['(', ')', ',', '.']);
        let is_number = bare.starts_with(|c: char| c.is_ascii_digit());
        match bare {
            _ if is_shaped(word, "0000-00-00") => "DATE".to_owned(),
            _ if is_shaped(word, "00:00:00") => "TIME".to_owned(),
            _ if is_shaped(word, "ffffffff") => "SNAPSHOT".to_owned(),
            "B" | "KiB" | "MiB" | "GiB" if is_measured => word.replace(bare, "UNIT"),
            _ if is_measured && is_number => word.replace(bare, "N"),
            _ => word.to_owned(),
        }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn stable_lines_hide_only_what_varies() {
    for (line, expected) in [
        ("  time     0.3 s", "  time     N s"),
        (
            "  read     38.1 MiB, stored 685 B (963 B before compression)",
            "  read     N UNIT, stored N UNIT (N UNIT before compression)",
        ),
        (
            "  in all   4 files, 0 directories, 38.1 MiB",
            "  in all   4 files, 0 directories, 38.1 MiB",
        ),
        ("default: job 2, snapshot 6eaa2620", "default: job 2, snapshot SNAPSHOT"),
        ("  1  default  2026-11-22 07:46:15  77182c30", "  1  default  DATE TIME  SNAPSHOT"),
    ] {
        assert_eq!(stable(line), expected);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "what was passed over is told")]
fn consoles_print_what_the_readme_shows() {
    const END: char = '\u{1e}';
    let steps = steps();
    assert!(steps.len() > 20);
    let mut script = String::new();
    for step in &steps {
        let command = match step.lacks() {
            Some(program) => {
                eprintln!("passed over, as {program} is not installed: {}", step.command);
                "true"
            }
            None => &step.command,
        };
        script.push_str(command);
        script.push_str("\nprintf '\\036%s\\036' \"$?\"\n");
    }
    let printed = Sandbox::new().run(&script);
    let mut parts = printed.split(END);
    for step in &steps {
        let (output, code) = (parts.next().unwrap(), parts.next());
        let code = code.unwrap_or_else(|| panic!("{}: the shell ended:\n{output}", step.command));
        if step.lacks().is_some() {
            continue;
        }
        assert_eq!(code, step.exit_code().to_string(), "{}:\n{output}", step.command);
        let lines =
            |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> { lines.map(stable).collect() };
        let expected = lines(&mut step.printed.iter().map(String::as_str));
        assert_eq!(lines(&mut output.lines()), expected, "{}", step.command);
    }
}

// Set-up.

#[test]
fn the_trial_of_the_install_command_works() {
    let install = "cargo install --locked --path .";
    let command = marked("install-command");
    assert!(command.contains(&format!("{install} && sh -euc '")), "{command}");
    let printed = Sandbox::new().run(&format!("set -e\n{}", command.replace(install, "true")));
    assert!(printed.lines().any(|line| line == "buy milk"), "{printed}");
}

#[test]
fn the_test_command_runs_these_tests() {
    assert_eq!(marked("test-command"), "cargo test --locked\n");
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock").exists());
}

#[test]
fn continuous_integration_runs_both_commands_from_the_readme() {
    use std::os::unix::fs::PermissionsExt;
    let run = read(".ci/run");
    for marker in ["install-command", "test-command"] {
        assert!(run.lines().any(|line| line == format!("run_block {marker}")), "{marker}");
    }
    assert!(run.contains("marker=\"<!-- $1 -->\""), "the markers are those of README.md");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run");
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "executable");
}

#[test]
fn the_licence_is_the_unmodified_mozilla_public_licence() {
    let licence = read("LICENSE");
    assert!(licence.starts_with("Mozilla Public License Version 2.0\n==="));
    assert_eq!(
        hex(&plain(licence.as_bytes())),
        "0bf594418f6bfc3add122ef82b0a104af3976278d007bb0062e4e52a09797e2f",
        "not the text as published"
    );
    assert!(read("Cargo.toml").lines().any(|line| line == "license = \"MPL-2.0\""));
}
