//! What is no repository, or one of tomorrow, or holds numbers that cannot be.

use std::fs;
use std::io::Read;

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::codec::put_varint;
use runup::format::compress::Codec;
use runup::format::pack::{
    FrameObject, FramePlace, FrameRecord, Header, PackClass, TRAILER_BYTES, encode_footer,
    encode_frame_header, frame_checksum,
};

use super::{YAML, backed_up, output_of, told};
use crate::sandbox::Sandbox;

#[test]
fn what_is_no_repository_is_told_apart() {
    let sandbox = Sandbox::new();
    sandbox.write("runup.yaml", YAML.as_bytes());
    sandbox
        .run("mkdir empty fifo odd; mkfifo pipe; mkfifo fifo/config; mkdir odd/config; : >plain")
        .succeeds();
    for repository in ["absent", "empty", "plain", "pipe", "/dev/null", "absent/below"] {
        for program in
            ["runup-ls-tree app", "runup-fsck", "runup --json snapshots", "runup --json backup"]
        {
            told(&sandbox, &format!("RUNUP_REPOSITORY={repository} {program}"), 10);
        }
        let script = format!("runup-cat-object -e 1234 --repository {repository}");
        told(&sandbox, &script, 5);
    }
    for repository in ["fifo", "odd"] {
        told(&sandbox, &format!("RUNUP_REPOSITORY={repository} runup --json snapshots"), 4);
    }
    told(&sandbox, "runup --json backup", 10);
    told(&sandbox, "runup-ls-tree app", 10);
    assert!(!sandbox.exists(".runup"));
    sandbox.write("full/mine", b"1");
    told(&sandbox, "runup --json init --repository full", 2);
    assert_eq!(fs::read_dir(sandbox.path("full")).unwrap().count(), 1);
}

#[test]
fn configurations_that_are_damaged_or_of_tomorrow_are_told_apart() {
    let sandbox = backed_up();
    let config = sandbox.read(".runup/config");
    let text = String::from_utf8(config.clone()).unwrap();
    let json = text.lines().next().unwrap();
    let programs =
        ["runup --json backup", "runup --json restore -f", "runup-ls-tree app", "runup-fsck"];
    let refused = |bytes: &[u8], code| {
        sandbox.write(".runup/config", bytes);
        for program in programs {
            told(&sandbox, program, code);
        }
    };
    for (from, to) in [
        ("\"format_version\":1", "\"format_version\":2"),
        ("\"format_version\":1", "\"format_version\":4294967295"),
        ("\"required_features\":[]", "\"required_features\":[\"wings\"]"),
        ("\"encryption\":null", "\"encryption\":{\"slots\":[]}"),
    ] {
        assert!(json.contains(from), "{json}");
        let json = format!("{}\n", json.replace(from, to));
        let sealed = format!("{json}{}\n", blake3::hash(json.as_bytes()).to_hex());
        refused(sealed.as_bytes(), 15);
    }
    for at in [0, config.len() / 3, config.len() - 2] {
        let mut flipped = config.clone();
        flipped[at] ^= 1;
        refused(&flipped, 4);
    }
    for bytes in [&b""[..], &config[..config.len() / 2], &[&config[..], b"\n"].concat(), &[0; 600]]
    {
        refused(bytes, 4);
    }
    sandbox.write(".runup/config", &config);
    sandbox.run("runup check").succeeds();
}

#[test]
fn a_repository_of_the_python_runup_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("runup.yaml", YAML.as_bytes());
    sandbox.write(".runup/runup.db", b"SQLite format 3\0");
    sandbox.write(".runup/data/1.zip", b"PK");
    let before = sandbox.look(".runup");
    for program in [
        "runup --json init",
        "runup --json backup",
        "runup --json restore -f --clear-location",
        "runup --json snapshots",
        "runup --json check",
        "runup-ls-tree app",
        "runup-write-tree .",
        "runup-fsck",
    ] {
        let error = told(&sandbox, program, 10);
        assert_eq!(error["code"], "python_repository", "{program}");
        assert!(error["message"].as_str().unwrap().contains("Python"), "{program}");
    }
    assert_eq!(sandbox.look(".runup"), before);
}

/// Overwrites the footer of a pack, or what else stands before its trailer, and puts the hash right.
fn with_footer(pack: &[u8], footer: &[u8]) -> Vec<u8> {
    let trailer = pack.len() - TRAILER_BYTES;
    let offset = u64::from_le_bytes(*pack[trailer..].first_chunk().unwrap());
    let mut pack = pack[..usize::try_from(offset).unwrap()].to_vec();
    pack.extend_from_slice(footer);
    pack.extend_from_slice(&offset.to_le_bytes());
    pack.extend_from_slice(&(footer.len() as u64).to_le_bytes());
    pack.extend_from_slice(blake3::hash(footer).as_bytes());
    pack.extend_from_slice(b"\0\0\0\0\0\0\0\0RunUpEnd");
    pack
}

