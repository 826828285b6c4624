//! A backup killed at any moment: earlier jobs restore exactly, the next backup needs nothing done
//! by hand, and uses what the killed one stored.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use crate::sandbox::{Sandbox, noise};

/// How often a backup is killed in the ordinary test run; `RUNUP_KILLS` asks for more.
const KILLS: u32 = 12;

#[test]
fn a_killed_backup_leaves_nothing_to_do() {
    let kills = std::env::var("RUNUP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let sandbox = Sandbox::with_projects("  app:\n    include: [src]\n");
    sandbox.write("src/first", &noise(3_000_000, 0));
    sandbox.run("runup backup").succeeds();
    let first = sandbox.look("src");
    for number in 1..=kills {
        for file in 0..60 {
            let length = 1000 + 9000 * (file as usize % 7);
            sandbox.write(&format!("src/{number}/{file}"), &noise(length, number * 1000 + file));
        }
        sandbox.write(&format!("src/{number}/long"), &noise(9_000_000, number));
        let mut command = sandbox.shell("exec runup backup --jobs 2");
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().unwrap();
        // Spread over a backup that takes some tens of milliseconds, in an order of no pattern.
        std::thread::sleep(Duration::from_micros(u64::from(number * 7919 % 90_000)));
        child.kill().unwrap();
        let was_killed = !child.wait().unwrap().success();
        sandbox.run("runup restore --force --job 1 --location ../first").succeeds();
        assert_eq!(sandbox.look("../first/src"), first, "kill {number}");
        if number % 4 == 0 || !was_killed {
            sandbox.run("runup backup").succeeds();
            let left = std::fs::read_dir(sandbox.path(".runup/tmp")).unwrap().count();
            assert_eq!(left, 0, "temporary files of killed backups are gone");
            sandbox.run("runup restore --force --clear-location --location ../latest").succeeds();
            assert_eq!(sandbox.look("../latest/src"), sandbox.look("src"), "kill {number}");
        }
    }
    sandbox.run("runup backup").succeeds();
    sandbox.run("runup check --read-data").succeeds();
}

#[test]
fn what_a_killed_backup_published_is_not_stored_again() {
    let sandbox = Sandbox::with_projects("  app:\n    include: [src]\n");
    // More than one pack: the first is published long before the end.
    for file in 0..20 {
        sandbox.write(&format!("src/{file}"), &noise(8 << 20, file));
    }
    let mut child = sandbox.shell("exec runup backup").stdout(Stdio::null()).spawn().unwrap();
    let index = sandbox.path(".runup/index");
    while std::fs::read_dir(&index).unwrap().count() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "ended before it was killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let again = sandbox.run("runup backup --json").succeeds().record();
    let stored = again["data_added"].as_u64().unwrap();
    assert!(stored <= (160 - 64 + 1) << 20, "{stored} bytes of 160 MiB stored again");
    assert_eq!(again["files_new"], 20);
}

#[test]
fn a_killed_init_leaves_nothing_to_do() {
    let sandbox = Sandbox::new();
    sandbox.write("runup.yaml", b"version: '1'\nproject:\n  app:\n    include: [src]\n");
    sandbox.write("src/file", b"text");
    // The kernel kills it in the middle of the longest file that it makes.
    let killed = sandbox.run("ulimit -f 128; exec runup init");
    assert_eq!(killed.exit_code(), None, "{}", killed.stderr());
    let left = || std::fs::read_dir(sandbox.path(".runup/tmp")).unwrap().count();
    assert_eq!(left(), 1);
    sandbox.run("runup backup").succeeds();
    assert_eq!(left(), 0);
    sandbox.run("runup check --read-data").succeeds();
}
