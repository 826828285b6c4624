//! `runup-session run`: a pipeline in one session keeps what it stores, or is told to begin again.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use runup::format::control;
use serde_json::json;

use crate::sandbox::Sandbox;

/// Shell functions that stand in for a prune: one condemns a loose object, one fences the session.
const PRUNE: &str = "
    fence() { mv .runup/sessions/${RUNUP_SESSION#*:} .runup/fenced/; }
    condemn() { cp ../generation-$1 .runup/gc/0000000$1; }
";

/// A sandbox with a job, and generations that condemn the files named, if they become loose objects.
fn backed_up(condemned: &[&str]) -> Sandbox {
    let sandbox = Sandbox::with_projects("  app:\n    include: [src]\n");
    for name in ["one", "two"] {
        sandbox.write(&format!("src/{name}"), name.as_bytes());
    }
    sandbox.run("runup backup").succeeds();
    for name in ["three", "four"] {
        sandbox.write(name, name.as_bytes());
    }
    for (number, name) in condemned.iter().enumerate() {
        let id = blake3::hash(name.as_bytes()).to_hex().to_string();
        let number = number + 1;
        let generation = json!({
            "condemned_loose": [id], "condemned_packs": [], "highest_job": 1, "number": number
        });
        sandbox.write(&format!("../generation-{number}"), &control::encode(&generation));
    }
    sandbox
}

fn in_session(script: &str) -> String {
    format!("runup-session run -- sh -ec '{PRUNE}\n{script}'")
}

fn count(sandbox: &Sandbox, directory: &str) -> usize {
    std::fs::read_dir(sandbox.path(directory)).unwrap().count()
}

/// All that others can see of a repository: stored objects and names.
fn visible(sandbox: &Sandbox) -> Vec<String> {
    let directories = ["objects", "packs", "index", "jobs", "refs"];
    directories.iter().flat_map(|name| sandbox.look(&format!(".runup/{name}"))).collect()
}

#[test]
fn it_ends_with_the_exit_code_of_the_command() {
    let sandbox = backed_up(&[]);
    for (command, code) in [
        ("true", 0),
        ("sh -c 'exit 7'", 7),
        ("-- sh -c 'exit 255'", 255),
        ("sh -c 'kill -TERM $$'", 143),
        ("sh -c 'kill -KILL $$'", 137),
        ("no-such-command", 127),
        ("./src/one", 126),
        ("./src", 126),
        ("", 2),
    ] {
        sandbox.run(&format!("runup-session run {command}")).exits(code);
        assert_eq!(count(&sandbox, ".runup/sessions"), 0, "{command}");
    }
    sandbox.run("runup-session walk true").exits(2);
    sandbox.run("runup session run sh -c 'exit 3'").exits(3);
    sandbox.run("cd / && runup-session run true").exits(10);
    // Streams are the command's, and options behind it too.
    let ran = sandbox.run("echo in | runup-session run sh -c 'cat; echo $1' sh --plain").succeeds();
    assert_eq!(ran.stdout(), "in\n--plain\n");
}

#[test]
fn the_command_is_told_of_the_session() {
    let sandbox = backed_up(&[]);
    let config: serde_json::Value = serde_json::from_slice(
        sandbox.read(".runup/config").split(|b| *b == b'\n').next().unwrap(),
    )
    .unwrap();
    let script = "echo $RUNUP_SESSION; echo $RUNUP_REPOSITORY; ls .runup/sessions
                  head -n1 .runup/sessions/*; cd /; runup-ls-snapshots --plain";
    let ran = sandbox.run(&in_session(script)).succeeds();
    let stdout = ran.stdout();
    let lines: Vec<&str> = stdout.lines().collect();
    let (repository, session) = lines[0].split_once(':').unwrap();
    assert_eq!(config["repository_id"], repository);
    let location = sandbox.path(".runup").canonicalize().unwrap();
    assert_eq!(lines[1], location.to_str().unwrap());
    assert_eq!(lines[2], session);
    assert_eq!(lines[3], "{\"generation\":0}");
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_pipeline_in_a_session_keeps_what_a_prune_would_take() {
    let sandbox = backed_up(&["three"]);
    let stored = "id=$(runup-hash-object -w --plain three); condemn 1";
    // Alone, the next program must not rely on it.
    let alone = sandbox.run(&format!("{PRUNE}{stored}; runup-update-ref tag/a $id")).exits(1);
    assert!(alone.stderr().contains("incomplete_tree"), "{}", alone.stderr());
    sandbox.run("rm -r .runup/gc/* .runup/objects/*").succeeds();
    let ran = sandbox.run(&in_session(&format!(
        "{stored}; runup-hash-object -w three; runup-update-ref tag/a $id
         runup-write-tree src | runup-write-snapshot --project other; runup backup"
    )));
    ran.succeeds();
    assert_eq!(count(&sandbox, ".runup/objects"), 1, "it was not stored again");
    assert_eq!(sandbox.run("runup-cat-object -p tag/a").succeeds().stdout(), "three");
    assert_eq!(count(&sandbox, ".runup/jobs"), 3);
    sandbox.run("runup check").succeeds();
}

#[test]
fn a_session_obeys_the_generation_that_it_began_with() {
    let sandbox = backed_up(&["three", "four"]);
    let script = format!(
        "{PRUNE}condemn 1; runup-session run -- sh -ec '{PRUNE}
         condemn 2; three=$(runup-hash-object -w --plain three)
         four=$(runup-hash-object -w --plain four)
         runup-update-ref tag/three $three; runup-update-ref tag/four $four; ls .runup/packs | wc -l'"
    );
    let before = count(&sandbox, ".runup/packs");
    let ran = sandbox.run(&script).succeeds();
    // What was condemned before it began goes to a pack, whatever stands under its loose name.
    assert_eq!(ran.stdout().lines().last().unwrap().trim(), (before + 1).to_string());
    let four = blake3::hash(b"four").to_hex();
    let (head, tail) = four.split_at(2);
    assert!(sandbox.exists(&format!(".runup/objects/{head}/{tail}")));
    // Without its generation it cannot be known what to obey.
    let script = "rm .runup/gc/*; runup-hash-object -w four";
    sandbox.run(&in_session(script)).exits(4);
}

#[test]
fn after_a_fence_nothing_is_published_and_it_is_said_what_to_do() {
    let sandbox = backed_up(&[]);
    let before = visible(&sandbox);
    for program in [
        "runup-hash-object -w three",
        "runup-hash-object -w --pack three",
        "runup-write-tree .",
        "runup-update-ref tag/a app",
        "runup backup --json",
        "runup-session run true && runup-write-tree --dry-run src | runup-write-snapshot --project p",
    ] {
        let ran = sandbox.run(&in_session(&format!("runup-cat-object -e app; fence; {program}")));
        let ran = ran.exits(1);
        assert!(ran.stderr().contains("\"code\":\"session_ended\""), "{program}: {}", ran.stderr());
        assert!(ran.stderr().contains("run it again"), "{}", ran.stderr());
        assert_eq!(visible(&sandbox), before, "{program}");
    }
    // Who only reads, or only hashes, goes on.
    let script = "fence; runup-hash-object three; runup-cat-object -p app:src/one; runup check";
    sandbox.run(&in_session(script)).succeeds();
    sandbox.run("runup backup && runup check").succeeds();
}

#[test]
fn a_fence_while_a_program_is_at_work_is_seen_before_it_publishes() {
    let sandbox = backed_up(&[]);
    for program in [
        "runup-hash-object -w --stdin",
        "runup-hash-object -w --stdin --pack",
        "xargs runup-update-ref tag/a",
    ] {
        let before = visible(&sandbox);
        // Waits until the program has a session of its own, then fences the outer one.
        let script = format!(
            "rm -f in; mkfifo in; (if {program} <in 2>err; then echo done; else echo failed; fi) & \
             exec 3>in; case \"{program}\" in *stdin*) \
             while [ $(ls .runup/sessions | wc -l) -lt 2 ]; do sleep 0.01; done;; esac
             fence; echo app >&3; exec 3>&-; wait; cat err >&2"
        );
        let ran = sandbox.run(&in_session(&script)).succeeds();
        assert_eq!(ran.stdout().lines().last(), Some("failed"), "{program}");
        assert!(ran.stderr().contains("session_ended"), "{program}: {}", ran.stderr());
        assert_eq!(visible(&sandbox), before, "{program}");
    }
}

#[test]
fn a_killed_session_ends_the_pipeline() {
    let sandbox = backed_up(&[]);
    let script = "kill -KILL $PPID; while kill -0 $PPID 2>/dev/null; do sleep 0.01; done
                  runup-hash-object -w three 2>err || echo $? >status";
    sandbox.run(&in_session(script)).exits(137);
    let started = Instant::now();
    while !sandbox.exists("status") || sandbox.read("status").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "the pipeline hangs");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(sandbox.read("status"), b"1\n");
    assert!(String::from_utf8(sandbox.read("err")).unwrap().contains("session_ended"));
    assert_eq!(count(&sandbox, ".runup/sessions"), 0, "nothing is left to clear by hand");
    sandbox.run("runup backup").succeeds();
}

#[test]
fn a_termination_is_passed_on_and_an_interrupt_left_to_the_command() {
    let sandbox = backed_up(&[]);
    for (signal, code) in [("TERM", 5), ("INT", 0)] {
        let script =
            "exec runup-session run sh -c 'trap \"exit 5\" TERM; echo ready; read line' <&0";
        let mut command = sandbox.shell(script);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        // Kept open, since to wait for the child would close it.
        let mut stdin = child.stdin.take().unwrap();
        sandbox.run(&format!("kill -{signal} {}", child.id())).succeeds();
        if signal == "INT" {
            std::thread::sleep(Duration::from_millis(50));
            assert!(child.try_wait().unwrap().is_none(), "it waits for the command");
            stdin.write_all(b"line\n").unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
        assert_eq!(count(&sandbox, ".runup/sessions"), 0);
    }
}

#[test]
fn what_names_no_session_of_this_repository_is_not_leaned_on() {
    let sandbox = backed_up(&[]);
    let config = String::from_utf8(sandbox.read(".runup/config")).unwrap();
    let repository =
        config.split("\"repository_id\":\"").nth(1).unwrap().split('"').next().unwrap();
    let (ours, other, short) = (repository, "ab".repeat(16), "ab".repeat(15));
    for (value, code) in [
        (String::new(), 0),
        (format!("{other}:{other}"), 0),
        (format!("{ours}:{other}"), 1),
        (ours.to_owned(), 2),
        (format!("{ours}:{short}"), 2),
        (format!("{ours}:../jobs/00000001"), 2),
        (format!("{other}:{other}:"), 2),
    ] {
        sandbox.run(&format!("RUNUP_SESSION='{value}' runup-hash-object -w three")).exits(code);
    }
    // A session that nobody may lean on holds nothing to obey.
    let script = "runup-hash-object -w --stdin <in & exec 3>in
                  while [ $(ls .runup/sessions | wc -l) -lt 1 ]; do sleep 0.01; done
                  status=0
                  RUNUP_SESSION=$1:$(ls .runup/sessions) runup-hash-object -w three || status=$?
                  exec 3>&-; wait; exit $status";
    sandbox.write("script", script.as_bytes());
    sandbox.run(&format!("mkfifo in; sh script {ours}")).exits(4);
}

#[test]
fn a_session_in_a_session_is_one_of_its_own() {
    let sandbox = backed_up(&["three"]);
    let script = "runup-hash-object -w three; condemn 1; outer=$RUNUP_SESSION; export outer
                  runup-session run sh -ec \"
                    [ \\$RUNUP_SESSION != \\$outer ]; ls .runup/sessions | wc -l
                    mv .runup/sessions/\\${outer#*:} .runup/fenced/
                    runup-hash-object -w three four\"";
    let ran = sandbox.run(&in_session(script)).succeeds();
    assert_eq!(ran.stdout().lines().nth(1).unwrap().trim(), "2");
    // It began after the generation, and obeyed it.
    assert_eq!(count(&sandbox, ".runup/packs"), 3);
}
