//! What people, scripts and accidents hand to the programs: each is used exactly or refused with the
//! code that is documented.
//!
//! Invariant: nothing is guessed, lost or left half done, and where JSON was asked for every line on
//! standard error is one JSON object.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
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

#[test]
fn wrong_arguments_are_told_and_nothing_is_done() {
    let sandbox = backed_up();
    let names = || sandbox.run("find . | sort").stdout();
    let before = names();
    for script in [
        "runup",
        "runup nope",
        "runup --nope",
        "runup backup --nope",
        "runup backup app app",
        "runup backup nope",
        "runup backup --jobs 0",
        "runup backup --jobs 257",
        "runup restore -f --job x",
        "runup restore -f --job -1",
        "runup restore -f --job 0",
        "runup restore -f --job 18446744073709551615",
        "runup restore -f --job 18446744073709551616",
        "runup restore -f nope",
        "runup restore -f --location ''",
        "runup init --compression gzip",
        "runup init --compression zstd:0",
        "runup -c '' backup",
        "runup -c nope backup",
        "runup -c file backup",
        "runup --repository '' snapshots",
        "runup check nope",
    ] {
        sandbox.run(script).exits(2);
    }
    for script in [
        "runup backup --json --nope",
        "runup --json --nope",
        "runup --json backup nope",
        "runup --json restore -f --job 7",
        "runup-cat-object app",
        "runup-cat-object -t -s app",
        "runup-cat-object -t",
        "runup-cat-snapshot",
        "runup-checkout app",
        "runup-checkout --to out",
        "runup-checkout app --to out --to out",
        "runup-checkout app --to ''",
        "runup-checkout app --to out --stdin",
        "runup-checkout app --to out ../x",
        "runup-checkout app:file --to out",
        "runup-fsck --nope",
        "runup-hash-object",
        "runup-ls-tree",
        "runup-ls-tree app ../x",
        "runup-ls-tree app absent",
        "runup-ls-tree app:absent",
        "runup-ls-tree app:file/x",
        "runup-rev-parse",
        "runup-write-snapshot",
        "runup-write-snapshot --project ''",
        "runup-write-snapshot --project ../x",
        "runup-write-snapshot --project -x",
        "runup-write-snapshot --project x --links 12",
        "runup-write-snapshot --project x --tree zz",
        "runup-write-snapshot --project x --tree app",
        "runup-write-tree ''",
        "runup-write-tree --jobs x .",
    ] {
        told(&sandbox, script, 2);
    }
    assert_eq!(names(), before);
    for program in ["runup", "runup backup", "runup-checkout"] {
        sandbox.run(&format!("{program} --help && {program} --version")).succeeds();
    }
}

