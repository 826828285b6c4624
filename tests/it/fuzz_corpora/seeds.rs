//! Valid inputs for every target, made by the encoders themselves.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use runup::base::hash::{object_id, piece_value};
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::time::FileTime;
use runup::cli::mktree::items_of;
use runup::format::chunker::ChunkerParameters;
use runup::format::codec::put_varint;
use runup::format::compress::{Codec, Compression, Compressor};
use runup::format::config::{Config, Publication};
use runup::format::control;
use runup::format::delta::{Base, encode_delta_frame};
use runup::format::index::{Index, IndexBuilder, PackRecord};
use runup::format::links;
use runup::format::list::{List, Section, Segment};
use runup::format::loose;
use runup::format::pack::{
    FrameObject, FramePlace, FrameRecord, Header, PackClass, encode_footer, encode_frame,
    encode_frame_header, frame_checksum,
};
use runup::format::project_file::ProjectFile;
use runup::format::snapshot::{BytesText, RootMetadata, RootRecord, Skipped, Snapshot};
use runup::format::tar::{self, Extent, Member, MemberKind};
use runup::format::tree::{self, Entry, Metadata, Node, Xattr, XattrValue};
use runup::repository::{Generation, JobRecord, RefTable, RefTarget};
use runup::source::stat_index::{Binding, NewEntry, Stamp, StatIndexWriter};

/// A target, a name, bytes.
type Seed = (&'static str, &'static str, Vec<u8>);

/// All seeds.
pub(super) fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    seeds.extend(objects());
    seeds.extend(control_files());
    seeds.extend(packs());
    seeds.extend(texts());
    seeds.extend(archives());
    seeds.push(("stat_index", "record", stat_index()));
    seeds
}

fn id(byte: u8) -> Id {
    Id::from_bytes([byte; 32])
}

fn entry(name: &[u8], node: Node) -> Entry {
    let mtime = FileTime { seconds: 1_763_787_600, nanoseconds: 123_456_789 };
    let metadata = Metadata { mode: 0o644, uid: 1000, gid: 100, mtime, xattrs: Vec::new() };
    Entry { name: name.into(), metadata, node }
}

/// One entry of each type, with attributes.
fn entries() -> Vec<Entry> {
    let (major, minor) = (1, 3);
    let mut entries = vec![
        entry(b"block", Node::BlockDevice { major, minor }),
        entry(b"char", Node::CharDevice { major, minor }),
        entry(b"dir", Node::Directory { tree: id(1) }),
        entry(b"file", Node::File { size_bytes: 5, id: id(2) }),
        entry(b"link\xff", Node::Symlink { target: b"../dir\xfe"[..].into() }),
        entry(b"pipe", Node::Fifo),
        entry(b"socket", Node::Socket),
    ];
    let inline = XattrValue::Inline(b"hi"[..].into());
    let blob = XattrValue::Blob { size_bytes: 600, id: id(3) };
    let names: [&[u8]; 2] = [b"user.long", b"user.note"];
    let xattrs = names.into_iter().zip([blob, inline]);
    entries[3].metadata.xattrs =
        xattrs.map(|(name, value)| Xattr { name: name.into(), value }).collect();
    entries[5].metadata.mtime = FileTime { seconds: -1, nanoseconds: 500_000_000 };
    entries
}

fn snapshot() -> Snapshot {
    let metadata = entries()[3].metadata.clone();
    let root = RootRecord {
        links: Some(id(4)),
        root: Some(RootMetadata::from(&metadata)),
        context: BytesText::new(b"/home/\xff"),
        includes: vec![BytesText::new(b".")],
        excludes: vec![BytesText::new(b"*.o")],
        skipped: vec![Skipped { path: BytesText::new(b"a\xfe"), reason: "unreadable".into() }],
        users: BTreeMap::from([("0".into(), "root".into())]),
        groups: BTreeMap::from([("100".into(), "users".into())]),
        ..RootRecord::of_tree(id(1))
    };
    Snapshot {
        project: "app".into(),
        root,
        parent: Some(id(5)),
        time: "2026-11-22T05:00:00+00:00".into(),
        host: "host".into(),
        user: "user".into(),
        description: Some("say \"hi\"\n".into()),
        tags: vec!["a".into(), "b".into()],
        program_version: "0.1.0".into(),
    }
}

