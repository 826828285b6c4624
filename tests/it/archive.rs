//! Trees to tar archives and back, with the `tar` of the system on the other side.

use crate::sandbox::Sandbox;

pub(crate) const PROJECT: &str = "  app:\n    include: [tree]\n";

/// Everything that a directory can hold and any user can make.
pub(crate) fn populated() -> Sandbox {
    let sandbox = Sandbox::with_projects(PROJECT);
    let long = "n".repeat(200);
    sandbox.write("tree/plain", b"plain\n");
    sandbox.write("tree/empty", b"");
    sandbox.write("tree/sub/deep/er/file", b"bytes");
    sandbox.write(&format!("tree/{long}"), b"long name");
    sandbox.write(&format!("tree/sub/{long}/{long}"), b"long path");
    sandbox.write("tree/na\u{ef}ve", b"international");
    let mut noise = vec![0; 5_000_001];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    sandbox.write("tree/noise", &noise);
    sandbox
        .run(&format!(
            "cd tree
             ln plain sub/hard; ln plain zz-hard; ln -s plain soft; ln -s /no/where dangling
             ln -s {} far; ln soft hard-soft; mkfifo pipe; mkdir void
             mkdir -p top/below; ln plain top/below/hard
             printf x > \"$(printf 'byte-\\377\\376')\"
             printf x > \"$(printf 'line\\nfeed')\"; printf x > ' trail '; printf x > -rf
             printf y > \"sub/{long}/$(printf '\\377{long}')\"
             ln -s \"$(printf 't\\377')\" odd-target
             chmod 4755 empty; chmod 1777 void; chmod 700 sub/deep; chmod 400 plain
             touch -d '1969-12-31 23:59:58.25' sub/hard; touch -d '1901-01-01' empty
             touch -d '2300-01-01 00:00:00.000000001' noise; touch -h -d '2001-02-03 04:05:06.7' soft
             truncate -s 20M holes; printf middle | dd of=holes bs=1 seek=9000000 conv=notrunc
             truncate -s 5M ends; printf end >> ends; truncate -s 3M nothing
             touch -d '2020-02-02 02:02:02.020202' . sub void",
            "t/".repeat(150)
        ))
        .succeeds();
    sandbox
}

/// The id that a backup of this directory has.
fn id_of(sandbox: &Sandbox, directory: &str) -> String {
    sandbox.run(&format!("runup-write-tree -n --plain {directory}")).succeeds().stdout()
}

pub(crate) fn store(sandbox: &Sandbox) {
    let script = "runup-write-tree tree | runup-write-snapshot --project app";
    sandbox.run(script).succeeds();
}

#[expect(clippy::print_stderr, reason = "whoever reads the test's output should know")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

#[test]
fn what_tar_makes_of_an_archive_is_what_was_backed_up() {
    let sandbox = populated();
    store(&sandbox);
    let expected = id_of(&sandbox, "tree");
    for options in ["", "--no-sparse"] {
        let script = format!("runup-archive app {options} > a.tar && mkdir out");
        let ran = sandbox.run(&script).succeeds();
        assert_eq!((ran.stdout(), ran.stderr()), Default::default());
        sandbox.run("tar -C out --xattrs --xattrs-include='*' -xpf a.tar").succeeds();
        assert_eq!(id_of(&sandbox, "out"), expected, "{options}");
        assert_eq!(sandbox.look("tree"), sandbox.look("out"), "{options}");
        let compared = sandbox.run("tar -C tree --compare -f a.tar").succeeds();
        assert_eq!(compared.stdout(), "");
        sandbox.run("rm -r out").succeeds();
    }
    let sizes: Vec<u64> = ["runup-archive app", "runup-archive --no-sparse app"]
        .map(|script| sandbox.run(&format!("{script} | wc -c")).succeeds().stdout())
        .iter()
        .map(|count| count.trim().parse().unwrap())
        .collect();
    assert!(sizes[0] + 25_000_000 < sizes[1], "{sizes:?}");
    assert!(sizes[0].is_multiple_of(10240));
}

