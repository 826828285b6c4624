//! The porcelain is the plumbing: a pipeline in `sh` makes the tree that `runup backup` makes, and
//! `runup-checkout` writes what `runup restore` writes.

use crate::sandbox::Sandbox;

fn populated(projects: &str) -> Sandbox {
    let sandbox = Sandbox::with_projects(projects);
    sandbox.write("src/main.rs", b"fn main() {}\n");
    sandbox.write("src/deep/er/file", b"bytes");
    sandbox.write("src/empty", b"");
    sandbox.write("src/build/out.o", b"object");
    sandbox.write("docs/read me\n.md", b"text");
    sandbox.write("unwanted", b"no");
    let long: Vec<u8> = (0..5_000_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    sandbox.write("src/long", &long);
    sandbox
        .run(
            "ln src/main.rs src/hard; ln -s main.rs src/soft; ln -s /nowhere docs/dangling
             mkfifo src/pipe; mkdir src/void; chmod 700 src/deep; chmod 4755 src/empty
             touch -d '1965-03-02 01:02:03.123456789' src/main.rs
             touch -d '2100-01-01 00:00:00.5' docs
             truncate -s 20M src/holes; printf end >> src/holes",
        )
        .succeeds();
    sandbox
}

const PROJECT: &str = "  app:\n    include: [src, docs]\n    exclude: ['*.o', src/void]\n";

#[test]
fn a_pipeline_makes_the_tree_of_a_backup() {
    let sandbox = populated(PROJECT);
    let backup = sandbox.run("runup backup --json").succeeds().record();
    let tree = backup["tree"].as_str().unwrap().to_owned();
    let write_tree =
        "runup-write-tree . --include src --include docs --exclude '*.o' --exclude src/void";
    for more in ["", " --dry-run", " --jobs 7"] {
        let ran = sandbox.run(&format!("{write_tree} --plain{more}")).succeeds();
        assert_eq!(ran.stdout().trim(), tree, "{more}");
    }
    let ran = sandbox
        .run(&format!("{write_tree} | runup-write-snapshot --project app -m 'by hand'"))
        .succeeds();
    let written = ran.record();
    assert_eq!((&written["tree"], &written["job"]), (&backup["tree"], &2.into()));
    assert_eq!(written["parent"], backup["snapshot_id"]);
    let both = sandbox.run("runup-cat-snapshot app@1 app@2").succeeds().stdout();
    let both: Vec<serde_json::Value> =
        both.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for field in ["tree", "links", "root", "includes", "excludes", "skipped", "counts", "context"] {
        assert_eq!(both[0][field], both[1][field], "{field}");
        assert!(!both[0][field].is_null(), "{field}");
    }
}

#[test]
fn a_checkout_writes_what_a_restore_writes() {
    let sandbox = populated(PROJECT);
    sandbox.run("runup backup").succeeds();
    sandbox.run("runup restore --force --location ../restored").succeeds();
    sandbox.run("runup-checkout app --to ../checked-out").succeeds();
    sandbox.run("cp -a src docs ../ && rm -r ../src/build/out.o ../src/void").succeeds();
    sandbox.run("touch -r src/build ../src/build; touch -r src ../src").succeeds();
    let restored = sandbox.look("../restored");
    assert_eq!(restored, sandbox.look("../checked-out"));
    assert_eq!(restored.len(), 15);
    for folder in ["src", "docs"] {
        assert_eq!(
            sandbox.look(&format!("../restored/{folder}")),
            sandbox.look(&format!("../{folder}"))
        );
    }
    let tree = sandbox.run("runup-rev-parse --plain app:").succeeds().stdout();
    let again = sandbox.run("runup-write-tree --plain -n ../restored").succeeds().stdout();
    assert_eq!(tree, again);
}

#[test]
fn ids_are_what_b3sum_would_print() {
    let sandbox = populated(PROJECT);
    sandbox.run("runup backup").succeeds();
    let listed = sandbox.run("runup-ls-tree -r -z --format=b3sum app").succeeds().stdout();
    let mut files = 0;
    for line in listed.split_terminator('\0') {
        let (id, path) = line.split_once("  ").unwrap();
        assert_eq!(id, blake3::hash(&sandbox.read(path)).to_hex().as_str(), "{path}");
        files += 1;
    }
    assert_eq!(files, 7);
    for entry in std::fs::read_dir(sandbox.path(".runup/packs")).unwrap() {
        let path = entry.unwrap().path();
        let name = blake3::hash(&std::fs::read(&path).unwrap()).to_hex();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(name.as_str()));
    }
}

#[test]
fn objects_go_in_and_come_out_by_pipe() {
    let sandbox = populated(PROJECT);
    let script = "find src docs -type f -print0 | sort -z \
                  | runup-hash-object -w --stdin-paths -z | tr '\\0' '\\n'";
    let ran = sandbox.run(script).succeeds();
    let records: Vec<serde_json::Value> =
        ran.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 8);
    for record in &records {
        let id = record["id"].as_str().unwrap();
        let path = record["path"].as_str().unwrap();
        sandbox.run(&format!("runup-cat-object -p {id} | cmp - '{path}'")).succeeds();
        sandbox.run(&format!("runup-cat-object -e {id}")).succeeds();
    }
    let id = records[0]["id"].as_str().unwrap();
    let ran = sandbox
        .run(&format!("printf '{id}\\n{}\\n' | runup-cat-object --batch-check", "0".repeat(64)));
    let answers = ran.succeeds().stdout();
    assert!(answers.lines().next().unwrap().contains("\"found\""));
    assert!(answers.lines().nth(1).unwrap().contains("\"missing\""));
    sandbox.run(&format!("runup-cat-object -e {}", "0".repeat(64))).exits(1);
    let one =
        sandbox.run("printf hello | runup-hash-object -w --stdin --plain").succeeds().stdout();
    let (head, tail) = one.trim().split_at(2);
    assert!(sandbox.exists(&format!(".runup/objects/{head}/{tail}")), "a single object is loose");
}

#[test]
fn chosen_paths_are_checked_out_by_pipe() {
    let sandbox = populated(PROJECT);
    sandbox.run("runup backup").succeeds();
    let script = "runup-ls-tree -r -z --name-only app | grep -z deep \
                  | runup-checkout --stdin -z --to ../some app";
    sandbox.run(script).succeeds();
    assert_eq!(sandbox.read("../some/src/deep/er/file"), b"bytes");
    assert_eq!(sandbox.look("../some").len(), 4);
}

#[test]
fn paths_that_are_not_in_a_tree_are_told() {
    let sandbox = populated(PROJECT);
    sandbox.run("runup backup").succeeds();
    let ran = sandbox.run("runup-checkout app --to ../some src/deep gone src/gone").exits(3);
    assert_eq!(ran.record()["errors"], 2);
    assert!(ran.stderr().contains("no_such_path"), "{}", ran.stderr());
    assert_eq!(sandbox.read("../some/src/deep/er/file"), b"bytes");
    // One path may be below another, and no path is not all of them.
    sandbox.run("runup-checkout app --to ../other src src/main.rs src/deep/er").succeeds();
    sandbox.run("echo | runup-checkout app --to ../none --stdin").exits(2);
}

#[test]
fn a_snapshot_of_what_is_not_stored_is_refused() {
    let sandbox = populated(PROJECT);
    let script = "runup-write-tree -n . | runup-write-snapshot --project app";
    let ran = sandbox.run(script).exits(1);
    assert!(ran.stderr().contains("incomplete_tree"), "{}", ran.stderr());
    assert_eq!(sandbox.run("runup-ls-snapshots").succeeds().stdout(), "");
}
