//! `runup-check-ignore` against what `runup-write-tree` really takes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use crate::sandbox::{Sandbox, records};

fn pattern() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("*"), Just("?"), Just("[ab]"), Just("**")];
    (any::<bool>(), prop::collection::vec(name, 1..4), any::<bool>()).prop_map(
        |(is_absolute, names, is_for_directories)| {
            let start = if is_absolute { "$top/" } else { "" };
            let end = if is_for_directories { "/" } else { "" };
            format!("{start}{}{end}", names.join("/"))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn verdicts_are_what_a_backup_does(
        files in prop::collection::btree_set("[abc](/[abc]){0,3}", 1..12),
        includes in prop::collection::vec(pattern(), 0..3),
        excludes in prop::collection::vec(("!?", pattern()), 0..4),
    ) {
        let sandbox = Sandbox::with_projects("  app:\n    include: [.]\n");
        for file in &files {
            let path = sandbox.path(&format!("tree/{file}"));
            if std::fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() {
                std::fs::write(path, b"x").unwrap();
            }
        }
        let includes = if includes.is_empty() { vec![".".to_owned()] } else { includes };
        let include: String =
            includes.iter().flat_map(|pattern| [" --include \"", pattern, "\""]).collect();
        let exclude: String = excludes
            .iter()
            .flat_map(|(not, pattern)| [" --exclude '", not, "'\"", pattern, "\""])
            .collect();
        let script = format!(
            "top=$PWD/tree
             id=$(runup-write-tree --plain tree{include}{exclude}) || [ $? = 3 ]
             runup-ls-tree -r -t --name-only $id >stored
             cd tree; find . -mindepth 1 | sed 's,^./,,' | sort >../there
             runup-check-ignore -c . -n --stdin{include}{exclude} <../there >../judged || [ $? = 1 ]"
        );
        let ran = sandbox.run(&script);
        if ran.stderr().contains("would share a path") {
            // A relative and an absolute include that could meet.
            ran.exits(1);
            return Ok(());
        }
        ran.succeeds();
        let lines = |name: &str| -> BTreeSet<String> {
            String::from_utf8(sandbox.read(name)).unwrap().lines().map(str::to_owned).collect()
        };
        let absolute = sandbox.context().canonicalize().unwrap();
        let absolute = format!("{}/tree/", absolute.display()).split_off(1);
        // What an absolute include takes is stored under its whole path.
        let stored: BTreeSet<String> = lines("stored")
            .into_iter()
            .map(|path| path.strip_prefix(&absolute).map_or(path.clone(), str::to_owned))
            .collect();
        let there = lines("there");
        let judged = records(&String::from_utf8(sandbox.read("judged")).unwrap());
        prop_assert_eq!(judged.len(), there.len());
        for (path, record) in there.iter().zip(judged) {
            prop_assert_eq!(&record["path"], path);
            let holds = |other: &String| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
            let expected = match record["verdict"].as_str().unwrap() {
                "taken" => true,
                // A container that holds nothing is left out.
                "container" => stored.iter().any(holds),
                _ => false,
            };
            prop_assert_eq!(stored.contains(path), expected, "{}", record);
            let rule = &record["rule"];
            prop_assert_eq!(rule.is_null(), record["verdict"] == "outside", "{}", record);
            if record["verdict"] == "excluded" {
                let index = usize::try_from(rule["index"].as_u64().unwrap()).unwrap();
                prop_assert_eq!(&rule["list"], "exclude");
                prop_assert_eq!(&excludes[index].0, "");
            }
        }
    }
}

/// Patterns that mean the same to git, with what `git check-ignore -v --no-index` of git 2.47 says:
/// the number of the pattern, or nothing; and whether the path is ignored.
#[test]
fn rules_are_those_that_git_names() {
    let sandbox = Sandbox::new();
    sandbox.run("mkdir -p build/deep src/build a/x/b logs").succeeds();
    let patterns = ["*.o", "./bui*", "a/**/b", "!kee?.o", "*.d/", "logs/*", "!logs/keep*"];
    let exclude: String =
        patterns.iter().flat_map(|pattern| [" --exclude '", pattern, "'"]).collect();
    for (path, rule, is_ignored) in [
        ("x.o", Some(0), true),
        ("deep/x.o", Some(0), true),
        ("keep.o", Some(3), false),
        ("deep/keep.o", Some(3), false),
        ("build", Some(1), true),
        ("build/keep.o", Some(1), true),
        ("build/deep/x", Some(1), true),
        ("src/build", None, false),
        ("src/build/x", None, false),
        ("a/b", Some(2), true),
        ("a/x/b", Some(2), true),
        ("a/x/b/c", Some(2), true),
        ("a/x", None, false),
        ("x.d", None, false),
        ("x.d/", Some(4), true),
        ("x.d/y", Some(4), true),
        ("logs", None, false),
        ("logs/x", Some(5), true),
        ("logs/keep1", Some(6), false),
        ("logs/keep.d/y", None, false),
        ("logs/x.o", Some(5), true),
    ] {
        let ran = sandbox.run(&format!("runup-check-ignore -v{exclude} {path}"));
        let record = ran.exits(i32::from(!is_ignored)).record();
        let is_excluded = record["verdict"] == "excluded";
        assert_eq!(is_excluded, is_ignored, "{record}");
        let exclude = &record["rule"];
        let index = exclude["index"].as_u64().filter(|_| exclude["list"] == "exclude");
        assert_eq!(index, rule, "{record}");
    }
}

const PROJECTS: &str = "  app:
    include: [src, docs/*.md]
    exclude:
      - '*.o'
      -   \"!kee?.o\"
      - src/target/
  home:
    include:
      - .
";

#[test]
fn rules_stand_where_the_file_says() {
    let sandbox = Sandbox::with_projects(PROJECTS);
    for (path, verdict, list, line, column, matched) in [
        ("src/x.o", "excluded", "exclude", 6, 9, "src/x.o"),
        ("src/keep.o", "taken", "exclude", 7, 11, "src/keep.o"),
        ("src/target/deep/x.o", "excluded", "exclude", 8, 9, "src/target"),
        ("src/target", "taken", "include", 4, 15, "src"),
        ("docs/a.md", "taken", "include", 4, 20, "docs/a.md"),
        ("docs/", "container", "include", 4, 20, "docs"),
    ] {
        let script = format!("runup-check-ignore -v --project app {path}");
        let record = sandbox.run(&script).exits(i32::from(verdict != "excluded")).record();
        let rule = &record["rule"];
        assert_eq!(record["verdict"], verdict, "{record}");
        assert_eq!(record["project"], "app");
        assert_eq!((&rule["list"], &rule["source"]), (&list.into(), &"runup.yaml".into()));
        assert_eq!((&rule["line"], &rule["column"]), (&line.into(), &column.into()), "{record}");
        assert_eq!(record["matched_path"], matched, "{record}");
    }
}

#[test]
fn a_path_that_one_project_takes_is_not_left_out() {
    let sandbox = Sandbox::with_projects(PROJECTS);
    assert_eq!(sandbox.run("runup-check-ignore other src/x.o").exits(1).stdout(), "");
    let both = sandbox.run("runup-check-ignore -n other").exits(1).stdout();
    let verdicts: Vec<_> = records(&both)
        .into_iter()
        .map(|record| format!("{}: {}", record["project"], record["verdict"]))
        .collect();
    assert_eq!(verdicts, ["\"app\": \"outside\"", "\"home\": \"taken\""]);
    sandbox.run("runup-check-ignore --project app other").exits(0);
    let script =
        "printf 'src/x.o\\0a\\nb\\0' | runup-check-ignore --project app --plain --stdin -z";
    assert_eq!(sandbox.run(script).succeeds().stdout(), "src/x.o\0a\nb\0");
    let ran = sandbox.run("printf 'src/\\377.o' | runup-check-ignore --project app --stdin");
    let record = ran.succeeds().record();
    assert_eq!(
        (&record["path_b64"], &record["matched_path_b64"]),
        (&"c3JjL/8ubw==".into(), &"c3JjL/8ubw==".into())
    );
}

#[test]
fn what_no_pattern_says_is_told_too() {
    let sandbox = Sandbox::with_projects(PROJECTS);
    sandbox.write("src/file", b"x");
    sandbox.run("mkdir docs src/sub; runup backup; ln -s sub src/link; ln -s . ../way").succeeds();
    let answer = |path: &str, code: i32| {
        sandbox.run(&format!("runup-check-ignore -v --project home {path}")).exits(code).record()
    };
    for path in [".runup", ".runup/config", "./src/../.runup/"] {
        let record = answer(path, 0);
        assert_eq!((&record["verdict"], &record["rule"]), (&"excluded".into(), &Value::Null));
        assert_eq!(record["reason"], "the repository itself");
        assert_eq!(record["matched_path"], ".runup");
    }
    for path in ["src/link/x", "src/file/x"] {
        let record = answer(path, 0);
        assert_eq!(record["verdict"], "outside", "{record}");
        assert!(record["reason"].as_str().unwrap().starts_with("not a directory"), "{record}");
    }
    assert_eq!(answer("src/link", 1)["verdict"], "taken");
    assert_eq!(answer("../beside", 0)["verdict"], "outside");
    assert_eq!(answer("../way/context/src", 1)["verdict"], "taken", "by a link above the context");
    assert_eq!(answer(".", 1)["matched_path"], ".");
    // The cache of the repository, where it lies in the context.
    let script = r#"export RUNUP_CACHE_DIR=$PWD/cache; runup backup --json home >/dev/null
                    set -- cache/*; runup-check-ignore --project home "$1/x" cache"#;
    let record = sandbox.run(script).succeeds().record();
    assert_eq!(record["reason"], "the cache of the repository");
}

#[test]
fn what_cannot_be_found_out_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.run("runup-check-ignore a").exits(2);
    let name = "n".repeat(300);
    let script = format!("runup-check-ignore --exclude '*.o' --stdin <<.\nx.o\n{name}\ny\n.");
    let ran = sandbox.run(&script).exits(5);
    let answers = records(&ran.stdout());
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert_eq!((&answers[0]["verdict"], &answers[0]["error"]), (&"excluded".into(), &Value::Null));
    assert_eq!(
        (&answers[1]["verdict"], &answers[1]["error"]["code"]),
        (&Value::Null, &"unreadable".into())
    );
    sandbox.run("runup-check-ignore --exclude 'a/../b' x").exits(2);
    sandbox.run("runup-check-ignore --exclude a ''").exits(2);
    sandbox.run("runup-check-ignore --exclude a --project app x").exits(2);
}
