//! Prune: frees what nothing needs, keeps everything else, and ends safely wherever it ends.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{Sandbox, noise};

const PROJECT: &str = "  app:\n    include: [src]\n";

/// How often a prune is killed in the ordinary test run; `RUNUP_KILLS` asks for more.
const KILLS: u32 = 10;

/// Jobs that share most of their files; what `src` looked like at each.
fn backed_up(jobs: u32) -> (Sandbox, Vec<Vec<String>>) {
    let sandbox = Sandbox::with_projects(PROJECT);
    for number in 0..40 {
        sandbox.write(&format!("src/many/{number}"), &noise(2_000, number));
    }
    let mut looks = Vec::new();
    for job in 1..=jobs {
        // One file of its own, a changed long one, and a changed small one in a large directory.
        sandbox.write("src/own", &noise(300_000, 1000 + job));
        let mut long = noise(3 << 20, 1);
        long[1 << 20..][..500].copy_from_slice(&noise(500, 2000 + job));
        sandbox.write("src/long", &long);
        sandbox.write(&format!("src/many/{}", job % 40), &noise(900, 3000 + job));
        sandbox.run("runup backup").succeeds();
        looks.push(sandbox.look("src"));
    }
    (sandbox, looks)
}

fn restores(sandbox: &Sandbox, job: usize, look: &[String]) {
    let restore = format!("runup restore --force --clear-location --job {job} --location ../out");
    sandbox.run(&restore).succeeds();
    assert_eq!(sandbox.look("../out/src"), look, "job {job}");
}

fn stored_bytes(sandbox: &Sandbox) -> u64 {
    let figures = sandbox.run("runup-count-objects").succeeds().record();
    figures["pack_bytes"].as_u64().unwrap()
}

/// The plan and the summary of a prune.
fn prune(sandbox: &Sandbox, options: &str) -> (Value, Value) {
    let mut records = sandbox.run(&format!("runup-prune-objects {options}")).succeeds().records();
    let summary = records.pop().unwrap();
    (records.pop().unwrap(), summary)
}

/// All that a prune may change.
fn look(sandbox: &Sandbox) -> Vec<String> {
    let directories = ["objects", "packs", "index", "jobs", "forgotten", "pruned", "refs"];
    directories.iter().flat_map(|name| sandbox.look(&format!(".runup/{name}"))).collect()
}

#[test]
fn what_forgotten_jobs_alone_needed_is_deleted() {
    let (sandbox, looks) = backed_up(4);
    let before = stored_bytes(&sandbox);
    sandbox.run("runup forget --keep-last 2").succeeds();
    let seen = look(&sandbox);
    let text = sandbox.run("runup prune --dry-run").succeeds().stdout();
    assert!(text.contains("This would free about "), "{text}");
    assert_eq!(look(&sandbox), seen, "a dry run changes nothing");
    let (plan, summary) = prune(&sandbox, "");
    let bytes = |record: &Value, name: &str| record[name].as_u64().unwrap();
    let after = stored_bytes(&sandbox);
    assert_eq!(before - after, bytes(&summary, "freed_bytes"), "{summary}");
    assert!(bytes(&summary, "freed_bytes") > 500_000, "two files of 300,000 bytes: {summary}");
    let promised = bytes(&plan, "freed_bytes");
    let freed = bytes(&summary, "freed_bytes");
    assert!(freed.abs_diff(promised) < freed / 10, "promised {promised}, freed {freed}");
    for job in [3, 4] {
        restores(&sandbox, job, &looks[job - 1]);
    }
    sandbox.run("runup check --read-data").succeeds();
    // No way back, and no number is given again.
    let ran = sandbox.run("runup --json forget --undo --job 2").exits(2);
    assert!(ran.stderr().contains("no_such_job"), "{}", ran.stderr());
    assert_eq!(sandbox.run("runup forget --undo").succeeds().stdout(), "nothing to do\n");
    sandbox.run("runup restore --force --job 1 --location ../out").exits(2);
    sandbox.run("runup backup").succeeds();
    assert!(sandbox.exists(".runup/jobs/00000005"));
    assert!(!sandbox.exists(".runup/jobs/00000001"), "a job that holds nothing goes too");
    // Nothing is left to do.
    let text = sandbox.run("runup prune").succeeds().stdout();
    assert!(text.ends_with("Nothing was freed.\n"), "{text}");
}

