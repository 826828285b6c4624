//! runup-mktree: trees from records, whole or as changes of another tree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::sandbox::Sandbox;

/// A repository and a tree with everything in it that a file system holds.
fn populated() -> Sandbox {
    let sandbox = Sandbox::with_projects("  app:\n    include: [src]\n");
    sandbox.write("src/main.rs", b"fn main() {}\n");
    sandbox.write("src/deep/er/file", b"bytes");
    sandbox.write("src/empty", b"");
    sandbox.write("src/read me\n.md", b"text");
    let long: Vec<u8> = (0..900_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    sandbox.write("src/long", &long);
    sandbox
        .run(
            r"ln src/main.rs src/hard; ln -s main.rs src/soft; mkfifo src/pipe; mkdir src/void
              chmod 700 src/deep; chmod 4755 src/empty; printf raw > $(printf 'src/\377')
              truncate -s 5M src/holes; touch -d '1965-03-02 01:02:03.123456789' src/main.rs
              touch -d '2100-01-01 00:00:00.5' src",
        )
        .succeeds();
    sandbox
}

fn tree_of(sandbox: &Sandbox, directory: &str) -> String {
    sandbox.run(&format!("runup-write-tree -n --plain {directory}")).succeeds().stdout()
}

const LIST: &str = "find . -print0 | runup-hash-object -w --stdin-paths -z";

#[test]
fn a_tree_of_hashed_files_is_the_tree_of_their_directory() {
    let sandbox = populated();
    let expected = tree_of(&sandbox, "src");
    for order in ["", " | shuf -z", " | tac -s ''"] {
        let script = format!("cd src; {LIST}{order} | runup-mktree -z --recursive --plain");
        let ran = sandbox.run(&script.replace("tac -s ''", "sort -zr")).succeeds();
        assert_eq!(ran.stdout().replace('\0', "\n"), expected, "{order}");
    }
    let dry = "cd src; find . | tr '\\n' '\\0' >/dev/null; find . -print0 \
               | runup-hash-object --stdin-paths -z | runup-mktree -nz --recursive --plain";
    assert_eq!(sandbox.run(dry).succeeds().stdout(), expected);
}

#[test]
fn a_pipeline_backs_up_what_a_backup_does() {
    let sandbox = populated();
    sandbox.run("runup backup --json").succeeds();
    let script = format!(
        "cd src; {LIST} | runup-mktree -z --recursive | runup-write-snapshot --project hand"
    );
    sandbox.run(&script).succeeds();
    let field = |name: &str| {
        let rev = "runup-cat-snapshot app hand | jq -c";
        sandbox.run(&format!("{rev} .{name}")).succeeds().stdout()
    };
    for name in ["users", "groups"] {
        let values = field(name);
        let (one, other) = values.trim().split_once('\n').unwrap();
        assert_eq!(one, other, "{name}");
    }
    // The project has one directory more, and the paths of its links begin with it.
    sandbox.run("runup restore hand --location ../hand --force").succeeds();
    assert_eq!(sandbox.look("src"), sandbox.look("../hand"));
    let root = sandbox.run("stat -c '%a %Y' src ../hand").succeeds().stdout();
    let (one, other) = root.trim().split_once('\n').unwrap();
    assert_eq!(one, other, "the metadata of the root");
}

#[test]
fn listings_round_trip() {
    let sandbox = populated();
    sandbox.run("runup backup").succeeds();
    for list in ["ls-tree app:src", "ls-tree -z app:src"] {
        let nul = if list.contains("-z") { "-z" } else { "" };
        let script = format!(
            "test \"$(runup-{list} | runup-mktree {nul} --plain | tr -d '\\0')\" \
             = \"$(runup-rev-parse --plain app:src)\""
        );
        sandbox.run(&script).succeeds();
    }
    let script = "runup-ls-tree -rtz app | runup-mktree -z --recursive \
                  | runup-write-snapshot --project again; \
                  runup-cat-snapshot app again | jq -c '[.tree, .links, .counts]' | uniq | wc -l";
    assert_eq!(sandbox.run(script).succeeds().stdout().lines().last(), Some("1"));
}

#[test]
fn records_that_are_left_out_are_not_in_the_tree() {
    let sandbox = populated();
    sandbox.run("runup backup").succeeds();
    let script = "runup-ls-tree -rt app | jq -c 'select(.path | test(\"deep/\") | not)' \
                  | runup-mktree --recursive --plain";
    let tree = sandbox.run(script).succeeds().stdout();
    let paths = sandbox.run(&format!("runup-ls-tree -r --name-only {tree}")).succeeds().stdout();
    assert!(!paths.contains("deep") && paths.contains("src/main.rs"), "{paths}");
}

#[test]
fn lines_of_b3sum_and_bare_objects_are_entries() {
    let sandbox = populated();
    let script = "cd src; runup-hash-object -w main.rs empty 'read me\n.md' --pack >/dev/null
                  export RUNUP_DATE=@1000000000
                  b3sum main.rs empty 'read me\n.md' | runup-mktree --plain";
    let tree = sandbox.run(script).succeeds().stdout();
    let listed = sandbox.run(&format!("runup-ls-tree {}", tree.trim())).succeeds().stdout();
    let listed: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = listed.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["empty", "main.rs", "read me\n.md"]);
    for entry in &listed {
        assert_eq!(entry["mode"], "0644");
        assert_eq!(entry["mtime"], "1000000000.000000000");
    }
}