/// A pack of one frame that is not what it says.
fn with_frame(codec: Codec, stored: &[u8], raw_length: usize) -> Vec<u8> {
    let mut pack = Header { class: PackClass::Content, salt: [7; 16] }.encode().to_vec();
    let offset = pack.len() as u64;
    pack.extend(encode_frame_header(codec, stored, raw_length));
    pack.extend_from_slice(stored);
    // The table has two bytes, and those of this length.
    let is_whole = |length: &usize| {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, *length as u64);
        2 + bytes.len() + length == raw_length
    };
    let length = (0..raw_length).rev().find(is_whole).unwrap() as u32;
    let id = Id::from_bytes([7; 32]);
    let objects = vec![FrameObject { id, kind: Kind::Blob, is_list: false, length }];
    let stored_length = stored.len() as u32;
    let place = FramePlace { offset, stored_length, raw_length: raw_length as u32, codec };
    let checksum = frame_checksum(stored);
    let frame = FrameRecord { place, checksum, objects, bases: Vec::new() };
    let end = pack.len() as u64;
    pack.extend(encode_footer(&[frame], end));
    pack
}

/// Packs whose numbers are beyond what is there, or what can be.
fn impossible_packs(sound: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let number = |value| {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        bytes
    };
    let frame = |stored, raw, objects| {
        let frame =
            [&number(1)[..], &number(stored), &number(raw), &[2, 0], &[0; 16], &number(objects)];
        frame.concat()
    };
    let bomb = zstd::encode_all(std::io::repeat(0).take(300 << 20), 1).unwrap();
    let mut wide = zstd::encode_all(&[b'x'; 1000][..], 1).unwrap();
    // A window of 2 GiB.
    wide.splice(4..6, [0x00, 21 << 3]);
    let two = [
        &zstd::encode_all(&b"one"[..], 1).unwrap()[..],
        &zstd::encode_all(&b"two"[..], 1).unwrap(),
    ];
    let mut beyond = sound.to_vec();
    let trailer = beyond.len() - TRAILER_BYTES;
    beyond[trailer..trailer + 8].copy_from_slice(&(u64::MAX - 10).to_le_bytes());
    vec![
        ("2^32 frames", with_footer(sound, &number(1 << 32))),
        ("2^64 - 1 frames", with_footer(sound, &number(u64::MAX))),
        ("2^64 - 1 objects", with_footer(sound, &frame(100, 200, u64::MAX))),
        ("a frame of 2^64 - 1 bytes", with_footer(sound, &frame(u64::MAX, u64::MAX, 1))),
        ("frames that end elsewhere", with_footer(sound, &frame(1, 2, 1))),
        ("a footer behind the end", beyond),
        ("300 MiB in a short frame", with_frame(Codec::Zstd, &bomb, bomb.len().max(1000))),
        ("a window of 2 GiB", with_frame(Codec::Zstd, &wide, 1000)),
        ("two streams in a frame", with_frame(Codec::Zstd, &two.concat(), 1000)),
        ("a stream and more", with_frame(Codec::Zstd, &[two[0], b"more"].concat(), 1000)),
    ]
}

#[test]
fn numbers_that_cannot_be_are_damage_and_take_no_memory() {
    let sandbox = backed_up();
    let listed = sandbox.run("grep -lc . .runup/packs/*").stdout();
    let content = listed.lines().find(|file| sandbox.read(file)[10] == 0).unwrap();
    let sound = sandbox.read(content);
    sandbox
        .run(&format!("mv {content} ../sound && mkdir ../index && cp .runup/index/* ../index"))
        .succeeds();
    for (what, pack) in impossible_packs(&sound) {
        let name = format!(".runup/packs/{}.pack", blake3::hash(&pack).to_hex());
        sandbox.write(&name, &pack);
        // With the index of the sound one, and with none.
        for indexes in ["cp ../index/* .runup/index", "rm -f .runup/index/*"] {
            sandbox.run(indexes).succeeds();
            for program in
                ["runup-fsck --structure", "runup-fsck", &format!("runup-verify-pack {name}")]
            {
                let output = output_of(&sandbox, &format!("ulimit -v 1500000; {program}"));
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(4), "{what}: {program}: {stderr}");
            }
            let output = output_of(&sandbox, "ulimit -v 1500000; runup-index-pack --dry-run");
            assert!(matches!(output.status.code(), Some(0..=4)), "{what}: {output:?}");
        }
        sandbox.run(&format!("rm {name}")).succeeds();
    }
    sandbox
        .run(&format!("mv ../sound {content} && cp ../index/* .runup/index && runup check"))
        .succeeds();
}

#[test]
fn indexes_with_numbers_that_cannot_be_cost_nothing() {
    let sandbox = backed_up();
    let listed = sandbox.run("ls .runup/index/*").stdout();
    let file = listed.lines().next().unwrap();
    let sound = sandbox.read(file);
    for (at, bytes) in [
        (16, &[0xff; 4][..]),
        (20, &[0xff; 4]),
        (24, &[0xff; 8]),
        (24, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        (48, &[0xff; 8]),
        (10, &[24, 0]),
        (10, &[0xff, 0xff]),
    ] {
        let mut index = sound.clone();
        index[at..at + bytes.len()].copy_from_slice(bytes);
        let name = format!(".runup/index/{}.idx", blake3::hash(&index).to_hex());
        sandbox.run(&format!("mv {file} ../sound")).succeeds();
        sandbox.write(&name, &index);
        let output = output_of(&sandbox, "ulimit -v 1500000; runup-fsck");
        assert_eq!(output.status.code(), Some(4), "{at}: {output:?}");
        sandbox
            .run("rm -rf ../out; ulimit -v 1500000; runup restore -f --location ../out")
            .succeeds();
        assert_eq!(sandbox.read("../out/dir/below"), b"2");
        sandbox.run(&format!("rm {name}; mv ../sound {file}")).succeeds();
    }
    sandbox.run("runup check --read-data").succeeds();
}