#[test]
fn ids_are_whole_lower_case_or_first_digits() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.run("mkdir many; cd many; for n in $(seq 1200); do echo $n >$n; done").succeeds();
    sandbox.run("runup backup").succeeds();
    let whole = sandbox.run("runup-rev-parse --plain app").stdout().trim().to_owned();
    assert_eq!(whole.len(), 64);
    for bad in [
        "''",
        &whole[..3],
        &whole.to_uppercase(),
        &format!("{whole}0"),
        &format!("{}g", &whole[..63]),
        &format!("0x{whole}"),
        &format!("' {whole}'"),
        "project/",
        "project/nope",
        "app@",
        "app@x",
        "app@-1",
        "app@18446744073709551616",
        "app@7",
        "app@{}",
        "'app@{2026-02-30}'",
        "app~x",
        "app~1",
        "app~18446744073709551615",
        ":",
        "$(printf '\\377')",
    ] {
        told(&sandbox, &format!("runup-rev-parse {bad}"), 2);
    }
    for good in [&whole, &whole[..32], "app", "latest", "project/app", "app@1", "app~0"] {
        let found = sandbox.run(&format!("runup-rev-parse --plain {good}")).succeeds().stdout();
        assert_eq!(found.trim(), whole, "{good}");
    }
    let listed = sandbox.run("runup-ls-tree -r app").succeeds().stdout();
    let mut by_prefix: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in listed.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = record["id"].as_str().unwrap().to_owned();
        by_prefix.entry(id[..4].to_owned()).or_default().push(id);
    }
    let (prefix, ids) = by_prefix.into_iter().find(|(_, ids)| ids.len() > 1).unwrap();
    let error = told(&sandbox, &format!("runup-rev-parse {prefix}"), 2);
    assert_eq!(error["code"], "ambiguous_revision");
    let answer = output_of(&sandbox, &format!("echo {prefix} | runup-cat-object --batch-check"));
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["status"], "ambiguous");
    let candidates = answer["candidates"].as_array().unwrap();
    assert!(candidates.len() <= 10);
    for id in ids {
        assert!(error["message"].as_str().unwrap().contains(&id));
        assert!(candidates.contains(&id.into()));
    }
}

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
fn paths_longer_than_the_system_takes_are_told() {
    let sandbox = backed_up();
    let long = "a".repeat(5000);
    for script in [
        format!("runup-ls-tree app:{long}"),
        format!("runup-rev-parse {long}"),
        format!("runup --json -c {long} backup"),
        format!("runup-write-snapshot --project {long}"),
    ] {
        told(&sandbox, &script, 2);
    }
    let answer = sandbox.run(&format!("runup-hash-object {long} file")).exits(3).stdout();
    let answers: Vec<serde_json::Value> =
        answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[0]["path"].as_str().unwrap().len(), 5000);
    assert!(answers[0]["id"].is_null() && answers[0]["error"]["code"] == "unreadable");
    assert!(answers[1]["id"].is_string() && answers[1]["error"].is_null());
    for script in [
        format!("runup-checkout app --to {long}"),
        format!("runup --json restore -f --location {long}"),
    ] {
        told(&sandbox, &script, 1);
    }
}

#[test]
fn missing_sources_are_told_and_the_others_saved() {
    let projects = "  app:\n    include: [there, absent]\n  none:\n    include: [absent, gone]\n";
    let sandbox = Sandbox::with_projects(projects);
    sandbox.write("there/file", b"1");
    let last = told(&sandbox, "runup --json backup", 3);
    assert_eq!(last["message_type"], "error");
    let listed = sandbox.run("runup-ls-snapshots").succeeds();
    assert_eq!((listed.stdout().lines().count(), &listed.record()["project"]), (1, &"app".into()));
    sandbox.run("runup-rev-parse app:there/file").succeeds();
    told(&sandbox, "runup --json backup none", 1);
    assert_eq!(sandbox.run("runup-ls-snapshots").stdout().lines().count(), 1);
    told(&sandbox, "runup-write-tree absent", 1);
    told(&sandbox, "runup-write-tree there/file", 2);
}

#[test]
fn sources_that_cannot_be_read_or_go_away_are_told() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // A directory of one's own below one that anybody may enter.
    let sandbox = Sandbox::with_projects("  app:\n    include: [src]\n");
    sandbox.write("src/file", b"1");
    sandbox.write("src/secret", b"2");
    sandbox.write("src/closed/file", b"3");
    sandbox.run("mkfifo src/fifo && chmod 700 src/closed && chmod 600 src/secret").succeeds();
    sandbox.run("chown -R 65534:65534 . .. && chown -R 0:0 src/secret src/closed").succeeds();
    let mut command = sandbox.shell("runup --json backup");
    command.uid(65_534).gid(65_534);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for name in ["src/secret", "src/closed"] {
        assert!(
            stderr.lines().any(|line| line.contains(&format!("\"item\":\"{name}\""))),
            "{stderr}"
        );
    }
    let names = sandbox.run("runup-ls-tree -r --name-only app").succeeds().stdout();
    assert!(names.contains("src/file") && names.contains("src/fifo"), "{names}");
    // What could not be read is not taken for removed.
    sandbox.run("runup restore -f --clear-location").succeeds();
    assert_eq!(sandbox.read("src/secret"), b"2");
    assert_eq!(sandbox.read("src/closed/file"), b"3");
}