#[test]
fn dumps_become_one_snapshot() {
    let sandbox = populated();
    let script = r#"
        { seq 1 1000 | runup-hash-object -w --stdin --path db/one.sql
          seq 2 2000 | runup-hash-object -w --stdin --path db/two.sql
          runup-write-tree src | jq -c '.path = "files"'
        } | runup-mktree --recursive | runup-write-snapshot --project dumps --plain
        runup-checkout dumps --to ../dumps --plain
        seq 2 2000 | cmp - ../dumps/db/two.sql"#;
    sandbox.run(script).succeeds();
    assert_eq!(sandbox.look("src").len(), sandbox.look("../dumps/files").len());
    let counts = "runup-cat-snapshot dumps | jq -c '.counts == {files: 10, directories: 5, \
                  symlinks: 1, others: 1, size_bytes: .counts.size_bytes}'";
    assert_eq!(sandbox.run(counts).succeeds().stdout(), "true\n");
}

#[test]
fn only_what_is_named_changes_on_top_of_a_base() {
    let sandbox = populated();
    sandbox.run("runup backup").succeeds();
    let script = r#"echo changed > src/main.rs; rm src/soft; mkdir -p src/new/er; echo n > src/new/er/f
           chmod 750 src/deep
           { printf '%s\0' src/main.rs src/hard src src/new src/new/er src/new/er/f src/deep \
                | runup-hash-object -w --stdin-paths -z
             printf '%s\0' '{"path":"src/soft","status":"removed"}'
           } | runup-mktree -z --recursive --base app | runup-write-snapshot --project app"#;
    sandbox.run(script).succeeds();
    let trees = sandbox.run("runup-rev-parse --plain app@2:src").succeeds().stdout();
    assert_eq!(trees, tree_of(&sandbox, "src"));
    let same =
        "runup-cat-snapshot app@1 app@2 | jq -c '[.includes, .context, .users]' | uniq | wc -l";
    assert_eq!(sandbox.run(same).succeeds().stdout().trim(), "1");
    // main.rs was one of two names of an inode; what it is now was said to be linked again.
    let links = sandbox.run("runup-ls-tree -r app@2 | jq -r 'select(.link_group) | .path'");
    assert_eq!(links.succeeds().stdout(), "src/hard\nsrc/main.rs\n");
    sandbox.run("runup check --read-data").succeeds();
    // Nothing named: the base itself. And what is no longer linked is in no group.
    let same = "test $(runup-mktree --recursive --base app --plain </dev/null) = \
                $(runup-rev-parse --plain app:)";
    sandbox.run(same).succeeds();
    let script = r#"id=$(echo other | runup-hash-object -w --stdin --plain)
        echo "{\"path\":\"src/hard\",\"id\":\"$id\"}" | runup-mktree --recursive --base app \
        | jq .links"#;
    assert_eq!(sandbox.run(script).succeeds().stdout(), "null\n");
}

