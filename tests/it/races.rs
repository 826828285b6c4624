//! Backups of what does not keep still: files that grow, shrink, vanish or turn into something else while
//! they are listed and read, and times that hide it.
//!
//! Invariant: what was read is kept as it was read and told, what could not be is told; nothing is
//! followed, nothing waits, and the next backup has what stands there, never what stood there before.

mod scripted;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fuser::{Errno, FileType};
use rustix::fs::{CWD, Mode, mkfifoat};

use self::scripted::{Asked, Scripted, Things, even_seconds};
use crate::sandbox::{Sandbox, noise};

const PROJECT: &str = "  app:\n    include: [src]\n";
/// Long enough that the kernel is asked for it more than once.
const LONG: usize = 3 << 20;
const BACKUP: &str = "timeout -s KILL 100 runup --json backup";

/// Why each path is on record as not read, or not read in peace, in the last snapshot.
fn skipped(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let snapshot = sandbox.run("runup-cat-snapshot app").succeeds().record();
    let skipped = snapshot["skipped"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    skipped.map(|skipped| (text(&skipped["path"]), text(&skipped["reason"]))).collect()
}

/// The last snapshot holds what stands in `src` now.
fn is_up_to_date(sandbox: &Sandbox) {
    sandbox.run("rm -rf ../out && runup restore --force --location ../out").succeeds();
    assert_eq!(sandbox.look("../out/src"), sandbox.look("src"));
}

/// Changes something again and again while something else runs.
fn beside<T>(mut change: impl FnMut(usize) + Send, run: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                change(number);
                number += 1;
            }
        });
        let ran = run();
        is_over.store(true, Ordering::Relaxed);
        changes.join().unwrap();
        ran
    })
}

#[test]
fn what_changes_all_the_while_is_kept_as_read_and_told() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("src/still", b"still");
    for name in ["growing", "rewritten", "shrinking"] {
        sandbox.write(&format!("src/{name}"), &noise(LONG, 1));
    }
    let open = |name: &str| File::options().write(true).open(sandbox.path(name)).unwrap();
    let mut growing = File::options().append(true).open(sandbox.path("src/growing")).unwrap();
    let (rewritten, shrinking) = (open("src/rewritten"), open("src/shrinking"));
    let mut change = |number: usize| {
        growing.write_all(b"more\n").unwrap();
        let at = (number * 7919 % (LONG - 8)) as u64;
        rewritten.write_all_at(&number.to_le_bytes(), at).unwrap();
        shrinking.set_len((LONG - number % 64 * 4096) as u64).unwrap();
    };
    // Where the changes are slow to come, a file may be still for as long as it takes to be read.
    let names = ["src/growing", "src/rewritten", "src/shrinking"];
    let mut seen = BTreeSet::new();
    for round in 0.. {
        assert!(round < 200, "only {seen:?}");
        let code = beside(&mut change, || sandbox.run(BACKUP)).exit_code();
        let told = skipped(&sandbox);
        assert_eq!(code, Some(if told.is_empty() { 0 } else { 3 }), "{told:?}");
        for (name, reason) in told {
            assert!(names.contains(&&*name), "{name}: {reason}");
            assert!(reason.contains("changed") || reason.contains("shrank"), "{name}: {reason}");
            seen.insert(name);
        }
        if seen.len() == names.len() {
            break;
        }
    }
    // As it was read: what had been appended by then, and nothing else.
    let read =
        sandbox.run("runup-cat-object -p app:src/growing | head -c 3145728 | cmp - src/growing");
    assert!(read.stderr().contains("EOF on -"), "{}", read.stderr());
    sandbox.run("runup-cat-object -p app:src/still | cmp - src/still").succeeds();
    // No longer disturbed.
    sandbox.run(BACKUP).succeeds();
    assert!(skipped(&sandbox).is_empty());
    is_up_to_date(&sandbox);
    sandbox.run("runup check --read-data").succeeds();
}

/// Bytes by which it can be told whether they were read in one piece.
fn stamped(number: usize) -> Vec<u8> {
    format!("{number:031}\n").repeat(1 + number % 700).into_bytes()
}