/// The list of an object of two pieces, the first of which is a hole.
fn list() -> List {
    let chunk = vec![b'x'; 1000];
    let values = vec![piece_value(Kind::Blob, 1, &chunk)];
    let segments = vec![
        Segment::Zeros { length_bytes: 1 << 20 },
        Segment::Chunk { id: object_id(Kind::Blob, &chunk), length_bytes: 1000 },
    ];
    let length_bytes = (1 << 20) + 1000;
    List { length_bytes, segments: Section::Inline(segments), values: Section::Inline(values) }
}

fn objects() -> Vec<Seed> {
    let tree = tree::encode(&entries());
    let path = |path: &[u8]| path.into();
    let groups = vec![vec![path(b"a"), path(b"b/c")], vec![path(b"d"), path(b"e"), path(b"f")]];
    let paged = List {
        length_bytes: 5 << 20,
        segments: Section::Paged(vec![id(7)]),
        values: Section::Paged(vec![id(8), id(9)]),
    };
    let mut page = Vec::new();
    put_varint(&mut page, 2000);
    page.extend_from_slice(&[7; 32]);
    put_varint(&mut page, 4001);
    let mut plain = RootRecord::of_tree(id(1));
    plain.context = BytesText::new(b"/");
    let plain = Snapshot { root: plain, parent: None, tags: vec![], ..snapshot() };
    vec![
        ("tree", "all-types", tree.clone()),
        ("links", "two-groups", links::encode(groups)),
        ("snapshot", "whole", snapshot().encode()),
        ("snapshot", "plain", plain.encode()),
        ("list", "inline", [&[0][..], &list().encode()].concat()),
        ("list", "paged", [&[1][..], &paged.encode()].concat()),
        ("list", "page-of-segments", [&[0][..], &page].concat()),
        ("list", "page-of-values", [&[0][..], &[3; 96]].concat()),
        ("loose", "tree", loose::encode(Kind::Tree, false, &tree, 6)),
        ("loose", "list", loose::encode(Kind::Blob, true, &list().encode(), 0)),
        ("loose", "uncompressed", b"blob 5\0hello".to_vec()),
        ("mktree", "tree", [&[0][..], &tree].concat()),
        ("mktree", "records", [&[2][..], &items_of(&entries())].concat()),
    ]
}

/// The JSON of a control file, without its checksum.
fn json(record: &impl Serialize) -> Vec<u8> {
    let mut file = control::encode(record);
    file.truncate(file.len() - 66);
    file
}

fn control_files() -> Vec<Seed> {
    let config = Config {
        format_version: 1,
        repository_id: "0123456789abcdef".repeat(2),
        required_features: vec![],
        optional_features: vec!["something".into()],
        chunker: ChunkerParameters::default(),
        compression: "zstd:3".into(),
        publication: Publication::Rename,
        encryption: None,
        created: "2026-11-22T05:00:00+00:00".into(),
        program_version: "0.1.0".into(),
    };
    let projects = BTreeMap::from([("app".to_owned(), id(1)), ("web".to_owned(), id(2))]);
    let target = |kind| RefTarget { id: id(3), kind };
    let refs = [("pin/keep", target(Kind::Snapshot)), ("tag/v1", target(Kind::Tree))];
    let refs = refs.map(|(name, target)| (name.to_owned(), target)).into();
    let generation = Generation {
        condemned_loose: vec![id(4)],
        condemned_packs: vec![id(5), id(6)],
        highest_job: 3,
        number: 1,
    };
    vec![
        ("config", "standard", json(&config)),
        ("control", "job", json(&JobRecord { generation: 1, job: 3, projects, refs: 7 })),
        ("control", "refs", json(&RefTable { number: 7, refs })),
        ("control", "generation", json(&generation)),
    ]
}

