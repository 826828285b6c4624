//! What stands in the target where a name of the tree goes: things of every sort, met by root and by
//! nobody.
//!
//! Invariant: a checkout that ends with 0 has made all that the tree says; one that has not says so; and
//! the canary lives either way.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::links;
use runup::format::tree::Node;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::ground::{Ground, directory, entry, link, look, snapshot, with_links};
use super::trees::hostile_trees;

const NOBODY: u32 = 65_534;
/// The names of the tree.
const NAMES: [&str; 6] = ["dir", "fifo", "file", "link", "one", "two"];

/// Stores a tree with an entry of every sort, in a snapshot.
fn store(ground: &Ground) -> Id {
    let below = ground.put_tree(&[
        ground.file("file", b"evil"),
        directory("sub", ground.put_tree(&[ground.file("file", b"evil")])),
    ]);
    let mut symlink = link("link", b"../canary");
    symlink.metadata.mode = 0o777;
    let tree = ground.put_tree(&[
        directory("dir", below),
        entry("fifo", Node::Fifo),
        ground.file("file", b"evil"),
        symlink,
        ground.file("one", b"both"),
        ground.file("two", b"both"),
    ]);
    let group = ["one", "two"].map(|path| path.as_bytes().into()).to_vec();
    let links = ground.put_one(Kind::Links, &links::encode(vec![group]));
    let snapshot = snapshot(with_links(tree, links));
    ground.put_one(Kind::Snapshot, &snapshot.encode())
}

/// Makes something under a name.
type State = fn(&Ground, &Path) -> std::io::Result<()>;

fn node(path: &Path, kind: FileType, device: u64) -> std::io::Result<()> {
    Ok(mknodat(CWD, path, kind, Mode::RWXU, device)?)
}

fn full(path: &Path) -> std::io::Result<()> {
    fs::create_dir(path)?;
    fs::write(path.join("mine"), b"mine")
}

/// Everything that can stand there, by what it is. Devices take root.
const STATES: [(&str, State); 18] = [
    ("nothing", |_, _| Ok(())),
    ("a file", |_, path| fs::write(path, b"mine")),
    ("a file of the same bytes", |_, path| fs::write(path, b"evil")),
    ("a closed file", |_, path| {
        fs::write(path, b"mine")?;
        fs::set_permissions(path, Permissions::from_mode(0o0))
    }),
    ("the canary's inode", |ground, path| fs::hard_link(ground.canary().join("file"), path)),
    ("a link to the canary", |_, path| symlink("../canary", path)),
    ("a link to the canary by its whole path", |ground, path| symlink(ground.canary(), path)),
    ("a link to a file of the canary", |_, path| symlink("../canary/file", path)),
    ("a link to nothing", |_, path| symlink("../canary/absent", path)),
    ("a link to itself", |_, path| symlink(path.file_name().unwrap(), path)),
    ("a link through the kernel", |_, path| symlink("/proc/self/cwd/../canary", path)),
    ("a FIFO", |_, path| node(path, FileType::Fifo, 0)),
    ("a socket", |_, path| node(path, FileType::Socket, 0)),
    ("a device", |_, path| node(path, FileType::CharacterDevice, makedev(1, 3))),
    ("an empty directory", |_, path| fs::create_dir(path)),
    ("a directory with something in it", |_, path| full(path)),
    ("a closed directory", |_, path| {
        full(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o0))
    }),
    ("a directory of links", |_, path| {
        fs::create_dir(path)?;
        symlink("../../canary/sub", path.join("sub"))?;
        symlink("../../canary/file", path.join("file"))
    }),
];

/// Who runs the test.
fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Runs a script beside the target, as this user.
fn run(ground: &Ground, user: u32, script: &str) -> Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_runup")).parent().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .current_dir(ground.folder.path())
        .env_clear()
        .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()))
        .env("RUNUP_CACHE_DIR", ground.folder.path().join("repository/tmp"))
        .env("RUNUP_REPOSITORY", "repository")
        .env("LC_ALL", "C");
    if user != own() {
        command.uid(user).gid(user);
    }
    command.output().unwrap()
}