/// Puts something else under one of some names: the names of a directory, what they are, whole
/// directories under other names.
fn churn(root: &Path, number: usize) {
    let pick = number.wrapping_mul(2_654_435_761) >> 7;
    let directory = root.join(format!("d{}", pick % 5));
    let path = directory.join(format!("n{}", pick / 5 % 20));
    // Another thing may stand there, or nothing: then this is done by one of the next.
    let _fails = match pick / 100 % 9 {
        0 | 1 => {
            let new = root.join("../new");
            fs::write(&new, stamped(number)).unwrap();
            fs::rename(&new, &path)
        }
        2 => fs::remove_file(&path),
        3 => mkfifoat(CWD, &path, Mode::RWXU).map_err(Into::into),
        4 => symlink("/etc/hostname", &path).and_then(|()| fs::remove_file(&path)),
        5 => symlink("../../../secret", &path),
        6 => fs::create_dir(&path).and_then(|()| fs::write(path.join("below"), stamped(number))),
        7 => fs::remove_dir_all(&path),
        _ => {
            let other = root.join(format!("d{}", (pick + 1) % 5));
            let aside = root.join("aside");
            fs::rename(&directory, &aside)
                .and_then(|()| fs::rename(&other, &directory))
                .and_then(|()| fs::rename(&aside, &other))
        }
    };
}

/// Each file that was kept was read in one piece, unless it is on record, and none through a link.
fn is_of_one_piece(sandbox: &Sandbox, told: &BTreeMap<String, String>) -> usize {
    sandbox.run("rm -rf ../out && runup-checkout app --to ../out").succeeds();
    let names = sandbox.run("cd ../out && find . -type f").succeeds().stdout();
    for name in names.lines() {
        let bytes = sandbox.read(&format!("../out/{name}"));
        let path = name.trim_start_matches("./");
        let number: usize = String::from_utf8_lossy(&bytes[..31.min(bytes.len())]).parse().unwrap();
        assert!(bytes == stamped(number) || told.contains_key(path), "{path} is in pieces");
    }
    names.lines().count()
}

#[test]
fn a_tree_that_never_rests_is_saved_piece_by_piece() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("../secret", b"of somebody else");
    for directory in 0..5 {
        sandbox.run(&format!("mkdir -p src/d{directory}")).succeeds();
    }
    let root = sandbox.path("src");
    (0..2000).for_each(|number| churn(&root, number));
    let mut kept = 0;
    let rounds = if std::env::var_os("RUNUP_RACES").is_some() { 200 } else { 6 };
    for round in 1..=rounds {
        let ran = beside(|number| churn(&root, round * 1_000_000 + number), || sandbox.run(BACKUP));
        let code = ran.exit_code();
        assert!(matches!(code, Some(0 | 3)), "{code:?}: {}", ran.stderr());
        let told = skipped(&sandbox);
        assert_eq!(code == Some(3), !told.is_empty(), "{told:?}");
        kept += is_of_one_piece(&sandbox, &told);
    }
    assert!(kept > 0);
    sandbox.run(BACKUP).succeeds();
    is_up_to_date(&sandbox);
    sandbox.run("runup check --read-data").succeeds();
}

#[test]
fn times_far_off_hide_no_change() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let times: [i64; 6] = [0, -1_000_000_000, 1, 4_000_000_000, 7_000_000_000, 1_000_000_000];
    let write = |version: u8| {
        for (number, seconds) in times.iter().enumerate() {
            let name = format!("src/{number}");
            sandbox.write(&name, &[version; 100]);
            let offset = Duration::from_secs(seconds.unsigned_abs());
            let time = match *seconds < 0 {
                true => SystemTime::UNIX_EPOCH - offset,
                false => SystemTime::UNIX_EPOCH + offset,
            };
            let file = File::options().write(true).open(sandbox.path(&name)).unwrap();
            file.set_modified(time).unwrap();
        }
    };
    for version in 1..5 {
        write(version);
        sandbox.run(BACKUP).succeeds();
        is_up_to_date(&sandbox);
    }
}

/// A project whose files are where the test says what happens.
fn scripted() -> Option<(Sandbox, Scripted)> {
    let sandbox = Sandbox::with_projects(PROJECT);
    fs::create_dir(sandbox.path("src")).unwrap();
    let files = Scripted::mount(&sandbox.path("src"))?;
    files.things().put("other", FileType::RegularFile, b"other", 1_000_000_000);
    Some((sandbox, files))
}

/// Backs up, which must end with this code; what is told of `src/file`.
fn told_of_file(sandbox: &Sandbox, code: i32) -> Option<String> {
    sandbox.run(BACKUP).exits(code);
    // Whatever became of it, what stands beside it was saved.
    assert_eq!(saved(sandbox, "other").as_deref(), Some(&b"other"[..]));
    skipped(sandbox).remove("src/file")
}

/// The bytes of a file in the last snapshot.
fn saved(sandbox: &Sandbox, name: &str) -> Option<Vec<u8>> {
    let ran = sandbox.run(&format!("runup-cat-object -p app:src/{name} >../saved"));
    (ran.exit_code() == Some(0)).then(|| sandbox.read("../saved"))
}