#[test]
fn targets_that_are_no_directories_are_refused() {
    let sandbox = backed_up();
    sandbox.run("mkdir ../real; ln -s real ../link; mkfifo ../fifo; : >../plain").succeeds();
    for location in ["../link", "../fifo", "../plain", ".runup", ".runup/in", "./.runup/tmp"] {
        told(&sandbox, &format!("runup --json restore -f --location {location}"), 2);
    }
    for location in ["../link", "../link/", "../link/."] {
        told(&sandbox, &format!("runup-checkout app --to {location}"), 2);
    }
    assert_eq!(fs::read_dir(sandbox.path("../real")).unwrap().count(), 0);
    assert!(!sandbox.exists(".runup/in"));
    told(&sandbox, "runup --json restore", 2);
    assert_eq!(told(&sandbox, "echo y | runup --json restore", 2)["code"], "no_terminal");
    // What differs is kept unless asked.
    sandbox.write("../kept/file", b"mine");
    let kept = output_of(&sandbox, "runup-checkout app --to ../kept");
    assert_eq!(kept.status.code(), Some(3), "{kept:?}");
    assert_eq!(sandbox.read("../kept/file"), b"mine");
    assert_eq!(sandbox.read("../kept/dir/below"), b"2");
    sandbox.run("runup check").succeeds();
}

#[test]
fn a_reader_that_had_enough_is_no_news_and_a_full_device_is() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox
        .run("mkdir many; cd many; for n in $(seq 1000); do : >a-rather-long-name-$n; done")
        .succeeds();
    sandbox.run("runup backup").succeeds();
    for script in [
        "runup-ls-tree -r app",
        "runup ls app",
        "runup-cat-object -p app:many",
        "runup-cat-object --batch-all-objects",
        "runup-rev-list --objects app",
        "runup-diff-tree -r --root app",
        "runup-archive app",
        "find many | runup-hash-object --stdin-paths",
        "find many | runup-check-ignore -n --stdin",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = sandbox.shell(&format!("exec {script}")).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{script}: {output:?}");
        assert!(output.stderr.is_empty(), "{script}: {output:?}");
    }
    for script in ["runup-ls-tree -r app", "runup-cat-snapshot app", "runup-fsck"] {
        let error = told(&sandbox, &format!("{script} >/dev/full"), 14);
        assert_eq!(error["code"], "no_space", "{script}");
    }
    // The job was published before there was anything to print.
    assert_eq!(output_of(&sandbox, "runup --json backup >/dev/full").status.code(), Some(14));
    assert_eq!(output_of(&sandbox, "runup --json backup >&- 2>&-").status.code(), Some(0));
    sandbox.run("runup check").succeeds();
}

