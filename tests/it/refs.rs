//! Tags and pins: names that lead to objects, changed by transactions that happen whole or not at
//! all, however many run at a time and whenever one is killed.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use runup::format::control;
use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox};

/// A sandbox with two jobs of one project.
fn backed_up() -> Sandbox {
    let sandbox = Sandbox::with_projects("  app:\n    include: [src]\n");
    sandbox.write("src/file", b"one");
    sandbox.run("runup backup").succeeds();
    sandbox.write("src/file", b"two");
    sandbox.run("runup backup").succeeds();
    sandbox
}

fn id(sandbox: &Sandbox, revision: &str) -> String {
    let ran = sandbox.run(&format!("runup-rev-parse --plain '{revision}'")).succeeds();
    ran.stdout().trim().to_owned()
}

/// The code and message of the failure.
fn failure(ran: &Ran) -> (String, String) {
    let stderr = ran.stderr();
    let record: Value = serde_json::from_str(stderr.lines().next().unwrap()).unwrap();
    let text = |key: &str| record[key].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

fn names(sandbox: &Sandbox) -> String {
    sandbox.run("runup-for-each-ref --name-only tag/ pin/").succeeds().stdout().replace('\n', " ")
}

fn tables(sandbox: &Sandbox) -> usize {
    std::fs::read_dir(sandbox.path(".runup/refs")).unwrap().count()
}

#[test]
fn a_ref_leads_to_any_object_and_on_to_paths() {
    let sandbox = backed_up();
    for (name, revision, kind) in [
        ("tag/v1", "app@1", "snapshot"),
        ("tag/tree", "app@1:", "tree"),
        ("pin/keep-me", "app@1:src/file", "blob"),
    ] {
        let ran = sandbox.run(&format!("runup-update-ref {name} {revision}")).succeeds();
        let target = id(&sandbox, revision);
        let expected = json!({"name": name, "old": null, "id": target, "kind": kind});
        assert_eq!(ran.record(), expected);
        assert_eq!(id(&sandbox, name), target);
    }
    for revision in ["tag/v1:src/file", "tag/tree:src/file", "pin/keep-me"] {
        let ran = sandbox.run(&format!("runup-cat-object -p {revision}")).succeeds();
        assert_eq!(ran.stdout(), "one", "{revision}");
    }
    sandbox.run("runup-checkout tag/v1 --to ../out").succeeds();
    assert_eq!(sandbox.read("../out/src/file"), b"one");
    for (revision, code) in [
        ("tag/none", "unknown_revision"),
        ("tag/v1@1", "bad_revision"),
        ("tag/v1~1", "bad_revision"),
        ("pin/keep-me:file", "no_such_path"),
    ] {
        let ran = sandbox.run(&format!("runup-rev-parse {revision}")).exits(2);
        assert_eq!(failure(&ran).0, code, "{revision}");
    }
    sandbox.run("runup check").succeeds();
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let sandbox = backed_up();
    let (one, two) = (id(&sandbox, "app@1"), id(&sandbox, "app@2"));
    let ran = sandbox.run(
        "printf 'create tag/a app@1\\nupdate tag/b app@1 none\\nupdate pin/c app@1:src/file\\n' \
         | runup-update-ref --stdin",
    );
    assert_eq!(ran.succeeds().records().len(), 3);
    assert_eq!(names(&sandbox), "pin/c tag/a tag/b ");
    assert_eq!(tables(&sandbox), 1, "one table for all of it");
    for (last, found, expected) in [
        ("create tag/b app", one.as_str(), "absent"),
        (&format!("update tag/b app {two}"), &one, &two),
        (&format!("delete tag/b {two}"), &one, &two),
        ("verify tag/b none", &one, "absent"),
        (&format!("verify tag/d {one}"), "is not there", &one),
        ("delete tag/d", "is not there", "there"),
    ] {
        let script = format!("printf 'update tag/a app\\ndelete pin/c\\n{last}\\n'");
        let ran = sandbox.run(&format!("{script} | runup-update-ref --stdin")).exits(1);
        let (code, message) = failure(&ran);
        assert_eq!((code.as_str(), ran.stdout().as_str()), ("ref_changed", ""), "{last}");
        let name = last.split(' ').nth(1).unwrap();
        assert!(message.starts_with(name), "{message}");
        assert!(
            message.contains(found) && message.contains(&format!("not {expected}")),
            "{message}"
        );
        assert_eq!(id(&sandbox, "tag/a"), one);
        assert_eq!(names(&sandbox), "pin/c tag/a tag/b ");
    }
    let script = format!(
        "printf 'update tag/a app@2 {one}\\ndelete pin/c\\nverify tag/b {one}\\nverify tag/d none\\n' \
         | runup-update-ref --stdin"
    );
    let changed = sandbox.run(&script).succeeds().records();
    assert_eq!(changed[0], json!({"name": "tag/a", "old": one, "id": two, "kind": "snapshot"}));
    assert_eq!((&changed[1]["name"], &changed[1]["id"]), (&json!("pin/c"), &Value::Null));
    assert_eq!(changed.len(), 2, "what was only verified has not changed");
    assert_eq!(names(&sandbox), "tag/a tag/b ");
    assert_eq!(tables(&sandbox), 2);
}

#[test]
fn what_changes_nothing_publishes_nothing() {
    let sandbox = backed_up();
    sandbox.run("runup-update-ref tag/a app").succeeds();
    let before = sandbox.look(".runup/refs");
    for script in [
        "runup-update-ref tag/a app",
        "runup-update-ref --old $(runup-rev-parse --plain app) tag/a app@2",
        "printf 'verify tag/b none\\nupdate tag/a app\\n' | runup-update-ref --stdin",
        "runup-update-ref --stdin </dev/null",
    ] {
        assert_eq!(sandbox.run(script).succeeds().stdout(), "", "{script}");
    }
    assert_eq!(sandbox.look(".runup/refs"), before);
}

#[test]
fn one_ref_is_changed_by_arguments() {
    let sandbox = backed_up();
    let (one, two) = (id(&sandbox, "app@1"), id(&sandbox, "app@2"));
    let ran = sandbox.run("runup-update-ref --plain --old none tag/a app@1").succeeds();
    assert_eq!(ran.stdout().trim(), one);
    sandbox.run("runup-update-ref --old none tag/a app@2").exits(1);
    sandbox.run(&format!("runup-update-ref --old {two} tag/a app@2")).exits(1);
    sandbox.run(&format!("runup-update-ref --old {one} tag/a app@2")).succeeds();
    sandbox.run(&format!("runup-update-ref --delete --old {one} tag/a")).exits(1);
    let ran = sandbox.run(&format!("runup-update-ref --delete --old {two} tag/a")).succeeds();
    assert_eq!(ran.record(), json!({"name": "tag/a", "old": two, "id": null, "kind": null}));
    sandbox.run("runup-update-ref --delete tag/a").exits(1);
    for wrong in [
        "tag/a",
        "--delete tag/a app",
        "--delete --old none tag/a",
        "--old ab12 tag/a app",
        "project/app app",
        "a app",
        "tag/a/b app",
        "tag/-a app",
        "--stdin tag/a app",
        "",
    ] {
        sandbox.run(&format!("runup-update-ref {wrong} </dev/null")).exits(2);
    }
    for wrong in ["create tag/a", "update tag/a", "verify tag/a", "move tag/a app", "create"] {
        sandbox.run(&format!("echo '{wrong}' | runup-update-ref --stdin")).exits(2);
    }
    let twice = "printf 'create tag/a app\\ncreate tag/a app\\n' | runup-update-ref --stdin";
    assert_eq!(failure(&sandbox.run(twice).exits(2)).0, "bad_ref");
    assert_eq!(names(&sandbox), "");
}

#[test]
fn records_of_other_programs_are_read() {
    let sandbox = backed_up();
    sandbox.run("runup-update-ref tag/a app@1 && runup-update-ref tag/b app@2:src/file").succeeds();
    let copy = "runup-for-each-ref -z tag/ | sed -z s,tag/,pin/, | runup-update-ref --stdin -z";
    let copied = sandbox.run(copy).succeeds().stdout();
    assert_eq!(copied.split_terminator('\0').count(), 2);
    for (pin, tag) in [("pin/a", "tag/a"), ("pin/b", "tag/b")] {
        assert_eq!(id(&sandbox, pin), id(&sandbox, tag));
    }
    let old = id(&sandbox, "tag/a");
    let step = json!({"action": "delete", "name": "tag/a", "old": old, "more": [1]});
    sandbox.run(&format!("echo '{step}' | runup-update-ref --stdin")).succeeds();
    let step = json!({"action": "create", "name": "tag/a b", "id": "app"});
    sandbox.run(&format!("echo '{step}' | runup-update-ref --stdin")).exits(2);
    sandbox.run("echo '{\"name\":\"tag/c\"}' | runup-update-ref --stdin").exits(2);
    let derived = "runup-for-each-ref project/ | runup-update-ref --stdin";
    assert_eq!(failure(&sandbox.run(derived).exits(2)).0, "bad_ref");
    assert_eq!(names(&sandbox), "pin/a pin/b tag/b ");
}

#[test]
fn refs_are_listed_with_what_holds_them() {
    let sandbox = backed_up();
    sandbox
        .run(
            "runup-update-ref tag/v1 app@1; runup-update-ref tag/v2 app@2
             runup-update-ref pin/file app@2:src/file",
        )
        .succeeds();
    let one = sandbox.run("runup-cat-snapshot app@1").succeeds().record();
    let listed = sandbox.run("runup-for-each-ref").succeeds().records();
    let of = |key: &str| listed.iter().map(|record| record[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("name"), ["pin/file", "project/app", "tag/v1", "tag/v2"]);
    assert_eq!(of("type"), ["pin", "project", "tag", "tag"]);
    assert_eq!(of("kind"), ["blob", "snapshot", "snapshot", "snapshot"]);
    assert_eq!(of("job"), [Value::Null, json!(2), json!(1), json!(2)]);
    assert_eq!(of("project"), [Value::Null, json!("app"), json!("app"), json!("app")]);
    assert_eq!(listed[0]["time"], Value::Null);
    assert_eq!((&listed[2]["time"], &listed[2]["id"]), (&one["time"], &one["id"]));
    for (arguments, expected) in [
        ("tag/", "tag/v1 tag/v2 "),
        ("tag/v1 pin/", "pin/file tag/v1 "),
        ("'*2' project", "project/app tag/v2 "),
        ("--points-at app", "project/app tag/v2 "),
        ("--points-at tag/v1:src/file", ""),
        ("tag/v", ""),
    ] {
        let ran = sandbox.run(&format!("runup-for-each-ref --name-only {arguments}")).succeeds();
        assert_eq!(ran.stdout().replace('\n', " "), expected, "{arguments}");
    }
    let plain = sandbox.run("runup-for-each-ref --plain -z tag/v1").succeeds().stdout();
    assert_eq!(plain, format!("{}\0", id(&sandbox, "app@1")));
    // A forgotten job holds nothing; the tag still does.
    sandbox.write(".runup/forgotten/00000001/app", b"");
    let record = sandbox.run("runup-for-each-ref tag/v1").succeeds().record();
    assert_eq!((&record["job"], &record["time"]), (&Value::Null, &Value::Null));
    sandbox.run("runup-cat-object -p tag/v1:src/file").succeeds();
}

#[test]
fn what_is_not_wholly_stored_gets_no_name() {
    let sandbox = backed_up();
    let blob = sandbox.run("runup-hash-object -w --plain src/file runup.yaml").succeeds().stdout();
    let absent = "0".repeat(64);
    let ran = sandbox.run(&format!("runup-update-ref tag/a {absent}")).exits(2);
    assert_eq!(failure(&ran).0, "unknown_revision");
    // Condemned, as by a prune that is at work: still there for readers only.
    let loose: Vec<&str> = blob.lines().collect();
    let generation =
        json!({"condemned_loose": loose, "condemned_packs": [], "highest_job": 2, "number": 1});
    sandbox.write(".runup/gc/00000001", &control::encode(&generation));
    let ran = sandbox.run(&format!("runup-update-ref tag/a {}", loose[1])).exits(1);
    assert_eq!(failure(&ran).0, "incomplete_tree");
    // A tree whose file is gone.
    let pack = "for pack in .runup/packs/*; do mv $pack ../aside; \
                runup-cat-object -p app@1:src/file >/dev/null 2>&1 || exit 0; \
                mv ../aside $pack; done";
    sandbox.run(pack).succeeds();
    let ran = sandbox.run("runup-update-ref tag/a app@1");
    assert!(failure(&ran.exits(1)).1.contains(" is not in the repository"));
    assert_eq!(tables(&sandbox), 0);
}

#[test]
fn no_update_is_lost_among_many() {
    const PROGRAMS: usize = 12;
    let sandbox = backed_up();
    let script = format!(
        "for i in $(seq {PROGRAMS}); do
           (for j in 1 2 3; do runup-update-ref --plain tag/$i-$j app >/dev/null; done) &
         done; wait"
    );
    sandbox.run(&script).succeeds();
    assert_eq!(names(&sandbox).split_whitespace().count(), PROGRAMS * 3);
    assert_eq!(tables(&sandbox), PROGRAMS * 3, "each number was given once");
    // Of several that expect the same value, one is right.
    let script = format!(
        "old=$(runup-rev-parse --plain app@2)
         for i in $(seq {PROGRAMS}); do
           printf \"update tag/1-1 app@1 $old\\ncreate pin/$i app\\n\" \
             | runup-update-ref --stdin --plain >>../changed 2>>../refused &
         done; wait"
    );
    sandbox.run(&script).succeeds();
    let text = |name: &str| String::from_utf8(sandbox.read(name)).unwrap();
    assert_eq!(text("../changed").lines().count(), 2, "the tag and one pin");
    let refused = text("../refused");
    assert_eq!(refused.lines().count(), PROGRAMS - 1);
    assert!(refused.lines().all(|line| line.contains("tag/1-1 is ")), "{refused}");
    assert_eq!(sandbox.run("runup-for-each-ref pin/").succeeds().stdout().lines().count(), 1);
    assert_eq!(id(&sandbox, "tag/1-1"), id(&sandbox, "app@1"));
    sandbox.run("runup check").succeeds();
}

#[test]
fn a_killed_transaction_leaves_all_or_nothing() {
    let sandbox = backed_up();
    sandbox.run("runup-update-ref tag/a app@1; runup-update-ref tag/b app@1").succeeds();
    let ids = [id(&sandbox, "app@1"), id(&sandbox, "app@2")];
    let mut killed = 0;
    for number in 1..=40_u64 {
        let job = 1 + number % 2;
        let script = format!(
            "printf 'update tag/a app@{job}\\nupdate tag/b app@{job}\\n' >in
             exec runup-update-ref --stdin <in"
        );
        let mut command = sandbox.shell(&script);
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().unwrap();
        // Spread over the few milliseconds that it takes, in an order of no pattern.
        std::thread::sleep(Duration::from_micros(number * 1733 % 16_000));
        child.kill().unwrap();
        let is_done = child.wait().unwrap().success();
        killed += u32::from(!is_done);
        let now = [id(&sandbox, "tag/a"), id(&sandbox, "tag/b")];
        assert_eq!(now[0], now[1], "kill {number}");
        assert!(ids.contains(&now[0]));
        if is_done {
            assert_eq!(now[0], ids[(job - 1) as usize]);
        }
    }
    assert!(killed > 0, "none was killed in time");
    sandbox.run("runup-update-ref tag/c app && runup check").succeeds();
    assert_eq!(std::fs::read_dir(sandbox.path(".runup/sessions")).unwrap().count(), 0);
}

#[test]
fn damage_to_refs_is_told() {
    let sandbox = backed_up();
    sandbox.run("runup-hash-object -w runup.yaml && runup-update-ref tag/v1 app@1").succeeds();
    let blob = blake3::hash(&sandbox.read("runup.yaml")).to_hex().to_string();
    sandbox.run(&format!("runup-update-ref pin/loose {blob}")).succeeds();
    let ran = sandbox.run("runup-fsck").succeeds();
    assert_eq!(ran.record()["refs"], 2);
    // An object that nothing but a pin needs.
    let (head, tail) = blob.split_at(2);
    sandbox.run(&format!("mv .runup/objects/{head}/{tail} ../aside")).succeeds();
    let ran = sandbox.run("runup-fsck").exits(4);
    let finding = ran.record();
    assert_eq!((&finding["code"], &finding["object"]), (&json!("missing_object"), &json!(blob)));
    assert_eq!(
        finding["affected"][0],
        json!({"job": null, "project": null, "ref": "pin/loose", "path": "", "path_b64": null})
    );
    sandbox.run(&format!("mv ../aside .runup/objects/{head}/{tail} && runup check")).succeeds();
    // A table under another's name, and one that was changed.
    sandbox.run("cp .runup/refs/00000001 .runup/refs/00000003").succeeds();
    assert_eq!(sandbox.run("runup-fsck").exits(4).record()["code"], "damaged_refs");
    sandbox.run("runup-rev-parse tag/v1").exits(4);
    sandbox.run("runup-update-ref tag/v2 app").exits(4);
    sandbox.run("rm .runup/refs/00000003 && sed -i s/tag/tug/ .runup/refs/00000002").succeeds();
    assert_eq!(sandbox.run("runup-fsck").exits(4).record()["file"], "refs/00000002");
    sandbox.run("runup-for-each-ref").exits(4);
    sandbox.run("rm .runup/refs/00000002 && runup-rev-parse tag/v1").succeeds();
    sandbox.run("runup-rev-parse pin/loose").exits(2);
}

#[test]
fn a_whole_id_is_that_object_whatever_a_project_is_called() {
    let sandbox = backed_up();
    let first = id(&sandbox, "app@1");
    sandbox.run("runup-update-ref pin/old app@1").succeeds();
    let script = format!("runup-rev-parse --plain app@2: | runup-write-snapshot --project {first}");
    sandbox.run(&script).succeeds();
    assert_eq!(id(&sandbox, &first), first);
    assert_ne!(id(&sandbox, &format!("project/{first}")), first);
    let same = sandbox.run("runup-for-each-ref pin | runup-update-ref --stdin").succeeds();
    assert_eq!(same.stdout(), "");
    assert_eq!(id(&sandbox, "pin/old"), first);
}

#[test]
fn a_snapshot_that_a_tag_keeps_holds_nothing_alone() {
    let sandbox = backed_up();
    let alone = "runup-rev-list --objects --exclusive --plain app@1";
    assert!(sandbox.run(alone).succeeds().stdout().lines().count() >= 3);
    sandbox.run("runup-update-ref tag/kept app@1").succeeds();
    assert_eq!(sandbox.run(alone).succeeds().stdout(), "");
}

#[test]
fn a_program_that_goes_on_finds_what_is_stored_meanwhile() {
    let sandbox = backed_up();
    let script = "mkfifo ../asked ../told
        runup-rev-parse --stdin --plain <../asked >../told & exec 3>../asked 4<../told
        echo app >&3; read -r first <&4
        new=$(echo new | runup-hash-object -w --stdin --plain)
        echo $new >&3; read -r second <&4; exec 3>&-; wait
        test \"$first\" = \"$(runup-rev-parse --plain app)\" && test \"$second\" = \"$new\"";
    sandbox.run(script).succeeds();
}
