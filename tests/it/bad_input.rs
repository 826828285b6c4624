//! What people, scripts and accidents hand to the programs: each is used exactly or refused with the
//! code that is documented.
//!
//! Invariant: nothing is guessed, lost or left half done, and where JSON was asked for every line on
//! standard error is one JSON object.
//!
//! Where each sort of input is tried, and the exit code that it must lead to:
//!
//! | interface | input | code | tests |
//! |---|---|---|---|
//! | command line | unknown flags, missing and repeated operands, numbers out of range | 2 | `command_line` |
//! | | ids: short, odd, long, upper case, ambiguous | 2 | `command_line` |
//! | | names: not UTF-8, leading `-`, line ends, ESC, bidirectional marks | 0 | `names` |
//! | | paths of 5,000 bytes, empty paths | 2, 1 | `command_line` |
//! | | one source missing; all missing | 3; 1 | `sources` |
//! | | targets: a file, a link, a FIFO, inside the repository; not empty | 2; 3 | `command_line` |
//! | | the repository inside the source | 0 | `command_line`, `porcelain` |
//! | | closed standard output, `/dev/full`, a reader that had enough | 0, 14, 1 | `command_line` |
//! | | SIGINT, SIGTERM | 130 | `command_line`, `session` |
//! | runup.yaml | empty, a directory, a FIFO, a loop of links, over 1 MiB, not UTF-8, BOM, NUL | 2 | `runup_yaml` |
//! | | unknown and repeated keys, wrong types, numbers out of range, words such as `yes` | 2 | `runup_yaml` |
//! | | anchors, aliases, tags, depth over 32, two documents | 2 | `runup_yaml` |
//! | standard input | JSON that is cut, followed by more, too deep, too long, repeats a key, has numbers that are none | 2 | `standard_input` |
//! | | `path` and `path_b64` that disagree | 2 | `standard_input`, `mktree` |
//! | | trees: repeated names, `..`, bad modes, missing objects | 2; 1 | `mktree`, `standard_input` |
//! | | the same, stored already | 13 | `hostile::trees` |
//! | repository | missing, empty, of the Python RunUp | 10 | `repository` |
//! | | of a later version, with an unknown feature, encrypted | 15 | `repository` |
//! | | any file cut, extended, zeroed, flipped, swapped, copied, renamed, gone, replaced | 4 | `damage` |
//! | | lengths and counts beyond all memory, lengths that overflow, frames that overlap | 4 | `repository`, `hostile::sizes`, `fuzz_corpora` |
//! | | frames that decompress to more than they say | 4 | `repository`, `fuzz_corpora` |
//! | | an object in the place of another kind | 4 | `hostile::trees` |
//! | | trees that are too deep | 13 | `hostile::trees` |
//! | | stray and temporary files | 0 | `damage` |
//! | | snapshots dated 1900, 2200, before their parent | 0; 2 | `command_line`; `forget` |
//! | sources | changing, cut, vanishing, replaced by FIFOs and links, in directories that are renamed | 3 | `races` |
//! | | unreadable, on a failing disk | 3 | `sources`, `races` |
//! | archives | cut, followed by more, compressed, hostile | 1, 13 | `import_archive`, `fuzz_corpora` |
//!
//! There are no secrets, includes or variables in a project file, no passwords, and no object stores, so
//! that there is no input of those sorts.

mod command_line;
mod names;
mod repository;
mod runup_yaml;
mod sources;
mod standard_input;

use std::process::Output;

use crate::sandbox::Sandbox;

const APP: &str = "  app:\n    include: ['.']\n";
/// A head without an end.
const YAML: &str = "version: '1'\nproject:\n  app:\n    include: ['.']\n";

fn output_of(sandbox: &Sandbox, script: &str) -> Output {
    sandbox.shell(script).output().unwrap()
}

/// Runs a script that must end with this code and tell only JSON on standard error; the last line.
fn told(sandbox: &Sandbox, script: &str, code: i32) -> serde_json::Value {
    let output = output_of(sandbox, script);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{script}: {stderr}");
    let lines: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).expect(script)).collect();
    for line in &lines {
        assert!(line.is_object() && line["message_type"].is_string(), "{script}: {line}");
    }
    let last = lines.last().cloned().unwrap_or_default();
    if last["message_type"] == "exit_error" {
        assert_eq!(last["exit_code"], code, "{script}");
    }
    last
}

fn backed_up() -> Sandbox {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("file", b"1");
    sandbox.write("dir/below", b"2");
    sandbox.run("runup backup").succeeds();
    sandbox
}

/// Feeds bytes to a script.
fn fed(sandbox: &Sandbox, script: &str, bytes: &[u8]) -> Output {
    sandbox.write("../fed", bytes);
    output_of(sandbox, &format!("{script} <../fed"))
}