#[test]
fn project_files_of_every_bad_sort_are_refused_with_their_line() {
    let sandbox = Sandbox::with_projects(APP);
    let head = "version: '1'\nproject:\n  app:\n";
    let deep = format!("{head}    include: {}{}\n", "[".repeat(40), "]".repeat(40));
    let long = format!("{YAML}#{}\n", "x".repeat(1 << 20));
    let bad: [(&[u8], usize); 26] = [
        (b"", 1),
        (b"# nothing\n", 1),
        (b"just text\n", 1),
        (b"\xef\xbb\xbfversion: '1'\n", 1),
        (b"version: '1'\nproject: \xff\n", 2),
        (b"version: '1'\nproject:\0\n", 2),
        (b"version: '1'\n\x1b[2J\n", 2),
        (b"\xff\xfev\0e\0", 1),
        (b"version: 1\nproject: {a: {include: [.]}}\n", 1),
        (b"version: '9'\nproject: {a: {include: [.]}}\n", 1),
        (b"version: '1'\n", 1),
        (b"version: '1'\nproject: {}\n", 2),
        (b"version: '1'\nproject:\n  app: {}\n", 3),
        (b"version: '1'\nproject:\n  ../x: {include: [.]}\n", 3),
        (b"version: '1'\nproject:\n  yes: {include: [.]}\n", 3),
        (b"version: '1'\nproject: {a: {include: [.]}}\nmore: 1\n", 3),
        (b"version: '1'\nproject: {a: {include: [.]}}\nversion: '1'\n", 3),
        (b"version: '1'\nproject: {a: {include: [.]}}\njobs: 257\n", 3),
        (b"version: '1'\nproject: {a: {include: [.]}}\n---\nversion: '1'\n", 3),
        (b"version: '1'\nproject:\n  app:\n    include: &a [.]\n", 4),
        (b"version: '1'\nproject:\n  app:\n    include: *a\n", 4),
        (b"version: '1'\nproject:\n  app:\n    include: !!set [.]\n", 4),
        (b"version: '1'\nproject:\n  app:\n    include: [..]\n", 4),
        (b"version: '1'\nproject:\n  app:\n    include: .\n", 4),
        (deep.as_bytes(), 4),
        (long.as_bytes(), 5),
    ];
    for (bytes, line) in bad {
        sandbox.write("runup.yaml", bytes);
        for command in ["backup", "restore -f", "init"] {
            let error = told(&sandbox, &format!("runup --json {command}"), 2);
            let message = error["message"].as_str().unwrap();
            assert_eq!(error["code"], "project_file", "{message}");
            assert!(message.contains("runup.yaml"), "{message}");
            assert!(message.contains(&format!("line {line}")), "{line}: {message}");
            assert!(message.len() < 500 && !message.contains('\x1b'), "{message}");
        }
        told(&sandbox, "runup-ls-tree app", 2);
    }
    for script in ["mkdir runup.yaml", "mkfifo runup.yaml", "ln -s runup.yaml runup.yaml"] {
        sandbox.run(&format!("rm -rf runup.yaml; {script}")).succeeds();
        let error = told(&sandbox, "timeout -s KILL 10 runup --json backup", 2);
        assert!(error["message"].as_str().unwrap().contains("runup.yaml"), "{error}");
    }
    sandbox.run("rm -rf runup.yaml; ln -s absent runup.yaml; runup backup").exits(2);
    assert!(!sandbox.exists("absent"));
    assert_eq!(sandbox.run("rm runup.yaml; runup-ls-snapshots").succeeds().stdout(), "");
}

