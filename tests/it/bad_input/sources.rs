//! Sources that are not there or cannot be read. Those that do not keep still are in `races`.

use std::os::unix::process::CommandExt;

use super::told;
use crate::sandbox::Sandbox;

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