#[test]
fn the_last_job_keeps_its_number_though_it_was_pruned() {
    let (sandbox, looks) = backed_up(2);
    sandbox.run("runup forget --job 2").succeeds();
    sandbox.run("runup prune").succeeds();
    let ran = sandbox.run("runup --json forget --undo --job 2").exits(1);
    assert!(ran.stderr().contains("pruned_job"), "{}", ran.stderr());
    restores(&sandbox, 1, &looks[0]);
    sandbox.run("runup backup").succeeds();
    restores(&sandbox, 3, &looks[1]);
    sandbox.run("runup forget --job 1 --job 3").succeeds();
    sandbox.run("runup prune").succeeds();
    assert_eq!(stored_bytes(&sandbox), 0, "nothing is needed");
    sandbox.run("runup backup").succeeds();
    restores(&sandbox, 4, &looks[1]);
    sandbox.run("runup check --read-data").succeeds();
}

#[test]
fn as_little_stays_unneeded_as_is_asked_for() {
    let (sandbox, looks) = backed_up(6);
    sandbox.run("runup forget --job 1 --job 3 --job 5").succeeds();
    let (plan, _) = prune(&sandbox, "--max-unused unlimited");
    assert!(plan["unused_bytes"].as_u64().unwrap() > 0, "{plan}");
    let (_, summary) = prune(&sandbox, "--max-unused 0%");
    assert_eq!(summary["unused_bytes"], 0);
    let (plan, summary) = prune(&sandbox, "--max-unused 0%");
    assert_eq!(plan["repacked_packs"], 0, "a second time there is nothing to do: {plan}");
    assert_eq!(summary["freed_bytes"], 0);
    for job in [2, 4, 6] {
        restores(&sandbox, job, &looks[job - 1]);
    }
    let found = sandbox.run("runup-fsck").succeeds().records();
    assert_eq!(found.len(), 1, "nothing but the summary: {found:?}");
}

/// What is stored as a difference stays readable, whichever side of it goes.
#[test]
fn bases_of_differences_stay_or_are_replaced() {
    for forgotten in [vec![1], vec![2], vec![1, 2], vec![3], vec![1, 3], vec![2, 3]] {
        let (sandbox, looks) = backed_up(4);
        for job in &forgotten {
            sandbox.run(&format!("runup forget --job {job}")).succeeds();
        }
        for options in ["--max-unused unlimited", "--max-unused 0%"] {
            prune(&sandbox, options);
            for job in (1..=4).filter(|job| !forgotten.contains(job)) {
                restores(&sandbox, job, &looks[job - 1]);
            }
            let found = sandbox.run("runup-fsck").succeeds().records();
            assert_eq!(found.len(), 1, "{forgotten:?} {options}: {found:?}");
        }
        // What is found is complete: a backup relies on it.
        sandbox.run("runup backup").succeeds();
        restores(&sandbox, 5, &looks[3]);
    }
}

/// What only one needed object is a difference from goes, unless that object stays where it is.
#[test]
fn a_base_of_one_object_alone_is_replaced_by_it() {
    let deltas = |sandbox: &Sandbox| {
        let record = sandbox.run("runup-count-objects").succeeds().record();
        record["deltas"].as_u64().unwrap()
    };
    for (jobs, forgotten, left) in [(2, [1, 2].as_slice(), 0), (3, &[1, 3], 1)] {
        let (sandbox, _) = backed_up(jobs);
        // Of the packs with the differences something is unneeded.
        sandbox.write("src/own", b"another");
        sandbox.run("runup backup").succeeds();
        let look = sandbox.look("src");
        assert!(deltas(&sandbox) >= u64::from(jobs) - 1);
        let bytes = stored_bytes(&sandbox);
        for job in forgotten {
            sandbox.run(&format!("runup forget --job {job}")).succeeds();
        }
        prune(&sandbox, "--max-unused 0%");
        assert_eq!(deltas(&sandbox) > 0, left > 0, "{forgotten:?}");
        assert!(
            stored_bytes(&sandbox) < bytes - 300_000,
            "the base has gone, or was no second copy"
        );
        restores(&sandbox, jobs as usize + 1, &look);
        sandbox.run("runup check --read-data").succeeds();
    }
}