/// Gives everything to a user.
fn give(path: &Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

/// Whoever can be taken for the one who restores.
fn users(ground: &Ground) -> Vec<u32> {
    if own() != 0 {
        return vec![own()];
    }
    chown(ground.folder.path(), Some(NOBODY), None).unwrap();
    // Where the programs were built nobody may be shut out.
    match run(ground, NOBODY, "runup --version").status.success() {
        true => vec![own(), NOBODY],
        false => vec![own()],
    }
}

/// What of the tree does not stand in the target as it says.
fn lacking(target: &Path) -> Vec<&'static str> {
    let is_file = |path: &str, bytes: &[u8]| {
        let path = target.join(path);
        path.symlink_metadata().is_ok_and(|status| status.is_file())
            && fs::read(path).is_ok_and(|read| read == bytes)
    };
    let inode = |path: &str| target.join(path).symlink_metadata().map_or(0, |status| status.ino());
    let is_directory =
        |path: &str| target.join(path).symlink_metadata().is_ok_and(|status| status.is_dir());
    let is_fifo = |path: &str| {
        target.join(path).symlink_metadata().is_ok_and(|status| status.file_type().is_fifo())
    };
    let is_there = [
        is_directory("dir") && is_directory("dir/sub"),
        is_fifo("fifo"),
        is_file("file", b"evil")
            && is_file("dir/file", b"evil")
            && is_file("dir/sub/file", b"evil"),
        fs::read_link(target.join("link"))
            .is_ok_and(|to| to.as_os_str().as_bytes() == b"../canary"),
        is_file("one", b"both"),
        is_file("two", b"both") && inode("one") == inode("two"),
    ];
    NAMES.into_iter().zip(is_there).filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

#[test]
fn whatever_stands_there_the_outside_is_left_alone() {
    let ground = Ground::new();
    let snapshot = store(&ground);
    for user in users(&ground) {
        for (state, make) in STATES {
            if state == "a device" && user != 0 {
                continue;
            }
            for force in ["", "-f"] {
                let _removed = run(&ground, own(), "chmod -R u+rwx target; rm -rf target");
                fs::create_dir(ground.target()).unwrap();
                for name in NAMES {
                    make(&ground, &ground.path(name)).unwrap();
                }
                if own() == 0 {
                    give(ground.folder.path(), user);
                }
                let before = look(ground.folder.path(), &["target", "repository"]);
                let script = format!("timeout 60 runup-checkout {force} {snapshot} --to target");
                let output = run(&ground, user, &script);
                let told = format!("{state} {force} as {user}: {output:?}");
                assert_eq!(look(ground.folder.path(), &["target", "repository"]), before, "{told}");
                let code = output.status.code();
                // Once a closed directory cannot be looked into, the test cannot either.
                let _open = run(&ground, user, "chmod u+rwx target/*");
                let lacking = lacking(&ground.target());
                assert!(matches!(code, Some(0 | 3)), "{told}");
                assert!(lacking.is_empty() || code == Some(3), "{lacking:?}: {told}");
                // What can be replaced is, but no directory.
                let keeps = state.contains("directory");
                assert!(force.is_empty() || keeps || lacking.is_empty(), "{lacking:?}: {told}");
                let names = run(&ground, user, "find target");
                assert!(!String::from_utf8_lossy(&names.stdout).contains(".runup-"), "{told}");
            }
        }
    }
}

#[test]
fn trees_that_no_backup_makes_are_refused_for_nobody_too() {
    let ground = Ground::new();
    let file = ground.file("", b"evil").node;
    let bad = ground.put(|worker| {
        let trees = hostile_trees(&file);
        trees.iter().map(|bytes| worker.put(Kind::Tree, bytes)).collect::<Result<Vec<_>, _>>()
    });
    let user = *users(&ground).last().unwrap();
    ground.plant();
    if own() == 0 {
        give(ground.folder.path(), user);
    }
    let before = look(ground.folder.path(), &["repository"]);
    for tree in bad {
        let output =
            run(&ground, user, &format!("timeout 60 runup-checkout -f {tree} --to target"));
        assert_eq!(output.status.code(), Some(13), "{output:?}");
    }
    assert_eq!(look(ground.folder.path(), &["repository"]), before);
}

#[test]
#[expect(clippy::print_stderr, reason = "what was passed over is told")]
fn what_is_mounted_in_the_target_stays_mounted() {
    let ground = Ground::new();
    let snapshot = store(&ground);
    let before = look(ground.folder.path(), &["target", "repository"]);
    if !run(&ground, own(), "unshare -m mount -t tmpfs none canary").status.success() {
        eprintln!("passed over, as nothing can be mounted here");
        return;
    }
    for (name, is_directory) in NAMES.map(|name| (name, name == "dir")) {
        for kind in ["directory", "file"] {
            for force in ["", "-f"] {
                let mount = match kind {
                    "directory" => {
                        format!("mkdir target/{name}; mount -t tmpfs none target/{name}")
                    }
                    _ => format!(": >target/{name}; mount --bind canary/file target/{name}"),
                };
                let script = format!(
                    "rm -rf target; mkdir target; {mount} || exit 99
                     timeout 60 runup-checkout {force} {snapshot} --to target
                     code=$?
                     grep -q target/{name} /proc/self/mounts || exit 98
                     test {is_directory} = false || test {kind} = file || test -e target/dir/sub/file || exit 97
                     exit $code"
                );
                let output = run(&ground, own(), &format!("unshare -m sh -c '{script}'"));
                let told = format!("{kind} at {name} {force}: {output:?}");
                let is_met = is_directory && kind == "directory";
                let is_kept = if is_met { Some(0) } else { Some(3) };
                assert_eq!(output.status.code(), is_kept, "{told}");
                assert_eq!(look(ground.folder.path(), &["target", "repository"]), before, "{told}");
            }
        }
    }
}
