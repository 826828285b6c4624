//! The commands that people type: init, backup, restore, and what they promise.

use crate::sandbox::Sandbox;

const APP: &str = "  app:\n    include: ['.']\n    exclude: [cache, '*.tmp']\n";

#[test]
fn init_writes_a_project_file_that_works_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write("file", b"1");
    let ran = sandbox.run("runup init").succeeds();
    assert!(ran.stdout().contains("runup.yaml"), "{}", ran.stdout());
    sandbox.run("runup backup").succeeds();
    sandbox.run("runup init").exits(1);
    sandbox.run("runup backup unknown").exits(2);
}

#[test]
fn each_job_restores_as_if_it_were_full() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("a", b"one");
    sandbox.write("dir/b", b"two");
    sandbox.run("runup backup").succeeds();
    sandbox.write("a", b"changed");
    sandbox.run("rm dir/b; mv dir moved").succeeds();
    let second = sandbox.run("runup backup --json").succeeds().record();
    assert_eq!(second["job"], 2);
    assert_eq!(second["files_changed"], 1);
    sandbox.run("runup restore --force --job 1 --location ../one").succeeds();
    sandbox.run("runup restore --force --location ../two").succeeds();
    assert_eq!(sandbox.read("../one/a"), b"one");
    assert_eq!(sandbox.read("../one/dir/b"), b"two");
    assert_eq!(sandbox.read("../two/a"), b"changed");
    assert!(sandbox.exists("../two/moved") && !sandbox.exists("../two/dir"));
    sandbox.run("runup restore --force --job 3 --location ../three").exits(2);
    sandbox.run("runup restore --location ../four").exits(2);
}

#[test]
fn nothing_is_stored_twice() {
    let sandbox = Sandbox::with_projects(APP);
    let noise: Vec<u8> =
        (0..400_000_u32).flat_map(|n| n.wrapping_mul(n ^ 0x4d).to_le_bytes()).collect();
    sandbox.write("original", &noise);
    sandbox.write("copy", &noise);
    let first = sandbox.run("runup backup --json").succeeds().record();
    assert!(first["data_added"].as_u64().unwrap() < noise.len() as u64 * 3 / 2);
    sandbox.run("mv original renamed").succeeds();
    let second = sandbox.run("runup backup --json").succeeds().record();
    assert!(second["data_added"].as_u64().unwrap() < 4096, "{second}");
    let third = sandbox.run("runup backup --json").succeeds().record();
    assert_eq!((&third["files_new"], &third["files_changed"]), (&0.into(), &0.into()));
}

#[test]
fn excluded_and_repository_are_not_stored_and_not_cleared() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("keep", b"1");
    sandbox.write("cache/x", b"2");
    sandbox.write("sub/scratch.tmp", b"3");
    sandbox.write("sub/kept", b"4");
    sandbox.run("runup backup").succeeds();
    let names = sandbox.run("runup-ls-tree -r --name-only app").succeeds().stdout();
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names, ["keep", "runup.yaml", "sub/kept"]);
    sandbox.write("later/new", b"5");
    sandbox.write("later/new.tmp", b"6");
    sandbox.write("sub/extra", b"7");
    sandbox.run("rm keep").succeeds();
    let plain = sandbox.run("runup restore --force --json").succeeds().record();
    assert_eq!((&plain["files_restored"], &plain["files_deleted"]), (&1.into(), &0.into()));
    assert!(sandbox.exists("later/new"));
    let cleared = sandbox.run("runup restore --force --clear-location --json").succeeds().record();
    assert_eq!(cleared["files_deleted"], 2, "{cleared}");
    for kept in
        ["cache/x", "sub/scratch.tmp", "later/new.tmp", ".runup/config", "runup.yaml", "keep"]
    {
        assert!(sandbox.exists(kept), "{kept}");
    }
    for gone in ["later/new", "sub/extra"] {
        assert!(!sandbox.exists(gone), "{gone}");
    }
}

#[test]
fn clearing_stays_inside_the_includes() {
    let sandbox =
        Sandbox::with_projects("  app:\n    include: [src]\n  other:\n    include: [docs]\n");
    sandbox.write("src/a", b"1");
    sandbox.write("docs/b", b"2");
    sandbox.write("outside", b"3");
    sandbox.run("runup backup").succeeds();
    sandbox.write("src/new", b"4");
    sandbox.write("docs/new", b"5");
    sandbox.run("runup restore app --force --clear-location").succeeds();
    assert!(!sandbox.exists("src/new"));
    assert!(sandbox.exists("docs/new") && sandbox.exists("outside"));
}