#[test]
fn small_packs_are_put_together() {
    let (sandbox, looks) = backed_up(17);
    let count = || std::fs::read_dir(sandbox.path(".runup/packs")).unwrap().count();
    assert_eq!(count(), 34, "a pack of content and one of metadata for each job");
    prune(&sandbox, "");
    assert!(count() <= 4, "what was copied, and what was stored anew");
    for job in [1, 9, 17] {
        restores(&sandbox, job, &looks[job - 1]);
    }
    let found = sandbox.run("runup-fsck").succeeds().records();
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn pins_tags_and_loose_objects_keep_what_they_lead_to() {
    let (sandbox, looks) = backed_up(2);
    sandbox.run("runup-update-ref pin/old app@1").succeeds();
    sandbox.write("one", b"needed");
    sandbox.write("two", b"not needed");
    let kept = sandbox.run("runup-hash-object -w --plain one").succeeds().stdout();
    let unneeded = sandbox.run("runup-hash-object -w --plain two").succeeds().stdout();
    sandbox.run(&format!("runup-update-ref tag/one {kept}")).succeeds();
    sandbox.run("runup-update-ref pin/old app@1:src").exits(0);
    sandbox.run("runup forget --job 1").exits(0);
    let (_, summary) = prune(&sandbox, "--max-unused 0%");
    assert_eq!(summary["deleted_loose"], 1, "{summary}");
    sandbox.run(&format!("runup-cat-object -e {kept}")).succeeds();
    sandbox.run(&format!("runup-cat-object -e {unneeded}")).exits(1);
    sandbox.run("runup-checkout pin/old --to ../pinned").succeeds();
    assert_eq!(sandbox.look("../pinned"), strip(&looks[0]));
    restores(&sandbox, 2, &looks[1]);
    sandbox.run("runup-update-ref -d pin/old").succeeds();
    let (_, summary) = prune(&sandbox, "--max-unused 0%");
    assert!(summary["freed_bytes"].as_u64().unwrap() > 300_000, "{summary}");
    restores(&sandbox, 2, &looks[1]);
    sandbox.run("runup check --read-data").succeeds();
}

fn strip(look: &[String]) -> Vec<String> {
    look.to_vec()
}

#[test]
fn nothing_is_deleted_where_something_is_wrong() {
    let (sandbox, looks) = backed_up(3);
    sandbox.run("runup forget --job 1").succeeds();
    let packs = || sandbox.look(".runup/packs");
    let all = packs();
    let refused = |script: &str, undo: &str, code: i32, word: &str| {
        sandbox.run(script).succeeds();
        let ran = sandbox.run("runup --json prune").exits(code);
        assert!(ran.stderr().contains(word), "{script}: {}", ran.stderr());
        sandbox.run(undo).succeeds();
        assert_eq!(packs(), all, "{script}");
    };
    refused(
        "mv .runup/jobs ../jobs; mkdir .runup/jobs",
        "rmdir .runup/jobs; mv ../jobs .runup/jobs",
        4,
        "no_jobs",
    );
    refused(
        "cp .runup/jobs/00000002 ../job; echo >> .runup/jobs/00000002",
        "mv -f ../job .runup/jobs/00000002",
        4,
        "damaged",
    );
    refused(
        "for i in .runup/index/*; do cp $i ../segment; printf x >> $i; break; done",
        "for i in .runup/index/*; do mv -f ../segment $i; break; done",
        4,
        "damaged_index",
    );
    refused(
        "mkdir ../index; mv .runup/index/* ../index/",
        "mv ../index/* .runup/index/",
        4,
        "damaged",
    );
    refused(
        "ls -S .runup/packs | head -n 1 > ../name; mv .runup/packs/$(cat ../name) ../pack",
        "mv ../pack .runup/packs/$(cat ../name)",
        4,
        "damaged",
    );
    let ran = sandbox.run("runup-session run runup --json prune").exits(2);
    assert!(ran.stderr().contains("usage"), "{}", ran.stderr());
    sandbox.run("runup prune --max-unused 101%").exits(2);
    sandbox.run("runup prune").succeeds();
    restores(&sandbox, 2, &looks[1]);
    restores(&sandbox, 3, &looks[2]);
}

#[test]
fn what_is_no_session_stops_no_prune() {
    let (sandbox, looks) = backed_up(2);
    sandbox.run("runup forget --keep-last 1 && mkdir .runup/sessions/old").succeeds();
    let (_, summary) = prune(&sandbox, "");
    assert!(summary["deleted_packs"].as_u64().unwrap() > 0, "{summary}");
    restores(&sandbox, 2, &looks[1]);
}

#[test]
fn packs_that_no_index_covers_go() {
    let (sandbox, looks) = backed_up(2);
    let (other, _) = backed_up(1);
    let before = std::fs::read_dir(sandbox.path(".runup/packs")).unwrap().count();
    for pack in std::fs::read_dir(other.path(".runup/packs")).unwrap() {
        let pack = pack.unwrap();
        std::fs::copy(pack.path(), sandbox.path(".runup/packs").join(pack.file_name())).unwrap();
    }
    let (plan, _) = prune(&sandbox, "");
    assert_eq!(plan["unneeded_packs"], 2, "{plan}");
    assert_eq!(std::fs::read_dir(sandbox.path(".runup/packs")).unwrap().count(), before);
    restores(&sandbox, 2, &looks[1]);
}

/// Runs a command in the background.
fn start(sandbox: &Sandbox, script: &str) -> std::process::Child {
    let mut command = sandbox.shell(&format!("exec {script}"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command.spawn().unwrap()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} took too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn can_be_undone(sandbox: &Sandbox) -> String {
    sandbox.run("runup forget --undo --dry-run").succeeds().stdout()
}

#[test]
fn a_prune_that_stops_at_damage_leaves_the_undo() {
    let (sandbox, looks) = backed_up(2);
    sandbox.run("runup forget --job 1").succeeds();
    let packs = std::fs::read_dir(sandbox.path(".runup/packs")).unwrap();
    let packs: Vec<_> = packs.map(|entry| entry.unwrap().path()).collect();
    for pack in &packs {
        std::fs::rename(pack, pack.with_extension("gone")).unwrap();
    }
    sandbox.run("runup prune").exits(4);
    assert_eq!(can_be_undone(&sandbox), "job 1 of app: would be remembered\n");
    for pack in &packs {
        std::fs::rename(pack.with_extension("gone"), pack).unwrap();
    }
    sandbox.run("runup forget --undo").succeeds();
    sandbox.run("runup prune").succeeds();
    for (number, look) in looks.iter().enumerate() {
        restores(&sandbox, number + 1, look);
    }
}

#[test]
fn those_who_are_at_work_are_waited_for_or_fenced() {
    let (sandbox, looks) = backed_up(2);
    sandbox.run("runup forget --job 1").succeeds();
    sandbox.write("pipeline", &noise(50_000, 77));
    let pipeline = "runup-session run -- sh -ec 'id=$(runup-hash-object -w --plain pipeline); \
                    touch ../begun; while [ ! -e ../go ]; do sleep 0.01; done; \
                    runup-hash-object -w --plain runup.yaml >&2; runup-update-ref tag/pipeline $id'";
    let begun = || sandbox.exists("../begun");
    let child = start(&sandbox, pipeline);
    wait_for("the pipeline", begun);
    let ran = sandbox.run("runup --json prune --no-wait").exits(1);
    assert!(ran.stderr().contains("busy"), "{}", ran.stderr());
    assert_eq!(can_be_undone(&sandbox), "job 1 of app: would be remembered\n");
    let waiting = start(&sandbox, "runup prune");
    wait_for("the prune", || std::fs::read_dir(sandbox.path(".runup/gc")).unwrap().count() > 0);
    let cannot = "nothing to do: what was forgotten before the last prune cannot come back\n";
    assert_eq!(can_be_undone(&sandbox), cannot);
    let ran = sandbox.run("runup --json prune").exits(1);
    assert!(ran.stderr().contains("busy"), "a second one: {}", ran.stderr());
    // Others go on meanwhile.
    sandbox.run("runup backup").succeeds();
    restores(&sandbox, 2, &looks[1]);
    sandbox.write("../go", b"");
    assert!(child.wait_with_output().unwrap().status.success());
    let pruned = waiting.wait_with_output().unwrap();
    assert!(pruned.status.success(), "{}", String::from_utf8_lossy(&pruned.stderr));
    let told = String::from_utf8_lossy(&pruned.stderr).into_owned();
    assert!(told.contains("waiting for 1 other program"), "{told}");
    sandbox.run("runup-cat-object -e tag/pipeline").succeeds();
    sandbox.run("runup check --read-data").succeeds();

    for name in ["../begun", "../go"] {
        std::fs::remove_file(sandbox.path(name)).unwrap();
    }
    sandbox.run("runup-update-ref -d tag/pipeline").succeeds();
    let child = start(&sandbox, pipeline);
    wait_for("the pipeline", begun);
    sandbox.run("runup prune --fence").succeeds();
    sandbox.write("../go", b"");
    let fenced = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&fenced.stderr).into_owned();
    assert!(!fenced.status.success() && told.contains("session"), "{told}");
    sandbox.run("runup check --read-data").succeeds();
    let left = std::fs::read_dir(sandbox.path(".runup/sessions")).unwrap().count();
    assert_eq!(left, 0, "no session is left");
}

#[test]
fn a_killed_prune_leaves_nothing_to_do() {
    let kills = std::env::var("RUNUP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let (sandbox, mut looks) = backed_up(3);
    for number in 1..=kills {
        sandbox.write("src/own", &noise(200_000, 5000 + number));
        sandbox.write(&format!("src/many/{}", number % 40), &noise(700, 6000 + number));
        sandbox.run("runup backup").succeeds();
        looks.push(sandbox.look("src"));
        let newest = looks.len();
        sandbox.run(&format!("runup forget --job {}", newest - 2)).succeeds();
        let mut child = start(&sandbox, "runup prune --max-unused 0%");
        std::thread::sleep(Duration::from_micros(u64::from(number * 7919 % 60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        for job in [newest - 1, newest] {
            restores(&sandbox, job, &looks[job - 1]);
        }
        if number % 3 == 0 {
            sandbox.run("runup prune --max-unused 0%").succeeds();
            sandbox.run("runup check --read-data").succeeds();
            let (plan, _) = prune(&sandbox, "--max-unused 0%");
            assert_eq!(plan["unneeded_copies"], 0, "{plan}");
        }
    }
}

#[test]
fn a_prune_beside_backups_loses_nothing() {
    let (sandbox, _) = backed_up(2);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut pruned, mut looks) = (0, Vec::new());
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let options = if count % 2 == 0 { "" } else { "--fence --max-unused 0%" };
                let ran = sandbox.run(&format!("runup prune {options}"));
                assert_eq!(ran.exit_code(), Some(0), "{}{}", ran.stdout(), ran.stderr());
                count += 1;
            }
            count
        });
        for number in 0..12 {
            sandbox.write("src/own", &noise(150_000, 7000 + number));
            sandbox.write(&format!("src/many/{}", number % 40), &noise(800, 8000 + number));
            // One that was fenced says so, and is run again.
            let mut tries = 0;
            loop {
                let ran = sandbox.run("runup --json backup");
                match ran.exit_code() {
                    Some(0) => break,
                    Some(1) if tries < 20 => {
                        assert!(ran.stderr().contains("fenced"), "{}", ran.stderr());
                    }
                    _ => panic!("{:?} {}", ran.exit_code(), ran.stderr()),
                }
                tries += 1;
            }
            looks.push(sandbox.look("src"));
            if number % 3 == 2 {
                sandbox.run("runup forget --keep-last 2").succeeds();
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        pruned = pruning.join().unwrap();
    });
    assert!(pruned > 0);
    sandbox.run("runup restore --force --location ../out").succeeds();
    assert_eq!(&sandbox.look("../out/src"), looks.last().unwrap());
    sandbox.run("runup check --read-data").succeeds();
    sandbox.run("runup prune --max-unused 0%").succeeds();
    sandbox.run("runup check --read-data").succeeds();
}