#[test]
fn links_of_what_is_put_together_are_kept_apart() {
    let sandbox = Sandbox::with_projects("  app:\n    include: [one]\n");
    sandbox
        .run(
            "mkdir one two; echo same >one/a; ln one/a one/b; echo same >two/c; ln two/c two/d
             touch -d @1000 one/* two/*
             for p in one two; do runup-write-tree $p | runup-write-snapshot --project $p; done",
        )
        .succeeds();
    let groups = |pipeline: &str| {
        let script = format!(
            "{pipeline} | runup-write-snapshot --project both --plain >/dev/null
             runup-ls-tree -r both | jq -r '[.link_group, .path] | @tsv' | sed 's/.*:/:/'"
        );
        sandbox.run(&script).succeeds().stdout()
    };
    let listings = "{ runup-ls-tree -r one; runup-ls-tree -r two; } | runup-mktree";
    assert_eq!(groups(listings), ":1\ta\n:1\tb\n:2\tc\n:2\td\n");
    let trees = "runup-write-tree one two | runup-mktree -r";
    assert_eq!(groups(trees), ":1\tone/a\n:1\tone/b\n:2\ttwo/c\n:2\ttwo/d\n");
    let below = "runup-mktree -r --base both:one </dev/null";
    assert_eq!(groups(below), ":1\ta\n:1\tb\n");
    // A diff carries the links of what it names.
    sandbox.run("ln one/a one/c; echo more >>one/a").succeeds();
    let diff = "runup-write-tree one | runup-write-snapshot --project one >/dev/null
                runup-diff-tree -r -t one~ one | runup-mktree -r --base one~";
    assert_eq!(groups(diff), ":1\ta\n:1\tb\n:1\tc\n");
    // What is said to be one inode and holds different bytes is none.
    let lie = r#"{ runup-ls-tree one a | jq -c '.link_group = "x"'
                   runup-ls-tree two c | jq -c '.link_group = "x"'; } | runup-mktree"#;
    assert_eq!(groups(lie), "\ta\n\tc\n");
}

#[test]
fn what_is_not_named_never_goes() {
    let sandbox = populated();
    sandbox.run("runup backup").succeeds();
    let item = r#"{"path":"src/empty/x","type":"fifo"}"#;
    let ran = sandbox.run(&format!("echo '{item}' | runup-mktree -r --base app")).exits(2);
    assert!(ran.stderr().contains("no directory"), "{}", ran.stderr());
    // Removals come before all that is put, a whole tree too.
    let script = r#"tree=$(runup-rev-parse --plain app:src/deep)
        for order in cat tac; do
            { echo "{\"path\":\"x\",\"tree\":\"$tree\"}"
              echo '{"path":"x/er/file","status":"removed"}'
              echo '{"path":"src","status":"removed"}'
            } | $order | RUNUP_DATE=@5 runup-mktree -r --base app --plain
        done | uniq | xargs runup-ls-tree -r --name-only"#;
    assert_eq!(sandbox.run(script).succeeds().stdout(), "x/er/file\n");
}

#[test]
fn records_without_an_object_are_answered_too() {
    let sandbox = populated();
    sandbox.run("runup backup").succeeds();
    let script =
        "runup-ls-tree -r app | runup-cat-object --batch-check | jq -r '[.status, .path] | @tsv'";
    let answers = sandbox.run(script).succeeds().stdout();
    assert_eq!(answers.lines().count(), 10, "{answers}");
    assert!(answers.contains("missing\tsrc/soft\n"), "{answers}");
    let script = "printf '%s\\0' src/main.rs gone src/empty >../paths
        runup-hash-object --stdin-paths -z <../paths >../hashed || test $? = 3
        runup-cat-object --batch-check -z <../hashed | tr '\\0' '\\n' | jq -r .path";
    assert_eq!(sandbox.run(script).succeeds().stdout(), "src/main.rs\ngone\nsrc/empty\n");
    sandbox.run("tr '\\0' '\\n' <../hashed | runup-rev-list --objects --stdin").exits(1);
    sandbox.run("runup-ls-tree -r app | runup-pack-objects --stdin").succeeds();
}

#[test]
fn names_of_files_are_never_taken_for_records() {
    let sandbox = populated();
    sandbox.write("outside", b"outside");
    sandbox
        .run(
            r#"mkdir -p 'src/{"path":"..'; cd src; echo x >'{"path":"../outside"}'; echo y >'{"y'
               echo z >'{"path":"z"}'"#,
        )
        .succeeds();
    sandbox.run("runup backup").succeeds();
    let script =
        "cd src; find . -type f -printf '%P\\0' | runup-hash-object --stdin-paths -z --plain";
    let hashed = sandbox.run(script).succeeds().stdout();
    assert!(!hashed.contains(blake3::hash(b"outside").to_hex().as_str()), "{hashed}");
    assert!(hashed.contains(blake3::hash(b"x\n").to_hex().as_str()), "{hashed}");
    let script = "runup-ls-tree -r -z --name-only app:src | runup-checkout app:src --stdin -z \
                  --plain --to ../picked";
    sandbox.run(script).succeeds();
    assert_eq!(sandbox.look("src").len(), sandbox.look("../picked").len() + 1);
}

#[test]
fn what_is_not_said_stays_as_it_was() {
    let sandbox = populated();
    sandbox.run("runup backup").succeeds();
    let script = r#"id=$(echo other | runup-hash-object -w --stdin --plain)
        tree=$(echo "{\"path\":\"src/empty\",\"id\":\"$id\"}" \
               | RUNUP_DATE=@5 runup-mktree -r --base app --plain)
        runup-ls-tree $tree src/empty | jq -c '[.mode, .mtime, .size_bytes]'
        runup-ls-tree -d $tree src | jq -c .mtime"#;
    let shown = sandbox.run(script).succeeds().stdout();
    assert_eq!(shown, "[\"4755\",\"5.000000000\",6]\n\"4102444800.500000000\"\n");
}

#[test]
fn bad_input_is_refused_and_nothing_is_stored() {
    let sandbox = populated();
    sandbox.run("runup backup").succeeds();
    let before = sandbox.look(".runup/packs");
    let id = sandbox.run("runup-hash-object --plain src/main.rs").succeeds().stdout();
    let id = id.trim();
    let tree = sandbox.run("runup-rev-parse --plain app:src").succeeds().stdout();
    let tree = tree.trim();
    let absent = "0".repeat(64);
    for (input, code, says) in [
        ("nonsense".to_owned(), 2, "neither a record"),
        ("{\"path\":\"a\"".to_owned(), 2, "neither a record"),
        ("{\"path\":\"a\",}".to_owned(), 2, "not a record"),
        (format!("{{\"id\":\"{id}\"}}"), 2, "without a `path`"),
        (format!("{{\"path\":\"a/b\",\"id\":\"{id}\"}}"), 2, "--recursive"),
        (format!("{{\"path\":\"..\",\"id\":\"{id}\"}}"), 2, "no path"),
        (format!("{{\"path\":\"\",\"id\":\"{id}\"}}"), 2, "no path"),
        (format!("{id}  a\n{id}  a"), 2, "named twice"),
        (format!("{absent}  a"), 1, "not in the repository"),
        (format!("{{\"path\":\"a\",\"type\":\"file\",\"id\":\"{tree}\"}}"), 2, "is a tree"),
        (format!("{{\"path\":\"a\",\"type\":\"dir\",\"id\":\"{id}\"}}"), 2, "is a blob"),
        (
            format!("{{\"path\":\"a\",\"type\":\"file\",\"size_bytes\":7,\"id\":\"{id}\"}}"),
            2,
            "size_bytes is 7",
        ),
        (format!("{{\"path\":\"a\",\"id\":\"{id}\",\"mode\":\"17777\"}}"), 2, "mode"),
        ("{\"path\":\"a\",\"type\":\"symlink\"}".to_owned(), 2, "`target`"),
        ("{\"path\":\"a\",\"type\":\"door\"}".to_owned(), 2, "not known"),
        (
            "{\"path\":\"a\",\"id\":null,\"error\":{\"code\":\"x\",\"message\":\"gone\"}}"
                .to_owned(),
            1,
            "gone",
        ),
    ] {
        sandbox.write("input", input.as_bytes());
        let ran = sandbox.run("runup-mktree <input").exits(code);
        assert!(ran.stderr().contains(says), "{input}: {}", ran.stderr());
        assert_eq!(ran.stdout(), "");
    }
    sandbox.write("input", format!("{id}  a\n{id}  a/b\n").as_bytes());
    let ran = sandbox.run("runup-mktree -r <input").exits(2);
    assert!(ran.stderr().contains("no directory"), "{}", ran.stderr());
    assert_eq!(sandbox.look(".runup/packs"), before);
    // Removing what is not there is done already.
    sandbox.write("input", b"{\"path\":\"x\",\"status\":\"removed\"}");
    sandbox.run("runup-mktree --base app <input").succeeds();
}

#[test]
fn answers_keep_step_with_questions() {
    let sandbox = populated();
    let script = "printf '%s\\n' src/main.rs gone src/void src/soft src/pipe | runup-hash-object \
                  --stdin-paths | jq -c '[.path, .type, .id == null, .error.code]'";
    let answers = sandbox.run(script).succeeds().stdout();
    let expected = r#"["src/main.rs","file",false,null]
["gone",null,true,"unreadable"]
["src/void","dir",true,null]
["src/soft","symlink",true,null]
["src/pipe","fifo",true,null]
"#;
    assert_eq!(answers, expected);
    let ran =
        sandbox.run("printf 'src/main.rs\\ngone\\n' | runup-hash-object --stdin-paths").exits(3);
    assert_eq!(ran.stdout().lines().count(), 2);
    // By name, links are followed and pipes are read.
    let script = "test $(runup-hash-object --plain src/soft) = $(b3sum --no-names src/main.rs)
                  test $(echo x | runup-hash-object --plain /dev/stdin) = $(echo x | b3sum --no-names)
                  ! runup-hash-object src/void";
    sandbox.run(script).succeeds();
    // Whoever asks one by one gets each answer before the next question.
    let script = "mkfifo ../q ../a; runup-hash-object --stdin-paths --plain <../q >../a &
                  exec 3>../q 4<../a; echo src/main.rs >&3; read one <&4; echo src/empty >&3
                  read two <&4; exec 3>&-; wait; echo $one $two";
    let asked = sandbox.run(script).succeeds().stdout();
    let plain = sandbox.run("runup-hash-object --plain src/main.rs src/empty").succeeds().stdout();
    assert_eq!(asked.split_whitespace().collect::<Vec<_>>(), plain.lines().collect::<Vec<_>>());
}

#[test]
fn options_end_where_they_are_told_to() {
    let sandbox = populated();
    sandbox.write("--help", b"no help");
    for end in ["--", "--end-of-options"] {
        let ran = sandbox.run(&format!("runup-hash-object --plain {end} --help")).succeeds();
        assert_eq!(ran.stdout().trim(), blake3::hash(b"no help").to_hex().as_str());
        sandbox.run(&format!("runup hash-object --plain {end} --help")).succeeds();
    }
}

/// Writes files with these contents, but those whose path leads through a file.
fn plant(sandbox: &Sandbox, name: &str, files: &BTreeMap<String, u8>) {
    std::fs::create_dir(sandbox.path(name)).unwrap();
    for (path, content) in files {
        let path = format!("{name}/{path}");
        let is_blocked = sandbox.path(&path).ancestors().any(std::path::Path::is_file);
        if !is_blocked && !sandbox.exists(&path) {
            sandbox.write(&path, &[b'0' + content]);
        }
    }
    sandbox.run(&format!("find {name} -exec touch -h -d @7 {{}} +")).succeeds();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Random directories: what differs, put on top of one, makes the other.
    #[test]
    fn differences_lead_from_one_tree_to_another(
        one in prop::collection::btree_map("[ab]/[cd]/[ef]|[ab]|[gh]/[cd]", 0..3_u8, 0..8),
        other in prop::collection::btree_map("[ab]/[cd]/[ef]|[ab]|[gh]/[cd]", 0..3_u8, 0..8),
    ) {
        let sandbox = Sandbox::with_projects("  app:\n    include: [tree]\n");
        plant(&sandbox, "one", &one);
        plant(&sandbox, "other", &other);
        let script = "set -- $(runup-write-tree --plain one other)
            echo $2; runup-diff-tree -r -t $1 $2 | runup-mktree --recursive --base $1 --plain
            echo $2; runup-diff-tree -z $1 $2 | runup-mktree -z --base $1 --plain";
        let made = sandbox.run(script).succeeds().stdout();
        let trees: Vec<&str> = made.lines().collect();
        prop_assert_eq!(trees[0], trees[1]);
        prop_assert_eq!(trees[2], trees[3]);
    }
}