#[test]
fn what_could_not_be_read_is_named_and_never_cleared() {
    let sandbox = Sandbox::with_projects("  app:\n    include: [src, missing]\n");
    sandbox.write("src/a", b"1");
    let ran = sandbox.run("runup backup").exits(3);
    assert!(ran.stderr().contains("missing"), "{}", ran.stderr());
    let snapshot = sandbox.run("runup-cat-snapshot app").succeeds().record();
    assert_eq!(snapshot["skipped"][0]["path"], "missing");
    sandbox.write("missing/file", b"2");
    sandbox.run("runup restore --force --clear-location").succeeds();
    assert!(sandbox.exists("missing/file"));
    let sandbox = Sandbox::with_projects("  app:\n    include: [missing]\n");
    sandbox.run("runup backup").exits(1);
    assert_eq!(sandbox.run("runup-ls-snapshots").succeeds().stdout(), "");
}

#[test]
fn absolute_includes_land_below_a_location_and_go_back_without_one() {
    let sandbox = Sandbox::new();
    sandbox.write("../elsewhere/dir/file", b"1");
    let elsewhere = sandbox.path("../elsewhere").canonicalize().unwrap();
    let include = elsewhere.join("dir").display().to_string();
    let yaml = format!("version: '1.0'\nproject:\n  app:\n    include: ['{include}', here]\n");
    sandbox.write("runup.yml", yaml.as_bytes());
    sandbox.write("here/file", b"2");
    sandbox.run("runup init && runup backup").succeeds();
    sandbox.run("runup restore -f -l ../out").succeeds();
    let below = format!("../out{include}/file");
    assert_eq!(sandbox.read(&below), b"1");
    assert_eq!(sandbox.read("../out/here/file"), b"2");
    sandbox.run("rm -r ../elsewhere/dir here").succeeds();
    sandbox.write("../elsewhere/untouched", b"3");
    sandbox.run("runup restore -f --clear-location").succeeds();
    assert_eq!(sandbox.read("../elsewhere/dir/file"), b"1");
    assert_eq!(sandbox.read("here/file"), b"2");
    assert!(sandbox.exists("../elsewhere/untouched"));
}

#[test]
fn the_context_may_be_elsewhere_and_the_repository_too() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "project/runup.yaml",
        b"version: '1'\nstorage: ../store\nproject:\n  p:\n    include: [a]\n",
    );
    sandbox.write("project/a", b"1");
    sandbox.run("runup -c project init; runup backup --context project").succeeds();
    assert!(sandbox.exists("store/config"));
    sandbox.run("cd project && runup-ls-tree p").succeeds();
    sandbox.run("runup-ls-tree p").exits(10);
    sandbox.run("RUNUP_REPOSITORY=store runup-ls-tree p").succeeds();
    sandbox.run("runup-ls-tree --repository store p").succeeds();
}

#[test]
fn a_python_repository_is_left_alone_and_explained() {
    let sandbox = Sandbox::new();
    sandbox.write(".runup/runup.db", b"sqlite");
    sandbox.write("runup.yaml", b"version: '1'\nproject:\n  p:\n    include: ['.']\n");
    for command in ["init", "backup", "restore --force", "snapshots"] {
        let ran = sandbox.run(&format!("runup {command}")).exits(10);
        assert!(ran.stderr().contains("Python"), "{}", ran.stderr());
    }
    assert_eq!(std::fs::read_dir(sandbox.path(".runup")).unwrap().count(), 1);
}

#[test]
fn unknown_formats_are_refused() {
    let sandbox = Sandbox::with_projects(APP);
    let config = String::from_utf8(sandbox.read(".runup/config")).unwrap();
    let json = config.lines().next().unwrap();
    for (from, to) in [
        ("\"format_version\":1", "\"format_version\":2"),
        ("\"required_features\":[]", "\"required_features\":[\"wings\"]"),
    ] {
        let json = format!("{}\n", json.replace(from, to));
        let sealed = format!("{json}{}\n", blake3::hash(json.as_bytes()).to_hex());
        sandbox.write(".runup/config", sealed.as_bytes());
        sandbox.run("runup backup").exits(15);
        sandbox.run("runup check").exits(15);
    }
    sandbox.write(".runup/config", &config.as_bytes()[1..]);
    sandbox.run("runup backup").exits(4);
}

#[test]
fn every_compression_stores_and_restores() {
    for compression in ["none", "deflate", "deflate:9", "zstd:1", "zstd:19"] {
        let sandbox = Sandbox::new();
        sandbox.write("runup.yaml", format!("version: '1'\nproject:\n{APP}").as_bytes());
        sandbox.write("file", &b"fragmented ".repeat(10_000));
        sandbox.run(&format!("runup init --compression {compression}")).succeeds();
        sandbox.run("runup backup && runup restore -f -l ../out").succeeds();
        assert_eq!(sandbox.read("../out/file"), sandbox.read("file"));
        sandbox.run("runup check --read-data").succeeds();
    }
}

