//! `runup-ls-projects`: what completion asks for, whatever is there.

use serde_json::json;

use crate::sandbox::Sandbox;

#[test]
fn projects_of_file_and_repository_are_listed() {
    let sandbox = Sandbox::with_projects("  web:\n    include: [.]\n  app:\n    include: [a]\n");
    sandbox.write("a", b"1");
    let write = "runup-write-tree . --include a | runup-write-snapshot --project";
    let script = format!("{write} app; {write} old; {write} app; runup-rev-parse --plain app@3");
    let latest = sandbox.run(&format!("{{ {script}; }} | tail -n 1")).succeeds().stdout();
    let ran = sandbox.run("runup-ls-projects").succeeds();
    let records: Vec<serde_json::Value> =
        ran.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        records[..2],
        [
            json!({"project": "web", "in_project_file": true, "includes": ["."], "excludes": [],
                "snapshots": 0, "latest_job": null, "latest_snapshot": null}),
            json!({"project": "app", "in_project_file": true, "includes": ["a"], "excludes": [],
                "snapshots": 2, "latest_job": 3, "latest_snapshot": latest.trim()}),
        ]
    );
    assert_eq!(
        (&records[2]["project"], &records[2]["in_project_file"]),
        (&json!("old"), &json!(false))
    );
    let plain = sandbox.run("runup-ls-projects --plain").succeeds();
    assert_eq!((plain.stdout().as_str(), plain.stderr().as_str()), ("web\napp\nold\n", ""));
}

#[test]
fn what_is_missing_is_not_missed_and_damage_is_told_after_the_rest() {
    let sandbox = Sandbox::new();
    let nothing = sandbox.run("runup-ls-projects").succeeds();
    assert_eq!((nothing.stdout(), nothing.stderr()), (String::new(), String::new()));
    sandbox.write("runup.yaml", b"version: '1'\nproject: {app: {include: [.]}}\n");
    let plain = |code| sandbox.run("runup-ls-projects --plain").exits(code).stdout();
    assert_eq!(plain(0), "app\n");
    sandbox.run("runup init; runup backup; runup backup; echo >>.runup/jobs/00000002").succeeds();
    assert_eq!(plain(4), "app\n");
    sandbox.run("rm .runup/jobs/00000002; echo oops >runup.yaml").succeeds();
    assert_eq!(plain(2), "", "where the repository is cannot be known");
    let ran = sandbox.run("runup-ls-projects --plain --repository .runup").exits(2);
    assert_eq!(ran.stdout(), "app\n");
}