/// Objects with their bytes, as they stand in a frame.
fn bodies(kind: Kind, texts: &[&[u8]]) -> (Vec<FrameObject>, Vec<u8>) {
    let object = |text: &&[u8]| FrameObject {
        id: object_id(kind, text),
        kind,
        is_list: false,
        length: text.len() as u32,
    };
    (texts.iter().map(object).collect(), texts.concat())
}

/// A pack that grows frame by frame.
struct Pack {
    bytes: Vec<u8>,
    frames: Vec<FrameRecord>,
}

impl Pack {
    fn new(class: PackClass) -> Self {
        Self { bytes: Header { class, salt: [3; 16] }.encode().to_vec(), frames: Vec::new() }
    }

    fn add(
        &mut self,
        codec: Codec,
        stored: &[u8],
        raw_length: usize,
        objects: Vec<FrameObject>,
        bases: Vec<Base>,
    ) {
        let place = FramePlace {
            offset: self.bytes.len() as u64,
            stored_length: stored.len() as u32,
            raw_length: raw_length as u32,
            codec,
        };
        self.bytes.extend(encode_frame_header(codec, stored, raw_length));
        self.bytes.extend_from_slice(stored);
        self.frames.push(FrameRecord { place, checksum: frame_checksum(stored), objects, bases });
    }

    fn compressed(
        mut self,
        compression: Compression,
        (objects, bytes): (Vec<FrameObject>, Vec<u8>),
    ) -> Self {
        let raw = encode_frame(&objects, &bytes);
        let mut stored = Vec::new();
        let codec = Compressor::new(compression).unwrap().compress(&raw, &mut stored).unwrap();
        self.add(codec, &stored, raw.len(), objects, Vec::new());
        self
    }

    fn delta(mut self, base: &[u8], text: &[u8]) -> Self {
        let (objects, _) = bodies(Kind::Blob, &[text]);
        let (stored, raw_length, base) = delta_frame(base, text);
        self.add(Codec::Delta, &stored, raw_length, objects, vec![base]);
        self
    }

    fn whole(self) -> Vec<u8> {
        let footer = encode_footer(&self.frames, self.bytes.len() as u64);
        [self.bytes, footer].concat()
    }
}

fn delta_frame(base: &[u8], text: &[u8]) -> (Vec<u8>, usize, Base) {
    let (objects, bytes) = bodies(Kind::Blob, &[text]);
    let mut delta = Vec::new();
    let mut compressor = Compressor::new(Compression::Zstd(3)).unwrap();
    assert!(compressor.compress_delta(base, text, &mut delta).unwrap());
    let base = Base { id: object_id(Kind::Blob, base), kind: Kind::Blob };
    let stored = encode_delta_frame(&objects, &[(base, delta.len() as u32)], &delta);
    (stored, encode_frame(&objects, &bytes).len(), base)
}

