//! The table of what is tried: what stands before, the command that meets the fault, and what an exit
//! code of 0 of it promises.
//!
//! Invariant: a command is told only here; all else treats all alike. So a new command that changes a
//! repository is one more line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::injector::Fault;
use super::stage::{Stage, copy};
use super::whole::{Files, files};
use crate::patience::Ended;
use crate::sandbox::{Sandbox, look_at, noise};

/// One line of the table.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Makes what stands before.
    prepare: fn(&mut Prepared, &Stage),
    /// What meets the fault.
    pub(super) command: &'static str,
    /// How it may end where it had done its work before it failed.
    pub(super) again: &'static [i32],
    /// Asserts what an exit code of 0 promises.
    pub(super) is_done: fn(&Prepared, &Stage) -> Result<(), String>,
    /// Whether a check finds nothing before the command was run.
    pub(super) is_sound_before: bool,
    /// Whether earlier jobs may be forgotten, all of which can be undone.
    pub(super) forgets: bool,
}

/// What most lines say.
const USUAL: Scenario = Scenario {
    name: "",
    prepare: |_, _| {},
    command: "",
    again: &[0],
    is_done: |_, _| Ok(()),
    is_sound_before: true,
    forgets: false,
};

/// What stands before a command.
pub(super) struct Prepared {
    pub(super) scenario: &'static Scenario,
    pub(super) refuses_noreplace: bool,
    pub(super) sandbox: Sandbox,
    /// Copies of the repository and of the cache directory.
    pub(super) repository: PathBuf,
    pub(super) cache: PathBuf,
    pub(super) files: Files,
    /// The jobs, with what each restores.
    pub(super) jobs: BTreeMap<u64, Vec<String>>,
    /// What is to be backed up.
    pub(super) source: Vec<String>,
}

impl Prepared {
    /// Makes what stands before, on a stage without a fault.
    pub(super) fn new(
        scenario: &'static Scenario,
        refuses_noreplace: bool,
        stage: &Stage,
        folder: &Path,
    ) -> Self {
        std::fs::create_dir(folder).unwrap();
        stage.set_refuses_noreplace(refuses_noreplace);
        let sandbox = Sandbox::within(folder);
        sandbox.write("runup.yaml", b"version: '1'\nproject:\n  app:\n    include: [src]\n");
        let mut prepared = Self {
            scenario,
            refuses_noreplace,
            sandbox,
            repository: folder.join("repository"),
            cache: folder.join("cache"),
            files: Files::new(),
            jobs: BTreeMap::new(),
            source: Vec::new(),
        };
        copy(&prepared.repository, &stage.real());
        copy(&prepared.cache, &stage.cache());
        (scenario.prepare)(&mut prepared, stage);
        copy(&stage.real(), &prepared.repository);
        copy(&stage.cache(), &prepared.cache);
        prepared.files = files(&prepared.repository);
        let source = prepared.sandbox.path("src");
        prepared.source = if source.exists() { look_at(&source) } else { Vec::new() };
        prepared
    }

    fn run(&self, stage: &Stage, script: &str) -> Ended {
        let ended = stage.run(&self.sandbox, &stage.faulty(), script);
        ended.and_then(|ended| ended.exits(&[0])).unwrap()
    }

    fn backup(&mut self, stage: &Stage) {
        self.run(stage, "exec runup backup --json");
        let job = self.jobs.len() as u64 + 1;
        self.jobs.insert(job, look_at(&self.sandbox.path("src")));
    }
}