#[test]
fn formats_without_parts_of_seconds_keep_everything_else() {
    let sandbox = populated();
    sandbox
        .run("find tree -newermt 1902-01-01 -exec touch -h -d '2010-10-10 10:10:10' {} +")
        .succeeds();
    store(&sandbox);
    let expected = id_of(&sandbox, "tree");
    for options in ["--format=gnu", "--format=gnu --sparse", "--format=oldgnu --sparse"] {
        let tar = format!("tar -C tree {options} -cf - .");
        let imported = sandbox.run(&format!("{tar} | runup-import-archive --plain")).succeeds();
        assert_eq!(imported.stdout(), expected, "{options}");
    }
    for options in ["", "--no-sparse"] {
        let script = format!(
            "runup-archive --format gnu {options} app > a.tar && mkdir out && tar -C out -xpf a.tar"
        );
        sandbox.run(&script).succeeds();
        assert_eq!(id_of(&sandbox, "out"), expected, "{options}");
        sandbox.run("tar -C tree --compare -f a.tar && rm -r out").succeeds();
        assert_eq!(sandbox.run("runup-import-archive -n --plain a.tar").stdout(), expected);
    }
    // What ustar and v7 can tell: short names, links, no devices.
    sandbox.run("mkdir small; cp -a tree/plain tree/sub/deep tree/soft tree/void small").succeeds();
    sandbox.run("ln small/plain small/z; touch -d '2010-10-10 10:10:10' small").succeeds();
    let expected = id_of(&sandbox, "small");
    for format in ["ustar", "v7"] {
        let script =
            format!("tar -C small --format={format} -cf - . | runup-import-archive -n --plain");
        assert_eq!(sandbox.run(&script).succeeds().stdout(), expected, "{format}");
    }
}

#[test]
fn an_archive_is_imported_as_the_tree_it_was_made_of() {
    let sandbox = populated();
    store(&sandbox);
    let snapshot = sandbox.run("runup-cat-snapshot app").succeeds().record();
    let script = "runup-archive app | runup-import-archive";
    let record = sandbox.run(script).succeeds().record();
    for field in ["tree", "links", "root", "counts", "users", "groups"] {
        assert_eq!(record[field], snapshot[field], "{field}");
    }
    let one = sandbox.run("runup-archive app | b3sum").stdout();
    assert_eq!(one, sandbox.run("runup-archive app | b3sum").stdout());
    let again = format!("{script} | runup-write-snapshot --project app");
    assert_eq!(sandbox.run(&again).succeeds().record()["tree"], snapshot["tree"]);
    sandbox.run("runup-checkout app --to ../out").succeeds();
    assert_eq!(sandbox.look("tree"), sandbox.look("../out"));
}

#[test]
fn parts_of_a_tree_are_archived_alone() {
    let sandbox = populated();
    store(&sandbox);
    let listed = sandbox.run("runup-archive app sub/deep plain | tar t").succeeds().stdout();
    assert_eq!(listed, "plain\nsub/deep/\nsub/deep/er/\nsub/deep/er/file\n");
    let listed = sandbox.run("runup-archive app:sub | tar tv").succeeds().stdout();
    assert!(listed.starts_with("drwx"), "{listed}");
    assert!(listed.lines().next().unwrap().ends_with(" ./"), "{listed}");
    assert!(!listed.contains("link to"), "the first name is outside: {listed}");
    let listed = sandbox.run("runup-archive app:top | tar tv").succeeds().stdout();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let ran = sandbox.run("runup-archive app absent").exits(2);
    assert!(ran.stderr().contains("no_such_path") && ran.stdout().is_empty());
    sandbox.run("runup-archive app ../x").exits(2);
    sandbox.run("runup-archive app:plain").exits(2);
    let ran = sandbox.run("runup-archive app | head -c 100000 > head; runup-archive app | true");
    assert_eq!(ran.succeeds().stderr(), "");
}

#[test]
fn sockets_and_lost_attributes_are_told() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("tree/file", b"x");
    let socket = std::os::unix::net::UnixListener::bind(sandbox.path("tree/socket")).unwrap();
    store(&sandbox);
    let ran = sandbox.run("runup-archive app > a.tar").exits(3);
    assert!(ran.stderr().contains("\"code\":\"socket\""), "{}", ran.stderr());
    drop(socket);
    let listed = sandbox.run("tar tf a.tar").succeeds().stdout();
    assert_eq!(listed, "./\nfile\n");
}