fn packs() -> Vec<Seed> {
    let long = b"a line that comes again\n".repeat(20);
    let changed = [&long[..], b"and one more\n"].concat();
    let contents = || bodies(Kind::Blob, &[b"hello\n", &long]);
    let content = Pack::new(PackClass::Content)
        .compressed(Compression::None, bodies(Kind::Blob, &[b"hello\n", b"world\n"]))
        .compressed(Compression::Zstd(3), contents())
        .compressed(Compression::Deflate(6), contents());
    let with_delta = Pack::new(PackClass::Content)
        .compressed(Compression::Zstd(3), contents())
        .delta(&long, &changed);
    let (mut objects, mut bytes) = bodies(Kind::Tree, &[&tree::encode(&entries()), b""]);
    let encoded = list().encode();
    objects.push(FrameObject {
        id: id(6),
        kind: Kind::Blob,
        is_list: true,
        length: encoded.len() as u32,
    });
    bytes.extend_from_slice(&encoded);
    let metadata =
        Pack::new(PackClass::Metadata).compressed(Compression::Zstd(3), (objects, bytes));

    let index = |packs: &[&Pack]| {
        let mut builder = IndexBuilder::default();
        for (number, pack) in packs.iter().enumerate() {
            let name = id(number as u8 + 1);
            let length_bytes = pack.bytes.len() as u64;
            builder.add_pack(PackRecord { name, length_bytes }, &pack.frames);
        }
        builder
    };
    let segment = index(&[&content, &with_delta]).encode([1; 16]);
    let mut merged = index(&[&metadata]);
    merged.replace(id(9), &Index::open(&segment).unwrap()).unwrap();

    let frame = |base: &[u8], codec, stored: &[u8], raw_length| {
        let length = (base.len() as u16).to_le_bytes();
        let header = encode_frame_header(codec, stored, raw_length);
        [&length, base, &header, stored].concat()
    };
    let first = |pack: &Pack, number: usize| {
        let FramePlace { offset, stored_length, raw_length, codec } = pack.frames[number].place;
        let start = offset as usize + 32;
        frame(b"", codec, &pack.bytes[start..start + stored_length as usize], raw_length as usize)
    };
    let (stored, raw_length, _) = delta_frame(&long, &changed);
    let lookup = [
        // Two packs: of two frames with some objects each, and of a delta frame.
        &[2, 2, 0, 2, 1, 0, 0, 5, 0x11, 1, 1, 6, 2, 1, 0x12, 0, 0, 7, 1, 3, 2][..],
        &[1, 0, 0, 9, 0xf1, 0, 0, 9, 40, 0, 7, 64, 0, 1],
    ];
    vec![
        ("frame", "none", first(&content, 0)),
        ("frame", "zstd", first(&content, 1)),
        ("frame", "deflate", first(&content, 2)),
        ("frame", "delta", frame(&long, Codec::Delta, &stored, raw_length)),
        ("frame", "metadata", first(&metadata, 0)),
        ("index", "two-packs", segment),
        ("index", "merged", merged.encode([2; 16])),
        ("index_lookup", "two-packs", lookup.concat()),
        ("pack", "content", content.whole()),
        ("pack", "delta", with_delta.whole()),
        ("pack", "metadata", metadata.whole()),
        ("pack", "empty", Pack::new(PackClass::Content).whole()),
    ]
}