#[test]
fn a_directory_longer_than_a_chunk_is_a_list() {
    let sandbox = Sandbox::with_projects("  app:\n    include: [many]\n");
    sandbox.run("mkdir many; cd many; seq 30000 | sed 's/^/a-rather-long-name-for-a-file-/' | xargs touch").succeeds();
    sandbox.run("runup backup").succeeds();
    let tree = sandbox.run("runup-rev-parse --plain app:many").succeeds().stdout();
    let stored = sandbox.run(&format!("runup-cat-object -s {tree}")).succeeds().record();
    assert_eq!(stored["is_list"], true, "{stored}");
    sandbox.run("runup restore -f -l ../out").succeeds();
    assert_eq!(sandbox.look("../out/many"), sandbox.look("many"));
}

#[test]
fn a_damaged_job_hides_no_other_and_stops_no_backup() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("a", b"one");
    sandbox.run("runup backup").succeeds();
    sandbox.write("a", b"two");
    sandbox.run("runup backup").succeeds();
    sandbox.write(".runup/jobs/00000002", b"damaged");
    sandbox.run("runup restore --force --location ../latest").exits(4);
    sandbox.run("runup restore --force --job 1 --location ../first").succeeds();
    assert_eq!(sandbox.read("../first/a"), b"one");
    let third = sandbox.run("runup backup --json").succeeds().record();
    assert_eq!(third["job"], 3);
    sandbox.run("runup restore --force --location ../third").succeeds();
    assert_eq!(sandbox.read("../third/a"), b"two");
    sandbox.run("runup check").exits(4);
}

#[test]
fn help_says_what_a_command_does() {
    let sandbox = Sandbox::new();
    let help = sandbox.run("runup --help").succeeds().stdout();
    assert!(help.starts_with("Fragmented backups"), "{help}");
    assert!(help.contains("Restore projects to their state as of a job"), "{help}");
    let help = sandbox.run("runup-fsck --help").succeeds().stdout();
    assert!(help.starts_with("Read and verify everything stored"), "{help}");
}

#[test]
fn the_cache_of_the_repository_is_not_backed_up() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("a", b"1");
    for job in 1..3 {
        let script = "RUNUP_CACHE_DIR=$PWD/home/.cache runup backup --json";
        assert_eq!(sandbox.run(script).succeeds().record()["job"], job);
    }
    let names = sandbox.run("runup-ls-tree -r --name-only app").succeeds().stdout();
    assert_eq!(names, "a\nrunup.yaml\n");
}

#[test]
fn a_restore_of_all_is_of_what_the_project_file_names() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("a", b"1");
    sandbox.write("../elsewhere/stray", b"2");
    sandbox.run("runup backup").succeeds();
    sandbox.run("runup-write-tree ../elsewhere | runup-write-snapshot --project hand").succeeds();
    sandbox.run("runup restore --force").succeeds();
    assert!(!sandbox.exists("stray"));
    let ran = sandbox.run("runup restore --force nosuch").exits(2);
    assert!(ran.stderr().contains("there is app, hand"), "{}", ran.stderr());
    let ran = sandbox.run("echo changed > a; runup-checkout app --plain --to .").exits(3);
    assert!(ran.stderr().contains("--force"), "{}", ran.stderr());
}

#[test]
fn an_include_in_a_pseudo_file_system_is_told() {
    let sandbox = Sandbox::with_projects("  app:\n    include: [/proc/sys/net/core, a]\n");
    sandbox.write("a", b"1");
    let ran = sandbox.run("runup backup").exits(3);
    assert!(ran.stderr().contains("pseudo file system"), "{}", ran.stderr());
}

#[test]
fn only_the_project_file_decides_what_is_written_outside_the_context() {
    let sandbox = Sandbox::with_projects("  app:\n    include: [a]\n");
    sandbox.write("a", b"1");
    sandbox.write("../victim/file", b"untouched");
    let victim = sandbox.path("../victim").canonicalize().unwrap();
    sandbox.write("../victim/later", b"mine");
    let script = format!(
        "runup-write-tree . --include {0} | runup-write-snapshot --project app",
        victim.display()
    );
    sandbox.run(&script).succeeds();
    let ran = sandbox.run("runup restore --force --clear-location").exits(13);
    assert!(ran.stderr().contains("--location"), "{}", ran.stderr());
    assert!(sandbox.exists("../victim/later"));
    sandbox.run("runup restore --force --location ../out").succeeds();
    sandbox.run("ln -s .runup link; runup restore -f --location link/inside").exits(2);
    sandbox.run("runup-checkout app --to .runup/objects/inside").exits(2);
}