#[test]
fn a_change_within_the_tick_of_a_coarse_clock_is_found() {
    let Some((sandbox, files)) = scripted() else { return };
    let (mut changes, mut hidden) = (0_u8, 0);
    while hidden < 4 {
        // Every thing is given the time that a file system with stamps of two seconds gives it.
        let tick = even_seconds();
        changes += 1;
        files.things().put("file", FileType::RegularFile, &[changes; 1000], tick);
        sandbox.run(BACKUP).succeeds();
        assert_eq!(saved(&sandbox, "file"), Some(vec![changes; 1000]));
        changes += 1;
        // The same inode and size, and as far as that goes, time.
        let now = even_seconds();
        {
            let mut things = files.things();
            let thing = things.thing("file");
            (thing.bytes, thing.seconds) = (vec![changes; 1000], now);
        }
        hidden += u8::from(now == tick);
        sandbox.run(BACKUP).succeeds();
        assert_eq!(saved(&sandbox, "file"), Some(vec![changes; 1000]), "stale");
    }
}

/// Changes `file` when it is read from beyond its beginning.
fn on_read(
    mut change: impl FnMut(&mut Things) + Send,
) -> impl FnMut(&mut Things, Asked<'_>) -> Option<Errno> + Send {
    move |things, asked| {
        if matches!(asked, Asked::Read("file", 1..)) {
            change(things);
        }
        None
    }
}

#[test]
fn a_file_that_changes_between_two_reads_is_kept_as_read() {
    let Some((sandbox, files)) = scripted() else { return };
    let old = noise(LONG, 1);
    let put = || files.things().put("file", FileType::RegularFile, &old, 1_000_000_000);
    let quiet = || files.play(|_, _| None);

    // It grows as it is read, so that it has no end: what it had when it was opened is kept.
    put();
    files.play(on_read(|things| {
        let thing = things.thing("file");
        thing.bytes.push(b'x');
        thing.seconds += 1;
    }));
    assert!(told_of_file(&sandbox, 3).unwrap().contains("changed"));
    let read = saved(&sandbox, "file").unwrap();
    assert!(read.starts_with(&old) && read[LONG..].iter().all(|byte| *byte == b'x'));
    assert!(read.len() < LONG + 100, "{}", read.len());
    quiet();
    assert_eq!(told_of_file(&sandbox, 0), None);
    assert_eq!(saved(&sandbox, "file").unwrap(), files.things().thing("file").bytes);

    // It is cut short under the reader.
    put();
    files.play(on_read(|things| {
        let thing = things.thing("file");
        thing.bytes.truncate(200_000);
        thing.seconds += 1;
    }));
    // The second time, it is as short as it says.
    assert_eq!(told_of_file(&sandbox, 0), None);
    assert_eq!(saved(&sandbox, "file").unwrap(), old[..200_000]);

    // It is cut short and made long again, every time.
    put();
    let whole = old.clone();
    files.play(move |things, asked| {
        if matches!(asked, Asked::Open("file") | Asked::Read("file", 1..)) {
            let thing = things.thing("file");
            let is_short = asked != Asked::Open("file");
            thing.bytes = whole[..if is_short { 200_000 } else { LONG }].to_vec();
        }
        None
    });
    let told = told_of_file(&sandbox, 3).unwrap();
    assert!(told.contains("changed") || told.contains("shrank"), "{told}");

    // Other bytes of the same length, and the clock has not moved on: this once nobody can tell, the
    // next time it is read again.
    let tick = even_seconds();
    files.things().put("file", FileType::RegularFile, &old, tick);
    files.play(on_read(|things| things.thing("file").bytes.fill(b'n')));
    sandbox.run(BACKUP).succeeds();
    quiet();
    sandbox.run(BACKUP).succeeds();
    assert_eq!(saved(&sandbox, "file").unwrap(), vec![b'n'; LONG]);
}

#[test]
fn a_file_that_is_something_else_when_it_is_opened_is_told() {
    let kinds = [
        Some(FileType::NamedPipe),
        Some(FileType::Symlink),
        Some(FileType::Directory),
        Some(FileType::RegularFile),
        None,
    ];
    for kind in kinds {
        // Each in a place that the kernel has never seen, where it asks once for each call.
        let Some((sandbox, files)) = scripted() else { return };
        files.things().put("file", FileType::RegularFile, b"listed", 1_000_000_000);
        let mut looked = 0;
        files.play(move |things, asked| {
            if asked == Asked::Lookup("file") {
                looked += 1;
                // Once for its state, once to open it.
                if looked == 2 {
                    match kind {
                        Some(kind) => things.put("file", kind, b"other", 1_000_000_001),
                        None => things.remove("file"),
                    }
                }
            }
            None
        });
        let told = told_of_file(&sandbox, 3).unwrap();
        let expected = if kind.is_some() { "replaced" } else { "vanished" };
        assert!(told.contains(expected), "{kind:?}: {told}");
        assert_eq!(saved(&sandbox, "file"), None, "{kind:?}");
        files.play(|_, _| None);
        sandbox.run(BACKUP).succeeds();
    }
}

