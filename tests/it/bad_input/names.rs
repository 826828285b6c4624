//! Names that a text format, a shell or a terminal could take for something else.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::{APP, YAML, fed, output_of};
use crate::sandbox::Sandbox;

/// Names that a text format, a shell or a terminal could take for something else.
const NAMES: [&[u8]; 9] = [
    b"-rf",
    b"--json",
    b"new\nline",
    b"carriage\rreturn",
    b"\x1b[2Jescape",
    "turn\u{202e}ed".as_bytes(),
    b"not\xffutf8",
    b" ",
    b"\\x41",
];

#[test]
fn odd_names_are_kept_to_the_byte() {
    let sandbox = Sandbox::with_projects(APP);
    for name in NAMES {
        fs::write(sandbox.context().join(OsStr::from_bytes(name)), name).unwrap();
    }
    sandbox.run("runup backup").succeeds();
    sandbox.run("runup restore -f --location ../restored").succeeds();
    sandbox.run("runup-checkout app --to ../checked").succeeds();
    let expected: Vec<String> =
        sandbox.look(".").into_iter().filter(|line| !line.starts_with(".runup")).collect();
    assert_eq!(sandbox.look("../restored"), expected);
    assert_eq!(sandbox.look("../checked"), expected);

    let listed = output_of(&sandbox, "runup-ls-tree -r -z --name-only app").stdout;
    let listed: Vec<&[u8]> = listed.split(|byte| *byte == 0).collect();
    for name in NAMES {
        assert!(listed.contains(&name), "{}", name.escape_ascii());
    }
    // One record a line, whatever the names hold.
    let records = output_of(&sandbox, "runup-ls-tree -r app").stdout;
    let records = String::from_utf8(records).unwrap();
    assert_eq!(records.lines().count(), NAMES.len() + 1);
    for line in records.lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let is_utf8 = record["path_b64"].is_null();
        assert_ne!(is_utf8, record["path"].as_str().unwrap().contains('\u{fffd}'), "{line}");
    }
    assert!(records.contains("\"path_b64\":\"bm90/3V0Zjg=\""), "{records}");

    let script = "runup-checkout app --to ../some --stdin -z -- -rf";
    assert!(fed(&sandbox, script, b"not\xffutf8\0new\nline\0").status.success());
    assert_eq!(fs::read_dir(sandbox.path("../some")).unwrap().count(), 3);
    sandbox.run("runup-rev-parse app:--json 'app: ' 'app:./-rf'").succeeds();
    sandbox.run("runup-hash-object -- -rf --json").succeeds();
    sandbox.run("runup-hash-object -rf").exits(2);
}

#[test]
fn directories_with_odd_names_serve_as_context_repository_and_target() {
    let sandbox = Sandbox::new();
    for name in NAMES {
        let context = sandbox.context().join(OsStr::from_bytes(name));
        fs::create_dir(&context).unwrap();
        fs::write(context.join("runup.yaml"), YAML).unwrap();
        fs::write(context.join("file"), name).unwrap();
        let run = |script: &str| {
            let output = sandbox.shell(script).env("D", OsStr::from_bytes(name)).output().unwrap();
            assert!(output.status.success(), "{}: {output:?}", name.escape_ascii());
            output.stdout
        };
        run("runup --context=\"$D\" init --json && runup --context=\"$D\" --json backup");
        let restored = run("runup --context=\"$D\" restore -f --json --location=\"../$D\"");
        let record: serde_json::Value = serde_json::from_slice(&restored).unwrap();
        assert_eq!(record["target_b64"].is_null(), str::from_utf8(name).is_ok());
        run("runup-checkout app --repository=\"$D/.runup\" --to=\"../$D/again\"");
        let target = sandbox.path("..").join(OsStr::from_bytes(name));
        assert_eq!(fs::read(target.join("again/file")).unwrap(), name);
        assert_eq!(fs::read(target.join("file")).unwrap(), name);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "what was passed over is told")]
fn on_a_terminal_names_are_only_text() {
    let sandbox = Sandbox::with_projects(APP);
    if sandbox.run("command -v script").exit_code() != Some(0) {
        eprintln!("passed over, as script(1) is not installed");
        return;
    }
    for name in NAMES {
        fs::write(sandbox.context().join(OsStr::from_bytes(name)), name).unwrap();
    }
    sandbox.run("runup backup").succeeds();
    for command in [
        "runup ls app",
        "runup-ls-tree --name-only app",
        "runup-ls-tree --format=b3sum app",
        "find . | runup-check-ignore --plain --stdin --exclude /",
    ] {
        let shown = output_of(&sandbox, &format!("script -qec '{command}' /dev/null")).stdout;
        let shown = String::from_utf8(shown).expect("text, whatever the names are");
        let is_harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        // The terminal itself ends lines so.
        let shown = shown.replace("\r\n", "\n");
        assert!(!shown.contains(is_harmful), "{command}: {}", shown.escape_debug());
        assert!(shown.contains("escape"), "{command}: {shown}");
    }
}
