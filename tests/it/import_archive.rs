//! Tar archives to trees: what `tar` writes, what nobody should write, and what is cut or flipped.

use std::fmt::Write as _;

use crate::archive::{PROJECT, populated, store};
use crate::sandbox::{Ran, Sandbox};

/// A block of a header, by its fields.
fn header(name: &str, flag: char, size: &str, target: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, text: &str| {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000644\0");
    put(124, size);
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, &flag.to_string());
    put(157, target);
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn file(name: &str, content: &str) -> Vec<u8> {
    let mut bytes = header(name, '0', &format!("{:011o}\0", content.len()), "");
    bytes.extend_from_slice(content.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn extended(flag: char, records: &str) -> Vec<u8> {
    let mut bytes = header("x", flag, &format!("{:011o}\0", records.len()), "");
    bytes.extend_from_slice(records.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn import(sandbox: &Sandbox, parts: &[Vec<u8>], options: &str) -> Ran {
    sandbox.write("a.tar", &parts.concat());
    sandbox.run(&format!("runup-import-archive -n {options} a.tar"))
}

fn end() -> Vec<u8> {
    vec![0; 1024]
}

/// The entries of the tree that was imported, as `tar` would list the same.
fn listed(sandbox: &Sandbox, parts: &[Vec<u8>], options: &str) -> String {
    sandbox.write("a.tar", &parts.concat());
    let import = format!("runup-import-archive {options} a.tar --plain");
    let tree = sandbox.run(&import).succeeds().stdout();
    sandbox.run(&format!("runup-ls-tree -r -t --name-only {tree}")).succeeds().stdout()
}

#[test]
fn what_tar_archives_is_imported_as_it_would_be_backed_up() {
    let sandbox = populated();
    let expected = sandbox.run("runup-write-tree -n tree").succeeds().record();
    for options in [
        "--format=pax",
        "--format=pax --sparse --sparse-version=0.0",
        "--format=pax --sparse --sparse-version=0.1",
        "--format=pax --sparse --sparse-version=1.0",
        "--format=pax --sort=name --pax-option=globexthdr.name=g,comment=global",
    ] {
        let tar = format!("tar -C tree {options} --xattrs --acls -cf - . 2>../stderr");
        let imported = sandbox.run(&format!("{tar} | runup-import-archive")).succeeds();
        let record = imported.record();
        for field in ["tree", "links", "root", "counts", "users", "groups", "skipped", "includes"] {
            assert_eq!(record[field], expected[field], "{options}: {field}");
        }
        assert_eq!((&record["context"]["path"], &record["errors"]), (&"/".into(), &0.into()));
        let dry = sandbox.run(&format!("{tar} | runup-import-archive -n --plain")).succeeds();
        assert_eq!(dry.stdout().trim(), expected["tree"].as_str().unwrap(), "{options}");
        let record = sandbox.run(&format!("{tar} | gzip | runup-import-archive -n -")).succeeds();
        assert_eq!(record.record()["tree"], expected["tree"], "{options}");
    }
}

#[test]
fn later_members_and_kinds_replace_earlier_ones() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let twice = [file("a", "old"), file("d/x", "1"), file("a", "new"), end()];
    assert_eq!(listed(&sandbox, &twice, ""), "a\nd\nd/x\n");
    let tree = sandbox.run("runup-import-archive a.tar --plain").succeeds().stdout();
    let content = sandbox.run(&format!("runup-cat-object -p {}:a", tree.trim()));
    assert_eq!(content.succeeds().stdout(), "new");
    let below = [file("a", "file"), file("a/b", "1"), end()];
    assert_eq!(listed(&sandbox, &below, ""), "a\na/b\n");
    let above = [file("a/b", "1"), header("a", '2', "", "target"), end()];
    assert_eq!(listed(&sandbox, &above, ""), "a\n");
    let strip = [file("top", "1"), file("./top//a", "1"), file("/top/b/c", "1"), end()];
    assert_eq!(listed(&sandbox, &strip, "--strip-components 1"), "a\nb\nb/c\n");
    let linked = [file("top/a", "1"), header("top/b", '1', "00000000001\0", "/top/./a"), end()];
    let ran = import(&sandbox, &linked, "--strip-components 1").succeeds().record();
    assert_eq!((&ran["counts"]["files"], ran["links"].is_null()), (&2.into(), false));
    let two = [file("a", "1"), end(), file("b", "1"), end(), b"garbage".to_vec()];
    assert_eq!(listed(&sandbox, &two, ""), "a\n");
    assert_eq!(listed(&sandbox, &two[..4], "--ignore-zeros"), "a\nb\n");
    let implied = import(&sandbox, &[file("d/x", "1"), end()], "").succeeds().record();
    assert!(implied["root"].is_null());
    assert_eq!(listed(&sandbox, &[file("d/x", "1"), end()], ""), "d\nd/x\n");
    let tree = implied["tree"].as_str().unwrap();
    let entry = sandbox.run(&format!("runup-ls-tree {tree}")).succeeds().record();
    let metadata = ["mode", "uid", "gid", "mtime"].map(|field| entry[field].to_string());
    assert_eq!(metadata, ["\"0755\"", "0", "0", "\"0.000000000\""]);
}

#[test]
fn bad_archives_are_refused_by_name_and_place() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let link = |flag, target: &str| header("name", flag, "", target);
    let long = format!("d/{}", "n".repeat(95));
    let deep = format!("{}x", "d/".repeat(5000));
    let record = |keyword: &str, value: &str| {
        let rest = keyword.len() + value.len() + 3;
        let length = (1..9).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n);
        format!("{} {keyword}={value}\n", length.unwrap())
    };
    let named = |name: &str| [extended('x', &record("path", name)), file("x", "1")].concat();
    let sparse = |map: &str, size: &str| {
        let mut records = record("GNU.sparse.size", size);
        records += &record("GNU.sparse.map", map);
        [extended('x', &records), file("holes", "data")].concat()
    };
    let mut bad_sum = file("second", "1");
    bad_sum[0] ^= 1;
    let cut_header = file("second", "1")[..100].to_vec();
    let cut_content = file("second", "1")[..513].to_vec();
    let huge = extended('x', &record("size", "99999999999999999999"));
    let far = extended('x', &record("size", "9000000000000000000"));
    let cases: Vec<(Vec<u8>, i32, &str, &str)> = vec![
        (cut_header, 4, "truncated_archive", "at byte 1024"),
        (cut_content, 4, "truncated_archive", "at byte"),
        (vec![], 4, "truncated_archive", "no end of the archive at byte 1024"),
        (bad_sum, 4, "damaged_archive", "at byte 1024"),
        (file("a/../b", "1"), 13, "hostile", "\\\"a/../b\\\" at byte 1024"),
        (file("..", "1"), 13, "hostile", "`..`"),
        (link('1', "../etc/passwd"), 13, "hostile", "`..`"),
        (named(&"n".repeat(256)), 13, "over_limit", "255"),
        (named(&deep), 13, "over_limit", "4096"),
        (link('2', ""), 4, "damaged_archive", "\\\"name\\\" at byte 1024"),
        ([huge, file("x", "1")].concat(), 4, "damaged_archive", "decimal"),
        ([far, file("x", "1")].concat(), 13, "over_limit", "16 TiB"),
        (extended('x', "9 a=b\n"), 4, "damaged_archive", "LENGTH KEYWORD=VALUE"),
        (extended('g', &record("size", "1")), 4, "damaged_archive", "global"),
        (header("x", 'x', "77777777777\0", ""), 13, "over_limit", "16 MiB"),
        (header("d", '5', "00000000012\0", ""), 4, "damaged_archive", "disagree"),
        (header("x", 'L', "00000000000\0", ""), 4, "damaged_archive", "empty"),
        ([extended('x', &record("path", "a")), end()].concat(), 4, "damaged_archive", "ends"),
        (sparse("0,2,1,2", "9"), 4, "damaged_archive", "overlap"),
        (sparse("0,2,8,2", "9"), 4, "damaged_archive", "after its end"),
        (sparse("0,2,4,1", "9"), 4, "damaged_archive", "add up"),
        (header("rest", 'M', "", ""), 15, "unsupported", "volume"),
        (file("x", "1")[..500].to_vec(), 4, "truncated_archive", "header"),
    ];
    for (number, (bad, exit, code, text)) in cases.into_iter().enumerate() {
        let mut parts = vec![file(&long, "first"), bad];
        if code != "truncated_archive" {
            parts.push(end());
        }
        let ran = import(&sandbox, &parts, "").exits(exit);
        let told = ran.stderr();
        assert!(told.contains(code) && told.contains(text), "{number}: {code} {text}: {told}");
        assert_eq!(ran.stdout(), "", "{number}");
    }
    for (bytes, exit, code) in [
        (&b""[..], 2, "not_an_archive"),
        (b"text", 2, "not_an_archive"),
        (&[b'x'; 2000], 2, "not_an_archive"),
        (b"\xfd7zXZ\0\0", 15, "unsupported"),
        (b"\x1f\x8b\x08\0garbage", 4, "damaged_archive"),
        (b"\x28\xb5\x2f\xfdgarbage", 4, "damaged_archive"),
    ] {
        let told = import(&sandbox, &[bytes.to_vec()], "").exits(exit).stderr();
        assert!(told.contains(code), "{bytes:?}: {told}");
    }
    let empty = import(&sandbox, &[end()], "").succeeds().record();
    assert_eq!(empty["counts"]["files"], 0);
}

#[test]
fn what_can_be_left_out_is_told_and_recorded() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let parts = [
        header("early", '1', "", "late"),
        file("/late", "1"),
        header("to-dir", '1', "", "."),
        header("odd", 'Z', "00000000001\0", ""),
        vec![b'z'; 512],
        header("label", 'V', "", ""),
        file("last", "1"),
        end(),
    ];
    let ran = import(&sandbox, &parts, "").exits(3);
    let record = ran.record();
    assert_eq!(record["errors"], 3);
    let skipped: Vec<_> =
        record["skipped"].as_array().unwrap().iter().map(|s| s["path"].clone()).collect();
    assert_eq!(skipped, ["early", "odd", "to-dir"]);
    assert_eq!(record["counts"]["files"], 2);
    let told = ran.stderr();
    assert_eq!(told.matches("missing_link_target").count(), 2, "{told}");
    assert_eq!(told.matches("taken off the start").count(), 1, "{told}");
    assert!(told.contains("unknown_type"), "{told}");
    // A failed import publishes nothing, and the next one works.
    let mut parts = vec![file("a", "1"), file("b", "2")];
    sandbox.write("a.tar", &parts.concat());
    sandbox.run("runup-import-archive a.tar").exits(4);
    assert_eq!(sandbox.run("runup-ls-snapshots").succeeds().stdout(), "");
    parts.push(end());
    assert_eq!(listed(&sandbox, &parts, ""), "a\nb\n");
    sandbox.run("runup-fsck").succeeds();
}

#[test]
fn a_flipped_byte_is_an_error_or_another_tree_and_never_a_panic() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("tree/file", b"content");
    sandbox.run("cd tree; ln file hard; ln -s file soft; truncate -s 3M holes; mkdir d").succeeds();
    store(&sandbox);
    for format in ["pax", "gnu"] {
        sandbox.run(&format!("runup-archive --format {format} app > good.tar")).succeeds();
        let good = sandbox.read("good.tar");
        let mut script = String::new();
        let mut seed = 1_u64;
        for number in 0..60 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            let mut bad = good.clone();
            let at = (seed >> 33) as usize % bad.len();
            bad[at] ^= (seed >> 20) as u8 | 1;
            // Otherwise the checksum of the header is all that is tested.
            let block = at - at % 512;
            bad[block + 148..block + 156].fill(b' ');
            let sum: u32 = bad[block..block + 512].iter().map(|byte| u32::from(*byte)).sum();
            bad[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            sandbox.write(&format!("bad/{number}"), &bad);
            writeln!(script, "runup-import-archive -n --plain bad/{number} >/dev/null; echo $?")
                .unwrap();
        }
        let ran = sandbox.run(&format!("set +e\n{script}")).succeeds();
        assert_eq!(ran.stdout().lines().count(), 60);
        for exit in ran.stdout().lines() {
            assert!(["0", "2", "3", "4", "13", "15"].contains(&exit), "{exit}: {}", ran.stderr());
        }
        assert!(!ran.stderr().contains("panicked"), "{}", ran.stderr());
    }
}