#[test]
fn records_on_standard_input_are_whole_or_refused() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("src/file", b"1");
    let record = sandbox.run("runup-write-tree src").succeeds().stdout();
    let record = record.trim_end();
    let swap = |from: &str, to: &str| {
        assert!(record.contains(from), "{from}: {record}");
        record.replacen(from, to, 1).into_bytes()
    };
    let dot = r#"{"path":".","path_b64":null}"#;
    let absent = "7".repeat(64);
    let tree = serde_json::from_str::<serde_json::Value>(record).unwrap()["tree"].clone();
    let tree = tree.as_str().unwrap().to_owned();
    let mut bad: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\r\n \n".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"\xff".to_vec(),
        tree[..63].to_owned().into_bytes(),
        "[".repeat(100_000).into_bytes(),
        format!("{{\"more\":{}", "[".repeat(100_000)).into_bytes(),
        format!("{{\"more\":{}", "{\"a\":".repeat(100_000)).into_bytes(),
        format!("{record} x").into_bytes(),
        format!("{record}\n{record}\n").into_bytes(),
        format!("{record}\0{record}\0").into_bytes(),
        swap("\"files\":1", "\"files\":NaN"),
        swap("\"files\":1", "\"files\":1e999"),
        swap("\"files\":1", "\"files\":-1"),
        swap("\"files\":1", "\"files\":1.5"),
        swap("\"files\":1", "\"files\":\"1\""),
        swap("\"files\":1", "\"files\":18446744073709551616"),
        swap("\"files\":1", "\"files\":1,\"files\":1"),
        swap("{", &format!("{{\"tree\":\"{tree}\",")),
        swap(&tree, &tree.to_uppercase()),
        swap(&tree, &tree[..63]),
        swap(dot, r#"{"path":"\ud800","path_b64":null}"#),
        swap(dot, r#"{"path":"a","path_b64":"Yg=="}"#),
        swap(dot, r#"{"path":"a","path_b64":"YQ=="}"#),
        swap(dot, r#"{"path":"a","path_b64":"!"}"#),
        swap("\"mode\":\"0755\"", "\"mode\":\"10000\""),
        swap("\"mode\":\"0755\"", "\"mode\":\"755\""),
        swap("\"skipped\":[]", "\"skipped\":[{}]"),
        swap("\"links\":null", "\"links\":\"x\""),
    ];
    bad.extend((1..record.len()).step_by(37).map(|length| record.as_bytes()[..length].to_vec()));
    for bytes in bad {
        let start = bytes[..bytes.len().min(300)].escape_ascii().to_string();
        // Far less memory than a parser without limits would take.
        let script = "ulimit -v 2000000; runup-write-snapshot --project app";
        let output = fed(&sandbox, script, &bytes);
        assert_eq!(output.status.code(), Some(2), "{start}: {output:?}");
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["exit_code"], 2, "{start}");
    }
    // Well formed, but of what is not there.
    let output = fed(&sandbox, "runup-write-snapshot --project app", &swap(&tree, &absent));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(sandbox.run("runup-ls-snapshots").succeeds().stdout(), "");
    let output =
        fed(&sandbox, "runup-write-snapshot --project app", format!("{record}\r\n").as_bytes());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    sandbox.run("runup check").succeeds();
}

#[test]
fn records_without_end_are_refused_in_bounded_memory() {
    let sandbox = Sandbox::with_projects(APP);
    let script =
        "ulimit -v 2000000; head -c 300000000 /dev/zero | runup-write-snapshot --project app";
    told(&sandbox, script, 2);
    let script = "head -c 5000000 /dev/zero | tr '\\0' a | runup-cat-object --batch-check";
    told(&sandbox, script, 2);
    let script = "head -c 5000000 /dev/zero | tr '\\0' a | runup-hash-object --stdin-paths";
    told(&sandbox, script, 2);
}

#[test]
fn what_is_no_repository_is_told_apart() {
    let sandbox = Sandbox::new();
    sandbox.write("runup.yaml", YAML.as_bytes());
    sandbox
        .run("mkdir empty fifo odd; mkfifo pipe; mkfifo fifo/config; mkdir odd/config; : >plain")
        .succeeds();
    for repository in ["absent", "empty", "plain", "pipe", "/dev/null", "absent/below"] {
        for program in
            ["runup-ls-tree app", "runup-fsck", "runup --json snapshots", "runup --json backup"]
        {
            told(&sandbox, &format!("RUNUP_REPOSITORY={repository} {program}"), 10);
        }
        let script = format!("runup-cat-object -e 1234 --repository {repository}");
        told(&sandbox, &script, 5);
    }
    for repository in ["fifo", "odd"] {
        told(&sandbox, &format!("RUNUP_REPOSITORY={repository} runup --json snapshots"), 4);
    }
    told(&sandbox, "runup --json backup", 10);
    told(&sandbox, "runup-ls-tree app", 10);
    assert!(!sandbox.exists(".runup"));
    sandbox.write("full/mine", b"1");
    told(&sandbox, "runup --json init --repository full", 2);
    assert_eq!(fs::read_dir(sandbox.path("full")).unwrap().count(), 1);
}

#[test]
fn configurations_that_are_damaged_or_of_tomorrow_are_told_apart() {
    let sandbox = backed_up();
    let config = sandbox.read(".runup/config");
    let text = String::from_utf8(config.clone()).unwrap();
    let json = text.lines().next().unwrap();
    let programs =
        ["runup --json backup", "runup --json restore -f", "runup-ls-tree app", "runup-fsck"];
    let refused = |bytes: &[u8], code| {
        sandbox.write(".runup/config", bytes);
        for program in programs {
            told(&sandbox, program, code);
        }
    };
    for (from, to) in [
        ("\"format_version\":1", "\"format_version\":2"),
        ("\"format_version\":1", "\"format_version\":4294967295"),
        ("\"required_features\":[]", "\"required_features\":[\"wings\"]"),
    ] {
        assert!(json.contains(from), "{json}");
        let json = format!("{}\n", json.replace(from, to));
        let sealed = format!("{json}{}\n", blake3::hash(json.as_bytes()).to_hex());
        refused(sealed.as_bytes(), 15);
    }
    for at in [0, config.len() / 3, config.len() - 2] {
        let mut flipped = config.clone();
        flipped[at] ^= 1;
        refused(&flipped, 4);
    }
    for bytes in [&b""[..], &config[..config.len() / 2], &[&config[..], b"\n"].concat(), &[0; 600]]
    {
        refused(bytes, 4);
    }
    sandbox.write(".runup/config", &config);
    sandbox.run("runup check").succeeds();
}

#[test]
fn a_repository_of_the_python_runup_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("runup.yaml", YAML.as_bytes());
    sandbox.write(".runup/runup.db", b"SQLite format 3\0");
    sandbox.write(".runup/data/1.zip", b"PK");
    let before = sandbox.look(".runup");
    for program in [
        "runup --json init",
        "runup --json backup",
        "runup --json restore -f --clear-location",
        "runup --json snapshots",
        "runup --json check",
        "runup-ls-tree app",
        "runup-write-tree .",
        "runup-fsck",
    ] {
        let error = told(&sandbox, program, 10);
        assert_eq!(error["code"], "python_repository", "{program}");
        assert!(error["message"].as_str().unwrap().contains("Python"), "{program}");
    }
    assert_eq!(sandbox.look(".runup"), before);
}

