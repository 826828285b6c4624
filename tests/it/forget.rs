//! Retention: what a policy keeps and why, that a forgotten job is gone until it is remembered, and
//! that nothing is forgotten by mistake.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// A sandbox with a job of two projects for each of these times.
fn backed_up(times: &[&str]) -> Sandbox {
    let sandbox =
        Sandbox::with_projects("  app:\n    include: [src]\n  web:\n    include: [www]\n");
    for (number, time) in times.iter().enumerate() {
        sandbox.write("src/file", number.to_string().as_bytes());
        sandbox.write("www/page", number.to_string().as_bytes());
        sandbox.run(&format!("RUNUP_DATE={time} runup backup")).succeeds();
    }
    sandbox
}

const DAYS: &[&str] = &[
    "2026-01-01T09:00:00Z",
    "2026-01-01T18:00:00Z",
    "2026-01-02T09:00:00Z",
    "2026-02-01T09:00:00Z",
    "2026-02-02T09:00:00Z",
];

/// Jobs of a project that are listed.
fn listed(sandbox: &Sandbox, project: &str) -> Vec<u64> {
    let ran = sandbox.run(&format!("runup snapshots --json --project {project}")).succeeds();
    ran.records().iter().map(|record| record["job"].as_u64().unwrap()).collect()
}

/// Jobs and their reasons in a record of each.
fn reasons(records: &[Value]) -> Vec<(u64, String)> {
    let told = |record: &Value| {
        let reasons: Vec<&str> = record["reasons"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap())
            .collect();
        (record["job"].as_u64().unwrap(), reasons.join(" "))
    };
    records.iter().map(told).collect()
}

#[test]
fn a_policy_tells_what_it_keeps_and_forgets_the_rest() {
    let sandbox = backed_up(DAYS);
    let policy = "runup forget app --keep-daily 2 --keep-monthly 1y";
    let planned = sandbox.run(&format!("{policy} --dry-run --json")).succeeds().records();
    let expected = [(1, ""), (2, ""), (3, "monthly"), (4, "daily"), (5, "newest daily monthly")];
    assert_eq!(reasons(&planned), expected.map(|(job, text)| (job, text.to_owned())));
    assert_eq!(listed(&sandbox, "app"), [1, 2, 3, 4, 5], "a dry run forgets nothing");
    let text = sandbox.run(&format!("{policy} --dry-run")).succeeds().stdout();
    assert!(text.starts_with("app: would keep 3 jobs, forget 2\n    1  2026-01-01 09:00:00  "));
    assert_eq!(sandbox.run(&format!("{policy} --json")).succeeds().records(), planned);
    assert_eq!(listed(&sandbox, "app"), [3, 4, 5]);
    assert_eq!(listed(&sandbox, "web"), [1, 2, 3, 4, 5], "another project");
    let again = sandbox.run(&format!("{policy} --json")).succeeds().records();
    assert_eq!(reasons(&again), reasons(&planned)[2..], "what is kept stays kept");

    // A forgotten job is an error, not another job.
    let ran = sandbox.run("runup --json restore app --job 1 --location out --force").exits(2);
    assert!(ran.stderr().contains("forgotten_job"), "{}", ran.stderr());
    sandbox.run("runup restore web --job 1 --location out --force").succeeds();
    sandbox.run("runup check").succeeds();

    let back = sandbox.run("runup forget --undo app --job 2 --json").succeeds().records();
    assert_eq!((&back[0]["job"], &back[0]["outcome"]), (&json!(2), &json!("remembered")));
    assert_eq!(listed(&sandbox, "app"), [2, 3, 4, 5]);
    sandbox.run("runup forget --undo").succeeds();
    assert_eq!(listed(&sandbox, "app"), [1, 2, 3, 4, 5]);
    let nothing = sandbox.run("runup forget --undo").succeeds().stdout();
    assert_eq!(nothing, "nothing to do\n");
}

#[test]
fn all_projects_are_judged_each_by_itself() {
    let sandbox = backed_up(DAYS);
    sandbox.run("RUNUP_DATE=2026-03-01T00:00:00Z runup backup web").succeeds();
    let judged = sandbox.run("runup forget --keep-last 1 --json").succeeds().records();
    let kept = judged.iter().filter(|record| record["outcome"] == "kept");
    let kept: Vec<_> =
        kept.map(|record| (record["project"].clone(), record["job"].clone())).collect();
    assert_eq!(kept, [(json!("app"), json!(5)), (json!("web"), json!(6))]);
    assert_eq!((listed(&sandbox, "app"), listed(&sandbox, "web")), (vec![5], vec![6]));
}