#[test]
fn what_the_disk_cannot_give_is_told_and_the_rest_saved() {
    let Some((sandbox, files)) = scripted() else { return };
    {
        let mut things = files.things();
        things.put("file", FileType::RegularFile, &noise(LONG, 1), 1_000_000_000);
        things.put("deep", FileType::Directory, b"", 1_000_000_000);
        things.put("deep/er", FileType::RegularFile, b"er", 1_000_000_000);
    }
    sandbox.run(BACKUP).succeeds();
    let is = |fails: fn(Asked<'_>) -> bool| {
        // Without this, the file would not be read again.
        files.things().thing("file").seconds += 1;
        files.play(move |_, asked| fails(asked).then_some(Errno::EIO));
    };
    for fails in [
        (|asked| matches!(asked, Asked::Read("file", 1..))) as fn(Asked<'_>) -> bool,
        |asked| matches!(asked, Asked::Read("file", 0)),
        |asked| asked == Asked::Open("file"),
        |asked| asked == Asked::Lookup("file"),
    ] {
        is(fails);
        let told = told_of_file(&sandbox, 3).unwrap();
        assert!(told.contains("os error 5"), "{told}");
        assert_eq!(saved(&sandbox, "file"), None);
        assert_eq!(saved(&sandbox, "deep/er").as_deref(), Some(&b"er"[..]));
    }
    is(|asked| asked == Asked::List("deep"));
    assert_eq!(told_of_file(&sandbox, 3), None);
    assert!(skipped(&sandbox)["src/deep"].contains("os error 5"));
    assert_eq!(saved(&sandbox, "file").unwrap().len(), LONG);
    // What could not be read is not taken for removed.
    sandbox.write("../out/src/deep/mine", b"kept");
    sandbox.run("runup restore --clear-location --force --location ../out").succeeds();
    assert_eq!(sandbox.read("../out/src/deep/mine"), b"kept");
    files.play(|_, _| None);
    sandbox.run(BACKUP).succeeds();
    assert!(skipped(&sandbox).is_empty());
    assert_eq!(saved(&sandbox, "deep/er").as_deref(), Some(&b"er"[..]));
}

#[test]
fn a_directory_that_is_renamed_during_the_walk_is_saved_once_or_told() {
    let Some((sandbox, files)) = scripted() else { return };
    for asked_for in ["lookup", "list"] {
        {
            let mut things = files.things();
            things.put("was", FileType::Directory, b"", 1_000_000_000);
            things.put("was/file", FileType::RegularFile, b"in it", 1_000_000_000);
            things.put("last", FileType::RegularFile, b"last", 1_000_000_000);
        }
        let mut looked = 0;
        files.play(move |things, asked| {
            looked += usize::from(asked == Asked::Lookup("was"));
            let is_time = match asked_for {
                "list" => asked == Asked::List("was"),
                _ => looked == 1 && asked == Asked::Lookup("was"),
            };
            if is_time {
                things.rename("was", "is");
            }
            None
        });
        let ran = sandbox.run(BACKUP);
        assert!(matches!(ran.exit_code(), Some(0 | 3)), "{asked_for}: {}", ran.stderr());
        let told = skipped(&sandbox);
        match saved(&sandbox, "was/file") {
            Some(bytes) => assert_eq!(bytes, b"in it"),
            None => assert!(told.contains_key("src/was"), "{asked_for}: {told:?}"),
        }
        assert_eq!(saved(&sandbox, "last").as_deref(), Some(&b"last"[..]));
        files.play(|_, _| None);
        sandbox.run(BACKUP).succeeds();
        assert_eq!(saved(&sandbox, "is/file").as_deref(), Some(&b"in it"[..]));
        assert_eq!(saved(&sandbox, "was/file"), None);
        let mut things = files.things();
        things.remove("is/file");
        things.remove("is");
    }
}

#[test]
fn a_file_that_says_it_is_empty_and_is_not_is_read_to_a_limit() {
    let Some((sandbox, files)) = scripted() else { return };
    // As some file systems show what they make up as it is read.
    files.things().put("file", FileType::RegularFile, b"", 1_000_000_000);
    files.play(|things, asked| {
        match asked {
            Asked::Open("file") => things.thing("file").bytes.clear(),
            Asked::Read("file", 0) => things.thing("file").bytes = b"made up".to_vec(),
            _ => {}
        }
        None
    });
    assert!(told_of_file(&sandbox, 3).unwrap().contains("changed"));
    assert_eq!(saved(&sandbox, "file").as_deref(), Some(&b"made up"[..]));
}
