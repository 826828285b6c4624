//! Every record that any command prints, against the schema.
//!
//! Invariant: each command is run, and each record that it may print is seen.

use std::collections::BTreeSet;

use super::fixture;
use super::schema::Validators;
use crate::sandbox::Sandbox;

/// Commands whose records are looked at: in the fixture, one after the other.
const RUNS: &[&str] = &[
    "runup init --json --repository ../other",
    "runup backup --json",
    "runup restore --json --force --location ../restored",
    "runup snapshots --json",
    "runup ls --json -r app",
    "runup check --json",
    "runup-hash-object --stdin-paths <../paths || true",
    "seq 9 | runup-hash-object -w --stdin --path nine",
    "runup-cat-object -t app:README",
    "echo 0000 | runup-cat-object --batch-check",
    "runup-ls-tree app | runup-cat-object --batch-check",
    "runup-cat-object --batch-all-objects",
    "runup-write-tree src",
    "runup-ls-tree app | runup-mktree",
    "echo '{\"path\":\"x\",\"status\":\"removed\"}' | runup-mktree --base app",
    "runup-ls-tree -rt app",
    "runup-ls-tree everything:everything",
    "runup-diff-tree -rt app@1 app",
    "runup-diff-tree app@1 everything",
    "runup-write-tree src | runup-write-snapshot --project hand",
    "runup-cat-snapshot app app@1",
    "runup-ls-snapshots",
    "runup-ls-projects",
    "runup-rev-parse app app@1:src 0000 || true; echo nothing | runup-rev-parse --stdin || true",
    "runup-rev-list --all --objects",
    "runup-rev-list --all --count",
    "runup-rev-list --all --disk-usage",
    "runup-check-ignore -n src/main.o README ../x .runup",
    "runup-checkout app --to ../out",
    "runup-fsck",
    "tar -c src | runup-import-archive",
    "runup-count-objects",
    "runup-pack-objects -v",
    "runup-verify-pack -v .runup/packs/*.pack",
    "runup-for-each-ref",
    "runup-update-ref tag/new app",
    "runup forget --json --dry-run --keep-last 1",
    "runup prune --json",
    "runup-prune-objects",
    "rm .runup/index/*; runup-index-pack",
    // What is broken comes last.
    "pack=$(ls -S .runup/packs/* | head -n 1); chmod u+w $pack; printf x >>$pack; runup-fsck || true",
    "runup check --json --read-data || true",
    "runup-verify-pack .runup/packs/*.pack || true",
    "runup repair --json || true",
];

/// Commands that tell something on standard error.
const TROUBLED: &[&str] = &[
    "runup-ls-tree nothing",
    "runup-ls-tree --nonsense",
    "runup ls-tree --nonsense",
    "runup --json backup --nonsense",
    "sed -i \"s|'.*.o'|/nowhere|\" runup.yaml; runup --json -v backup",
    "runup-checkout app --to ../out src/gone",
    "runup-write-tree --exclude /nowhere/at/all . --include src --include gone",
    "echo nonsense | runup-mktree",
    "runup-archive app nothing",
    "echo nonsense | runup-import-archive",
];

/// The program whose records a script prints: the last that it runs.
fn program_of(script: &str) -> &str {
    let words = script.split([' ', ';']).filter(|word| !word.is_empty());
    let mut program = "";
    let mut is_after_runup = false;
    for word in words {
        if is_after_runup {
            (program, is_after_runup) = (word, false);
        } else if word == "runup" {
            is_after_runup = true;
        } else if let Some(name) = word.strip_prefix("runup-") {
            program = name;
        }
    }
    program
}

fn populated() -> Sandbox {
    let sandbox = fixture::sandbox();
    let script = "mkdir everything; cd everything; echo 1 >one; ln one two; ln -s one soft
        ln -s \"$(printf '\\377')\" odd; mkfifo pipe; : >\"$(printf 'odd\\377')\"; cd ..
        setfattr -n user.a -v b everything/one 2>/dev/null || true
        runup-write-tree --include everything . | runup-write-snapshot --project everything
        find . -path ./.runup -prune -o -print >../paths; echo gone >>../paths";
    sandbox.run(script).succeeds();
    sandbox
}

#[test]
fn every_record_is_what_the_schema_says() {
    let validators = Validators::new();
    let sandbox = populated();
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for script in RUNS {
        let program = program_of(script);
        let ran = sandbox.run(script).succeeds();
        assert!(!ran.stdout().is_empty(), "{script}");
        for line in ran.stdout().lines() {
            seen.insert((program.to_owned(), validators.name_of(program, line)));
        }
        for line in ran.stderr().lines() {
            validators.name_on_standard_error(line);
        }
    }
    for listed in runup::cli::commands::ALL {
        for record in validators.records_of(listed.name) {
            let pair = (listed.name.to_owned(), record);
            assert!(seen.contains(&pair), "{pair:?} was not seen");
        }
    }
}

#[test]
fn what_is_told_on_standard_error_is_what_the_schema_says() {
    let validators = Validators::new();
    let sandbox = populated();
    sandbox.write("src/new", b"new");
    let mut seen = BTreeSet::new();
    for script in TROUBLED {
        let ran = sandbox.run(script);
        assert!(!ran.stderr().is_empty(), "{script}");
        seen.extend(ran.stderr().lines().map(|line| validators.name_on_standard_error(line)));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn every_code_in_the_sources_is_documented() {
    let known: BTreeSet<&str> = runup::cli::codes::CODES.iter().map(|(word, _)| *word).collect();
    // What stands before a code.
    let before = [
        "Exit::Failed, ",
        "Exit::Usage, ",
        "Exit::Incomplete, ",
        "Exit::Damaged, ",
        "Exit::Unanswered, ",
        "Exit::NoRepository, ",
        "Exit::Hostile, ",
        "Exit::NoSpace, ",
        "Exit::Unsupported, ",
        "Exit::Interrupted, ",
        "code: ",
        "let code = ",
    ];
    let mut found = 0;
    for (file, text) in crate::floors::sources(&crate::floors::src()) {
        for start in before {
            for (at, _) in text.match_indices(&format!("{start}\"")) {
                let word = text[at + start.len() + 1..].split('"').next().unwrap();
                assert!(known.contains(word), "{}: {word}", file.display());
                found += 1;
            }
        }
    }
    assert!(found > 60, "only {found} codes were found");
}

#[test]
fn plumbing_prints_bare_words_and_ends_with_nul_on_request() {
    for listed in runup::cli::commands::ALL {
        let has_records = !listed.manual().unwrap().records.is_empty();
        if listed.layer != runup::cli::Layer::Plumbing || !has_records {
            continue;
        }
        let command = (listed.clap)(listed.name);
        let has = |is_it: &dyn Fn(&clap::Arg) -> bool| command.get_arguments().any(is_it);
        assert!(has(&|arg| arg.get_long() == Some("plain")), "{} has no --plain", listed.name);
        assert!(has(&|arg| arg.get_short() == Some('z')), "{} has no -z", listed.name);
    }
}