const PROJECT_FILE: &str = "\
version: '1'
storage: ../backups
compression: deflate:9
jobs: 2
project:
  app:
    include: [src, 'lib/**/*.rs', /etc]
    exclude: ['*.tmp', '!keep.tmp', \"build/\", '[a-c]?\\\\*']
    one-file-system: true
    keep: {last: 3, hourly: 36h, daily: 7, weekly: 8w, monthly: 1y, yearly: 2y6m, within: 10d, tags: [a]}
  web:
    include:
      - |-
        odd name
";

fn texts() -> Vec<Seed> {
    let deep = r#"{"path":"a/b/c","type":"file","id":"ID","mode":"0600","size_bytes":0,"link_group":"x:1"}
{"path":"a","type":"dir","mode":"0700"}
{"path":"a/gone","status":"removed"}
"#;
    let deep = deep.replace("ID", &id(2).to_hex());
    let acl =
        b"user::rw-,user:root:r--,user:12:r-x,group::r--,group:staff:rw-,mask::rwx,other::---";
    let attribute = "0200000001000600ffffffff04000400ffffffff20000400ffffffff";
    let attribute = runup::base::id::unhex(attribute).unwrap();
    let selection = b"+src\n+/etc\n+lib/**/[a-z]?*.rs\n-*.tmp\n-!keep.tmp\n-build/\n-a/**/b\n\
        /lib/a/b.rs\n/x.tmp\n/build\n/a/c/d/b\n";
    let mut seeds = vec![
        ("acl", "text", acl.to_vec()),
        ("acl", "default", b"user::rwx\ngroup::r-x\nother::---\n".to_vec()),
        ("acl", "attribute", attribute),
        ("mktree", "deep", [&[2][..], deep.as_bytes()].concat()),
        ("project_file", "template", ProjectFile::TEMPLATE.into()),
        ("project_file", "everything", PROJECT_FILE.into()),
        ("selection", "globs", selection.to_vec()),
    ];
    for (name, revision) in [
        ("project", "app"),
        ("as-of", "app@1:dir/file"),
        ("back", "project/app~1:link"),
        ("date", "app@{2026-11-21T12:00+01:00}:dir"),
        ("day", "web@{2026-11-30}"),
        ("latest", "latest"),
        ("tag", "tag/v1:./dir//"),
    ] {
        seeds.push(("revision", name, revision.as_bytes().to_vec()));
    }
    seeds
}

fn archives() -> Vec<Seed> {
    let member = |path: &[u8], kind| Member {
        path: path.into(),
        kind,
        mode: 0o640,
        uid: 3_000_000,
        gid: 100,
        user: b"ann".to_vec(),
        group: b"users".to_vec(),
        mtime: FileTime { seconds: 1_763_787_600, nanoseconds: 5 },
        xattrs: vec![(b"user.a=b"[..].into(), vec![0, 1, 0xff])],
        ..Member::default()
    };
    let file = |size_bytes, extents| MemberKind::File { size_bytes, extents };
    let extents =
        vec![Extent { offset: 0, length_bytes: 5 }, Extent { offset: 100_000, length_bytes: 3 }];
    let members = [
        (member(b"dir", MemberKind::Directory), &b""[..]),
        (member(b"dir/file", file(5, None)), b"hello"),
        (member(&b"long/".repeat(60), MemberKind::Directory), b""),
        (member(b"sparse", file(200_000, Some(extents))), b"helloend"),
        (member(b"dir/link", MemberKind::Symlink { target: b"file".to_vec() }), b""),
        (member(b"hard", MemberKind::HardLink { target: b"dir/file".to_vec() }), b""),
        (member(b"pipe", MemberKind::Fifo), b""),
        (member(b"null", MemberKind::CharDevice { major: 1, minor: 3 }), b""),
    ];
    let archive = |format| {
        let mut out = Vec::new();
        for (member, content) in &members {
            tar::encode(member, format, &mut out).unwrap();
            out.extend_from_slice(content);
            out.resize(out.len() + tar::padding(content.len() as u64), 0);
        }
        out.resize(out.len() + 1024, 0);
        out
    };
    let (pax, gnu) = (archive(tar::Format::Pax), archive(tar::Format::Gnu));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(&gnu).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&pax[..], 3).unwrap();
    let with_options = |options: u8, archive: &[u8]| [&[options], archive].concat();
    vec![
        ("tar", "pax", with_options(0, &pax)),
        ("tar", "gnu", with_options(5, &gnu)),
        ("tar", "gzip", with_options(0, &gzip)),
        ("tar", "zstd", with_options(1, &zstd)),
    ]
}

/// The records of a directory with a file and a directory in it.
fn stat_index() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stat");
    let scanned = FileTime { seconds: 1000, nanoseconds: 0 };
    let writer = StatIndexWriter::create(&path, None, scanned).unwrap();
    let time = FileTime { seconds: 900, nanoseconds: 7 };
    let stamp = Stamp { ino: 7, dev: 8, ctime: time, mtime: time, size_bytes: 5 };
    let encoded: Vec<Vec<u8>> = entries()
        .iter()
        .map(|entry| {
            let mut out = Vec::new();
            entry.encode(&mut out);
            out
        })
        .collect();
    let entries = encoded.iter().enumerate().map(|(number, encoded)| NewEntry {
        encoded,
        stamp: (number != 2).then_some(stamp),
        record: if number == 2 { 100 } else { 0 },
    });
    let root = writer.add(&id(3), true, entries);
    let snapshot = id(1);
    let binding = Binding { repository_id: "ab".into(), snapshot, context: b"/c".to_vec() };
    writer.finish(&binding, root, [4; 32]).unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let records = files.into_iter().find(|file| *file != path).unwrap();
    std::fs::read(records).unwrap().split_off(8)
}
