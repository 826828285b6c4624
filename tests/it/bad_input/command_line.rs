//! Arguments, ids, dates, targets, standard output, the cache.

use std::collections::BTreeMap;
use std::fs;

use super::{APP, backed_up, output_of, told};
use crate::sandbox::Sandbox;

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

#[test]
fn an_interrupted_backup_ends_soon_and_costs_nothing() {
    let sandbox = Sandbox::with_projects("  app:\n    include: [src]\n");
    sandbox.write("src/file", b"1");
    sandbox.run("runup backup").succeeds();
    // Nothing to read, and hours of hashing.
    sandbox.run("truncate -s 8T src/hole").succeeds();
    for (signal, sandbox) in [("INT", &sandbox), ("TERM", &sandbox)] {
        let mut command = sandbox.shell("exec runup --json backup");
        command.stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(700));
        assert!(child.try_wait().unwrap().is_none(), "it was to take hours");
        let began = std::time::Instant::now();
        sandbox.run(&format!("kill -{signal} {}", child.id())).succeeds();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal}: {stderr}");
        let last: serde_json::Value =
            serde_json::from_str(stderr.lines().last().unwrap_or_default()).unwrap();
        assert_eq!(last["code"], "interrupted", "{stderr}");
        // A look at the signal comes after each GiB of zeros at the latest.
        assert!(began.elapsed().as_secs() < 60, "{signal}: {:?}", began.elapsed());
    }
    sandbox.run("rm src/hole && runup check --read-data && runup backup").succeeds();
    assert_eq!(sandbox.run("runup-ls-snapshots").stdout().lines().count(), 2);
}

#[test]
fn a_repository_inside_the_source_is_left_out_wherever_it_is() {
    let sandbox = Sandbox::new();
    sandbox.write("runup.yaml", super::YAML.as_bytes());
    sandbox.write("a/b/file", b"1");
    sandbox.run("runup init --repository a/b/mine && ln -s a/b/mine link").succeeds();
    for repository in ["a/b/mine", "$PWD/a/../a/b/mine", "link"] {
        sandbox.run(&format!("RUNUP_REPOSITORY={repository} runup backup")).succeeds();
        let list = format!("RUNUP_REPOSITORY={repository} runup-ls-tree -r -t --name-only app");
        let names = sandbox.run(&list).succeeds().stdout();
        let names: Vec<&str> = names.lines().collect();
        assert_eq!(names, ["a", "a/b", "a/b/file", "link", "runup.yaml"], "{repository}");
    }
    sandbox.run("RUNUP_REPOSITORY=link runup check --read-data").succeeds();
}