#[test]
fn the_project_file_says_what_is_kept() {
    let sandbox = backed_up(DAYS);
    let projects = "  app:\n    include: [src]\n    keep: {last: 2}\n  web:\n    include: [www]\n";
    sandbox.write("runup.yaml", format!("version: '1'\nproject:\n{projects}").as_bytes());
    sandbox.run("runup forget").succeeds();
    assert_eq!((listed(&sandbox, "app"), listed(&sandbox, "web").len()), (vec![4, 5], 5));
    let ran = sandbox.run("runup --json forget web").exits(2);
    assert!(ran.stderr().contains("empty_policy"));
    sandbox.run("runup forget app --keep-last 1").succeeds();
    assert_eq!(listed(&sandbox, "app"), [5], "options come first");
}

#[test]
fn a_number_is_never_given_again() {
    let sandbox = backed_up(&DAYS[..2]);
    sandbox.run("runup forget --job 2").succeeds();
    assert_eq!(listed(&sandbox, "app"), [1]);
    sandbox.run("RUNUP_DATE=2026-01-03T00:00:00Z runup backup").succeeds();
    assert_eq!(listed(&sandbox, "app"), [1, 3]);
    let ran = sandbox.run("runup --json forget --job 7").exits(2);
    assert!(ran.stderr().contains("no_such_job"));
    assert_eq!(sandbox.run("runup forget --job 2").succeeds().stdout(), "nothing to do\n");
}

#[test]
fn what_is_pinned_is_kept_and_forgotten_by_nobody() {
    let sandbox = backed_up(DAYS);
    sandbox.run("runup-update-ref pin/audit app@2").succeeds();
    let judged = sandbox.run("runup forget app --keep-last 1 --json").succeeds().records();
    let expected = [(1, ""), (2, "pin/audit"), (3, ""), (4, ""), (5, "newest last")];
    assert_eq!(reasons(&judged), expected.map(|(job, text)| (job, text.to_owned())));
    sandbox.run("runup forget --undo").succeeds();
    let ran = sandbox.run("runup --json forget app --job 1 --job 2").exits(1);
    assert!(ran.stderr().contains("pinned_job") && ran.stderr().contains("pin/audit"));
    assert_eq!(listed(&sandbox, "app"), [1, 2, 3, 4, 5], "all or nothing");
    sandbox.run("runup-update-ref -d pin/audit; runup forget app --job 1 --job 2").succeeds();
    assert_eq!(listed(&sandbox, "app"), [3, 4, 5]);
}

#[test]
fn a_slip_forgets_nothing() {
    let sandbox = backed_up(&DAYS[..3]);
    for (words, code) in [
        ("", "empty_policy"),
        ("--keep-daily 0", "empty_policy"),
        ("--keep-daily seven", "usage"),
        ("--keep-within 7", "usage"),
        ("--keep-daily 1 --job 2", "usage"),
        ("--keep-daily 1 --undo", "usage"),
        ("nobody --keep-last 1", "unknown_project"),
    ] {
        let ran = sandbox.run(&format!("runup --json forget {words}")).exits(2);
        assert!(ran.stderr().contains(&format!("\"{code}\"")), "{words}: {}", ran.stderr());
        assert_eq!(listed(&sandbox, "app"), [1, 2, 3], "{words}");
    }
    let ran = sandbox.run("RUNUP_DATE=2026-01-01T12:00:00Z runup forget --keep-last 1").exits(2);
    assert!(ran.stderr().contains("job 2 of project \"app\" is dated 2026-01-01T18:00:00"));
    assert_eq!(listed(&sandbox, "app"), [1, 2, 3]);
}

#[test]
fn what_is_damaged_is_kept_and_told() {
    let sandbox = backed_up(DAYS);
    let job = sandbox.path(".runup/jobs/00000002");
    let mut bytes = std::fs::read(&job).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&job, bytes).unwrap();
    let ran = sandbox.run("runup forget app --keep-last 2 --json").exits(4);
    assert!(ran.stderr().contains("00000002"), "{}", ran.stderr());
    let expected = [(1, ""), (3, ""), (4, "last"), (5, "newest last")];
    assert_eq!(reasons(&ran.records()), expected.map(|(job, text)| (job, text.to_owned())));
    assert!(!sandbox.exists(".runup/forgotten/00000002"));
    assert!(sandbox.exists(".runup/forgotten/00000003/app"));
}