/// Everything that changes a repository.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "init",
        prepare: write_first,
        command: "exec runup init --json",
        again: &[0, 1],
        is_done: can_back_up,
        is_sound_before: false,
        ..USUAL
    },
    Scenario {
        name: "first backup",
        prepare: |prepared, stage| {
            write_first(prepared, stage);
            prepared.run(stage, "exec runup init");
        },
        command: BACKUP,
        is_done: has_backed_up,
        ..USUAL
    },
    Scenario {
        name: "incremental backup",
        prepare: |prepared, stage| {
            first_backup(prepared, stage);
            write_second(prepared);
        },
        command: BACKUP,
        is_done: has_backed_up,
        ..USUAL
    },
    Scenario {
        name: "backup that merges",
        prepare: |prepared, stage| {
            small_backups(prepared, stage);
            while prepared.run(stage, "ls $RUNUP_REPOSITORY/index").stdout.lines().count() < 7 {
                let name = format!("src/small {}", prepared.jobs.len());
                prepared.sandbox.write(&name, name.as_bytes());
                prepared.backup(stage);
            }
            prepared.sandbox.write("src/last", b"that makes it eight");
        },
        command: BACKUP,
        is_done: has_backed_up,
        ..USUAL
    },
    Scenario {
        name: "forget",
        prepare: |prepared, stage| {
            small_backups(prepared, stage);
        },
        command: "exec runup forget app --keep-last 1 --json",
        is_done: |prepared, stage| {
            let left = jobs(prepared, stage)?;
            if left == [3] { Ok(()) } else { Err(format!("jobs {left:?} are left")) }
        },
        forgets: true,
        ..USUAL
    },
    Scenario {
        name: "prune",
        prepare: |prepared, stage| {
            first_backup(prepared, stage);
            write_second(prepared);
            prepared.backup(stage);
            prepared.run(stage, "exec runup forget --job 1");
            prepared.jobs.remove(&1);
        },
        command: "exec runup prune --max-unused 0% --json",
        is_done: |prepared, stage| {
            let left = jobs(prepared, stage)?;
            if left != [2] {
                return Err(format!("jobs {left:?} are left"));
            }
            restores_source(prepared, stage)
        },
        ..USUAL
    },
    Scenario {
        name: "index-pack, lost index",
        prepare: |prepared, stage| {
            first_backup(prepared, stage);
            write_second(prepared);
            prepared.backup(stage);
            prepared.run(stage, "rm $RUNUP_REPOSITORY/index/*");
        },
        command: "exec runup index-pack",
        is_done: is_sound,
        is_sound_before: false,
        ..USUAL
    },
    Scenario {
        name: "index-pack, damaged pack",
        prepare: |prepared, stage| {
            small_backups(prepared, stage);
            // Without its trailer each frame of it is still there.
            prepared.run(
                stage,
                "for pack in $RUNUP_REPOSITORY/packs/*; do truncate -s -8 $pack; break; done",
            );
        },
        command: "exec runup index-pack",
        is_done: is_sound,
        is_sound_before: false,
        ..USUAL
    },
    Scenario {
        name: "repair",
        prepare: |prepared, stage| {
            small_backups(prepared, stage);
            // What is sound in the one pack is copied, the others are found again. Only the second job
            // needs the one, which nobody can read from before.
            prepared.run(
                stage,
                "cd $RUNUP_REPOSITORY
                truncate -s -8 packs/$(ls -tr packs | sed -n 3p)
                rm index/*",
            );
        },
        command: "exec runup repair --json",
        is_done: is_sound,
        is_sound_before: false,
        ..USUAL
    },
    Scenario {
        name: "pack-objects",
        prepare: |prepared, stage| {
            small_backups(prepared, stage);
            write_loose(prepared);
            prepared.run(stage, "runup hash-object -w loose/*");
        },
        command: "exec runup pack-objects",
        is_done: |prepared, stage| {
            let script = "runup cat-object --batch-all-objects --batch-check";
            let objects = stage.run(&prepared.sandbox, &stage.real(), script)?.exits(&[0])?;
            match objects.records().iter().find(|record| record["pack"].is_null()) {
                Some(loose) => Err(format!("not packed: {loose}")),
                None => Ok(()),
            }
        },
        ..USUAL
    },
    Scenario {
        name: "hash-object -w",
        prepare: |prepared, stage| {
            small_backups(prepared, stage);
            write_loose(prepared);
        },
        command: "exec runup hash-object -w loose/*",
        is_done: |prepared, stage| {
            let script = "for file in loose/*; do
                runup cat-object -p $(runup hash-object --plain $file) | cmp - $file; done";
            stage.run(&prepared.sandbox, &stage.real(), script)?.exits(&[0]).map(drop)
        },
        ..USUAL
    },
    Scenario {
        name: "update-ref",
        prepare: |prepared, stage| {
            small_backups(prepared, stage);
            prepared.run(stage, "runup update-ref tag/first app@1");
        },
        command: "exec runup update-ref pin/second app@2",
        is_done: |prepared, stage| {
            let script =
                "[ $(runup rev-parse --plain pin/second) = $(runup rev-parse --plain app@2) ]
                runup rev-parse tag/first";
            stage.run(&prepared.sandbox, &stage.real(), script)?.exits(&[0]).map(drop)
        },
        ..USUAL
    },
    // They read, but in sessions of their own.
    Scenario {
        name: "restore",
        prepare: |prepared, stage| {
            small_backups(prepared, stage);
        },
        command: "exec runup restore --json --force --location $RESTORED",
        is_done: |prepared, stage| match look_at(&stage.restored_to().join("src")) {
            found if found == prepared.source => Ok(()),
            found => Err(format!("restored {found:?}")),
        },
        ..USUAL
    },
];

/// A command that breaks a promise, the fault and operation at which it does, and what is then said.
pub(super) type Flawed = (Scenario, Fault, u64, &'static str);

/// Commands that break promises, each another one: the judge must see it.
pub(super) const FLAWED: &[Flawed] = &[
    (
        Scenario {
            name: "a file that is written under its name",
            prepare: small_backups,
            command: "cp $RUNUP_REPOSITORY/jobs/00000003 $RUNUP_REPOSITORY/jobs/00000004",
            ..USUAL
        },
        Fault::KillAfter,
        1,
        "jobs/00000004 is not whole",
    ),
    (
        Scenario {
            name: "a file that is changed in place",
            prepare: small_backups,
            command: "echo >>$RUNUP_REPOSITORY/jobs/00000003",
            ..USUAL
        },
        Fault::Io,
        2,
        "jobs/00000003 was changed in place",
    ),
    (
        Scenario {
            name: "a flush that is tried again",
            prepare: small_backups,
            command: "sync $RUNUP_REPOSITORY/config 2>&- || sync $RUNUP_REPOSITORY/config",
            ..USUAL
        },
        Fault::Sync,
        1,
        "flushed again: [\"Sync of inode ",
    ),
    (
        Scenario {
            name: "a failure that is kept quiet",
            prepare: small_backups,
            command: "runup backup --json 2>&- || :",
            is_done: has_backed_up,
            ..USUAL
        },
        Fault::NoSpace,
        4,
        "told as done, but no job beside [1, 2, 3]",
    ),
    (
        Scenario {
            name: "a failure without a word",
            prepare: small_backups,
            command: "runup backup --json 2>&-",
            ..USUAL
        },
        Fault::Io,
        4,
        "no error: ",
    ),
    (
        Scenario {
            name: "a lock that has to be undone by hand",
            prepare: small_backups,
            command: "mkdir $RUNUP_REPOSITORY/lost; sleep 0; rmdir $RUNUP_REPOSITORY/lost",
            ..USUAL
        },
        Fault::KillAfter,
        1,
        "the next run: ",
    ),
    (
        Scenario {
            name: "a job that is gone",
            prepare: small_backups,
            command: "rm $RUNUP_REPOSITORY/jobs/00000001",
            ..USUAL
        },
        Fault::KillAfter,
        1,
        "missing_job",
    ),
];

const BACKUP: &str = "exec runup backup --json --jobs 2";

/// Files of every sort: one that is cut into chunks, small ones, twins, a hole, links.
fn write_first(prepared: &mut Prepared, _: &Stage) {
    let sandbox = &prepared.sandbox;
    for number in 0..12_u32 {
        let length = 40 + 3000 * number as usize;
        sandbox.write(&format!("src/{}/{number}", number % 3), &noise(length, number));
    }
    sandbox.write("src/long", &noise(2_300_000, 100));
    sandbox.write("src/note", &noise(20_000, 101));
    sandbox.write("src/twin", &noise(20_000, 101));
    sandbox.write("src/empty", b"");
    std::os::unix::fs::symlink("note", sandbox.path("src/link")).unwrap();
    std::fs::hard_link(sandbox.path("src/note"), sandbox.path("src/other name")).unwrap();
}

fn first_backup(prepared: &mut Prepared, stage: &Stage) {
    write_first(prepared, stage);
    prepared.run(stage, "exec runup init");
    prepared.backup(stage);
}

/// Changes a few bytes of long and short files, and adds new ones, copies and a longer one.
fn write_second(prepared: &Prepared) {
    let sandbox = &prepared.sandbox;
    let mut long = noise(2_300_000, 100);
    long[1_200_000..][..100].copy_from_slice(&noise(100, 102));
    sandbox.write("src/long", &long);
    sandbox.write("src/note", &[&noise(20_000, 101)[..], b"one more line\n"].concat());
    sandbox.write("src/copy/long", &long);
    sandbox.write("src/copy/twin", &noise(20_000, 101));
    sandbox.write("src/new", &noise(30_000, 103));
    std::fs::remove_file(sandbox.path("src/1/1")).unwrap();
}

/// Three jobs of a few small files.
fn small_backups(prepared: &mut Prepared, stage: &Stage) {
    prepared.run(stage, "exec runup init");
    for version in 0..3 {
        for number in 0..4 {
            let name = format!("src/{}/{number}", number % 2);
            let kept = noise(5000 + 1000 * number, number as u32);
            let changed = noise(300, 10 * version + number as u32);
            prepared.sandbox.write(&name, &[kept, changed].concat());
        }
        prepared.backup(stage);
    }
}

fn write_loose(prepared: &mut Prepared) {
    for number in 0..6_u32 {
        let length = 10 + 7000 * number as usize;
        prepared.sandbox.write(&format!("loose/{number}"), &noise(length, 200 + number));
    }
}

/// The jobs that are listed.
fn jobs(prepared: &Prepared, stage: &Stage) -> Result<Vec<u64>, String> {
    let script = "exec runup snapshots --json";
    let listed = stage.run(&prepared.sandbox, &stage.real(), script)?.exits(&[0])?;
    Ok(listed.records().iter().filter_map(|record| record["job"].as_u64()).collect())
}

fn has_backed_up(prepared: &Prepared, stage: &Stage) -> Result<(), String> {
    let listed = jobs(prepared, stage)?;
    if listed.len() <= prepared.jobs.len() {
        return Err(format!("no job beside {listed:?}"));
    }
    restores_source(prepared, stage)
}

fn restores_source(prepared: &Prepared, stage: &Stage) -> Result<(), String> {
    match stage.restored(&prepared.sandbox, None)? {
        found if found == prepared.source => Ok(()),
        found => Err(format!("the latest job is {found:#?}, not {:#?}", prepared.source)),
    }
}

fn can_back_up(prepared: &Prepared, stage: &Stage) -> Result<(), String> {
    let script = "exec runup backup --json";
    stage.run(&prepared.sandbox, &stage.real(), script)?.exits(&[0])?;
    restores_source(prepared, stage)
}

fn is_sound(prepared: &Prepared, stage: &Stage) -> Result<(), String> {
    let script = "exec runup check --json --read-data";
    let found = stage.run(&prepared.sandbox, &stage.real(), script)?.exits(&[0])?;
    let codes: Vec<_> = found.records().iter().map(|record| record["code"].clone()).collect();
    let is_indexed = codes.iter().all(|code| code != "unindexed_pack");
    if is_indexed { Ok(()) } else { Err(format!("not all is indexed: {codes:?}")) }
}