#[test]
fn attributes_and_acls_survive_both_ways() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("tree/file", b"x");
    sandbox.write("tree/sub/file", b"x");
    let set = "setfattr -n user.note -v value tree/file && setfattr -n 'user.a=b%25' tree/file \
               && setfattr -n user.long -v $(printf '%01000d' 7) tree/sub \
               && setfacl -m u:1234:r,g:daemon:rw tree/file && setfacl -d -m u:77:rwx tree/sub";
    if sandbox.run(set).exit_code() != Some(0) {
        skip("this file system keeps no attributes, or their programs are missing");
        return;
    }
    store(&sandbox);
    let expected = id_of(&sandbox, "tree");
    let script = "mkdir out && runup-archive app > a.tar \
                  && tar -C out --xattrs --xattrs-include='*' -xpf a.tar";
    sandbox.run(script).succeeds();
    assert_eq!(id_of(&sandbox, "out"), expected);
    sandbox.run("rm -r out && mkdir out && tar -C out --acls -xpf a.tar").succeeds();
    let acl = "getfacl -n --skip-base -R";
    let wanted = sandbox.run(&format!("cd tree && {acl} .")).succeeds().stdout();
    assert_eq!(sandbox.run(&format!("cd out && {acl} .")).succeeds().stdout(), wanted);
    assert!(wanted.contains("user:1234:r--"), "{wanted}");
    let tar = "tar -C tree --format=pax --xattrs --xattrs-include='*' -cf - .";
    let imported = sandbox.run(&format!("{tar} | runup-import-archive -n --plain")).succeeds();
    assert_eq!(imported.stdout(), expected);
    // ACLs alone, as text with names.
    sandbox
        .run("setfattr -x user.note tree/file && setfattr -x 'user.a=b%25' tree/file")
        .succeeds();
    sandbox.run("setfattr -x user.long tree/sub").succeeds();
    let tar = "tar -C tree --format=pax --acls -cf - .";
    let imported = sandbox.run(&format!("{tar} | runup-import-archive -n --plain")).succeeds();
    assert_eq!(imported.stdout(), id_of(&sandbox, "tree"));
    let ran = sandbox.run("runup-archive --format gnu app > a.tar").exits(3);
    assert!(ran.stderr().contains("\"code\":\"xattrs\""), "{}", ran.stderr());
}

#[test]
fn libarchive_reads_and_writes_the_same() {
    let sandbox = populated();
    if sandbox.run("bsdtar --version").exit_code() != Some(0) {
        skip("bsdtar is not installed");
        return;
    }
    // libarchive tells times before 1970 in a way of its own.
    sandbox.run("find tree ! -newermt 1971-01-01 -exec touch -h -d 2011-11-11 {} +").succeeds();
    store(&sandbox);
    let expected = id_of(&sandbox, "tree");
    let script =
        "mkdir out && runup-archive app > a.tar && LC_ALL=C.UTF-8 bsdtar -C out -xpf a.tar";
    sandbox.run(script).succeeds();
    assert_eq!(id_of(&sandbox, "out"), expected);
    let tar = "LC_ALL=C.UTF-8 bsdtar -C tree --format=pax -cf - . 2>../stderr";
    let imported = sandbox.run(&format!("{tar} | runup-import-archive -n --plain")).succeeds();
    assert_eq!(imported.stdout(), expected);
}

#[test]
fn damage_in_the_repository_is_not_archived() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let mut long = vec![0; 9_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut long);
    sandbox.write("tree/long", &long);
    sandbox.write("tree/short", b"short");
    store(&sandbox);
    let packs = sandbox.run("ls -S .runup/packs").succeeds().stdout();
    let pack = format!(".runup/packs/{}", packs.lines().next().unwrap());
    let mut bytes = sandbox.read(&pack);
    let end = bytes.len() - 3_000_000;
    bytes[end..end + 1000].fill(7);
    sandbox.run(&format!("chmod u+w {pack}")).succeeds();
    sandbox.write(&pack, &bytes);
    let ran = sandbox.run("runup-archive app > a.tar").exits(4);
    assert!(ran.stderr().contains("the archive ends inside long"), "{}", ran.stderr());
    sandbox.run("runup-import-archive -n a.tar").exits(4);
}

#[test]
fn a_file_that_is_missing_is_left_out_and_told() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("tree/a", b"missing");
    sandbox.write("tree/z", b"there");
    sandbox.run("ln tree/a tree/b").succeeds();
    let id = sandbox.run("runup-hash-object -w --loose --plain tree/a").succeeds().stdout();
    store(&sandbox);
    let (head, tail) = id.trim().split_at(2);
    sandbox.run(&format!("rm .runup/objects/{head}/{tail}")).succeeds();
    let ran = sandbox.run("runup-archive app > a.tar").exits(4);
    assert_eq!(ran.stderr().matches("\"code\":\"damaged\"").count(), 2, "{}", ran.stderr());
    assert_eq!(sandbox.run("tar tf a.tar").succeeds().stdout(), "./\nz\n");
}