#[test]
fn dates_are_exact_or_refused() {
    let sandbox = backed_up();
    for date in [
        "nonsense",
        "@",
        "@x",
        "@99999999999999999999",
        "-1",
        "2026-11-22",
        "2026-11-22T05:00:00",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-22T05:00:00Z ",
    ] {
        let error = told(&sandbox, &format!("RUNUP_DATE='{date}' runup --json backup"), 2);
        assert!(error["message"].as_str().unwrap().contains("RUNUP_DATE"), "{error}");
    }
    assert_eq!(sandbox.run("runup-ls-snapshots").succeeds().stdout().lines().count(), 1);
    for (date, time) in [
        ("@0", "1970-01-01T00:00:00"),
        ("2200-01-01T00:00:00+02:00", "2200-01-01T00:00:00"),
        ("1900-01-01T00:00:00Z", "1900-01-01T00:00:00"),
    ] {
        sandbox.run(&format!("RUNUP_DATE='{date}' runup backup")).succeeds();
        let snapshot = sandbox.run("runup-cat-snapshot app").succeeds().record();
        assert!(snapshot["time"].as_str().unwrap().starts_with(time), "{snapshot}");
    }
    sandbox.run("runup snapshots && runup check").succeeds();
}

#[test]
fn a_cache_that_cannot_be_used_costs_time_only() {
    let sandbox = backed_up();
    for cache in ["/dev/null", "/proc/absent", "$PWD/file"] {
        let output = output_of(&sandbox, &format!("RUNUP_CACHE_DIR={cache} runup --json backup"));
        assert_eq!(output.status.code(), Some(0), "{cache}: {output:?}");
        for line in String::from_utf8(output.stderr).unwrap().lines() {
            let note: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(note["message_type"], "note");
        }
    }
    sandbox.run("find ../cache -name '*.stat' -exec cp file {} ';' && runup backup").succeeds();
    sandbox.run("unset HOME RUNUP_CACHE_DIR; runup backup").succeeds();
    sandbox.run("runup check --read-data").succeeds();
}
