//! runup-repository(5) against the code: every dump, table and figure of the page.
//!
//! The page marks what is checked here with comments that do not print, such as `.\" dump: tree`,
//! right before a block. A change of either side alone fails a test.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use runup::base::hash::{object_id, piece_value, plain};
use runup::base::id::{Id, hex};
use runup::base::kind::Kind;
use runup::base::limits;
use runup::base::time::FileTime;
use runup::format::chunker::{Chunker, ChunkerParameters, Segmenter, Stretch};
use runup::format::codec::{Reader, put_signed, put_varint};
use runup::format::compress::{Codec, Compression, decompress_delta};
use runup::format::config::{Config, FORMAT_VERSION, Publication};
use runup::format::delta::{Base, decode_delta_frame, encode_delta_frame};
use runup::format::index::{Index, IndexBuilder, PackRecord};
use runup::format::list::{self, List, ListBuilder, Section, Segment};
use runup::format::pack::{self, FormatError, FrameObject, FramePlace, FrameRecord, PackClass};
use runup::format::snapshot::{
    BytesText, Counts, PROJECT_NAME_BYTES_MAX, RootMetadata, RootRecord, Skipped, Snapshot,
};
use runup::format::tree::{self, Entry, Metadata, Node, Xattr, XattrValue};
use runup::format::{control, links, loose};
use runup::repository::{
    Generation, JobRecord, RefTable, RefTarget, Refs, is_ref_name, may_be_target,
};

// The page.

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/runup-repository.5");
    std::fs::read_to_string(path).expect("the page can be read")
}

/// The lines of the block that follows a marker, without its first and last line.
fn block(marker: &str) -> Vec<String> {
    let page = page();
    let wanted = format!(".\\\" {marker}");
    let mut lines = page.lines().skip_while(|line| *line != wanted);
    assert!(lines.next().is_some(), "the page has no block {marker}");
    let first = lines.next().unwrap_or_default();
    assert!(
        first.starts_with(".Bd") || first.starts_with(".Bl"),
        "{marker} marks no block: {first}"
    );
    let end = if first.starts_with(".Bd") { ".Ed" } else { ".El" };
    lines.take_while(|line| *line != end).map(str::to_owned).collect()
}

/// The text of a section, macros and line breaks turned into single spaces.
fn section(title: &str) -> String {
    let page = page();
    let heading = format!(".Sh {title}");
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with(".Sh "));
    let text: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    assert!(!text.is_empty(), "the page has no section {title}");
    text.join(" ")
}

#[track_caller]
fn says(title: &str, text: &str) {
    assert!(section(title).contains(text), "{title} does not say {text:?}");
}

/// The cells of the rows of a table, without its heading.
fn table(name: &str) -> Vec<Vec<String>> {
    let rows = block(&format!("table: {name}")).into_iter();
    let rows = rows.filter_map(|line| line.strip_prefix(".It ").map(str::to_owned));
    let cell = |cell: &str| cell.trim().trim_start_matches("Li ").to_owned();
    rows.filter(|row| !row.contains("Sy ")).map(|row| row.split("Ta").map(cell).collect()).collect()
}

/// The words that a list of terms explains.
fn terms(name: &str) -> Vec<String> {
    let lines = block(&format!("table: {name}")).into_iter();
    lines.filter_map(|line| line.strip_prefix(".It Va ").map(str::to_owned)).collect()
}

fn rows<const N: usize>(expected: &[[&str; N]]) -> Vec<Vec<String>> {
    expected.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect()
}

/// A hex dump: where it begins, its bytes, and what is said about them, by offset.
struct Dump {
    start: usize,
    bytes: Vec<u8>,
    notes: BTreeMap<usize, String>,
}

impl Dump {
    /// Asserts everything that the page says about the bytes, by offset.
    #[track_caller]
    fn notes(&self, expected: &[(usize, &str)]) {
        let notes: Vec<(usize, &str)> =
            self.notes.iter().map(|(offset, note)| (*offset, note.as_str())).collect();
        assert_eq!(notes, expected);
    }
}

fn dump(name: &str) -> Dump {
    let mut dump = Dump { start: 0, bytes: Vec::new(), notes: BTreeMap::new() };
    for (number, line) in block(&format!("dump: {name}")).iter().enumerate() {
        let (offset, rest) = line.split_at_checked(6).expect("an offset");
        let offset =
            usize::from_str_radix(offset.trim_end(), 16).expect("an offset in hexadecimal");
        if number == 0 {
            dump.start = offset;
        }
        assert_eq!(offset, dump.start + dump.bytes.len(), "{name}: offset of {line:?}");
        let (digits, note) = rest.split_at_checked(23).unwrap_or((rest, ""));
        let bytes = digits.split_whitespace().map(|pair| {
            assert_eq!(pair.len(), 2, "{name}: {line:?}");
            u8::from_str_radix(pair, 16).expect("a byte in hexadecimal")
        });
        dump.bytes.extend(bytes);
        if !note.is_empty() {
            dump.notes.insert(offset, note.trim().replace("\\e", "\\"));
        }
    }
    dump
}

/// A text whose only line was broken, and the lines after it, as the bytes of a control file.
fn control_text(name: &str) -> Vec<u8> {
    let mut lines = block(&format!("text: {name}"));
    let checksum = lines.pop().expect("a checksum");
    format!("{}\n{checksum}\n", lines.concat()).into_bytes()
}

// What the examples are made of.

fn hello() -> Id {
    object_id(Kind::Blob, b"hello\n")
}

fn world() -> Id {
    object_id(Kind::Blob, b"world\n")
}

fn no_page(_: &[u8]) -> Result<Id, Infallible> {
    panic!("the example has no pages")
}

fn sure<T>(result: Result<T, Infallible>) -> T {
    result.unwrap_or_else(|never| match never {})
}

fn segments_of(bytes: &[u8]) -> Vec<Segment> {
    let chunker = Chunker::new(ChunkerParameters::default());
    let mut segments = Vec::new();
    let mut sink = |stretch: Stretch<'_>| -> Result<(), Infallible> {
        segments.push(match stretch {
            Stretch::Chunk(chunk) => Segment::Chunk {
                id: object_id(Kind::Blob, chunk),
                length_bytes: chunk.len() as u64,
            },
            Stretch::Zeros(length_bytes) => Segment::Zeros { length_bytes },
        });
        Ok(())
    };
    let mut segmenter = Segmenter::new(chunker);
    sure(segmenter.feed(bytes, &mut sink));
    sure(segmenter.finish(&mut sink));
    segments
}

fn example_entries() -> Vec<Entry> {
    let note = Xattr { name: b"user.note"[..].into(), value: XattrValue::Inline(b"hi"[..].into()) };
    let file = Metadata {
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        mtime: FileTime { seconds: 1_763_787_600, nanoseconds: 123_456_789 },
        xattrs: vec![note],
    };
    let link = Metadata {
        mode: 0o777,
        mtime: FileTime { seconds: -1, nanoseconds: 500_000_000 },
        ..Metadata::default()
    };
    let directory = Metadata { mode: 0o755, ..Metadata::default() };
    let entry = |name: &[u8], metadata, node| Entry { name: name.into(), metadata, node };
    vec![
        entry(b"hello.txt", file, Node::File { size_bytes: 6, id: hello() }),
        entry(b"link", link, Node::Symlink { target: b"hello.txt"[..].into() }),
        entry(b"sub", directory, Node::Directory { tree: object_id(Kind::Tree, b"") }),
    ]
}

/// 2 MiB of zeros, 1 MiB of the letter a, `end` and a line feed.
fn example_long_object() -> Vec<u8> {
    let mut bytes = vec![0; 2 << 20];
    bytes.resize(3 << 20, b'a');
    bytes.extend_from_slice(b"end\n");
    bytes
}

fn example_pack() -> (Vec<u8>, FrameRecord) {
    let object = |id| FrameObject { id, kind: Kind::Blob, is_list: false, length: 6 };
    let objects = vec![object(hello()), object(world())];
    let raw = pack::encode_frame(&objects, b"hello\nworld\n");
    let place = FramePlace { offset: 64, stored_length: 17, raw_length: 17, codec: Codec::None };
    let record =
        FrameRecord { place, checksum: pack::frame_checksum(&raw), objects, bases: vec![] };
    let salt = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut bytes = pack::Header { class: PackClass::Content, salt }.encode().to_vec();
    bytes.extend(pack::encode_frame_header(Codec::None, &raw, raw.len()));
    bytes.extend(&raw);
    bytes.extend(pack::encode_footer(std::slice::from_ref(&record), bytes.len() as u64));
    (bytes, record)
}

// Sections.

#[test]
fn code_links_only_to_sections_that_exist() {
    let page = page();
    let mut links_seen = 0;
    for (_, code) in crate::floors::sources(&crate::floors::src().join("format")) {
        let comments: Vec<&str> =
            code.split_whitespace().filter(|word| !word.starts_with("//")).collect();
        for link in comments.join(" ").split("runup-repository(5), ").skip(1) {
            let title = link.split('.').next().unwrap_or_default();
            assert!(page.contains(&format!("\n.Sh {title}\n")), "no section {title}");
            links_seen += 1;
        }
    }
    assert!(links_seen >= 10, "{links_seen} links");
}

// PRIMITIVES

#[test]
fn examples_of_numbers() {
    let bytes_of = |encoded: &[u8]| {
        encoded.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    };
    let varints = table("varints");
    assert_eq!(varints.len(), 6);
    for row in varints {
        let mut encoded = Vec::new();
        put_varint(&mut encoded, row[0].parse().expect("a number"));
        assert_eq!(bytes_of(&encoded), row[1], "{row:?}");
        assert_eq!(
            Reader::new(&encoded).varint().map(|value| value.to_string()),
            Ok(row[0].clone())
        );
    }
    let signed = table("signed");
    assert_eq!(signed.len(), 6);
    for row in signed {
        let mut encoded = Vec::new();
        put_signed(&mut encoded, row[0].parse().expect("a number"));
        assert_eq!(bytes_of(&encoded), row[1], "{row:?}");
        assert_eq!(
            Reader::new(&encoded).signed().map(|value| value.to_string()),
            Ok(row[0].clone())
        );
    }
    says("PRIMITIVES", "A varint is refused where its last byte is zero and not its only one");
    assert!(Reader::new(&[0x80, 0]).varint().is_err());
    says("PRIMITIVES", "a tenth byte can only be 01");
    assert!(
        Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint().is_err()
    );
}

// OBJECTS AND IDS

#[test]
fn kinds_contexts_and_tags() {
    let expected: Vec<Vec<String>> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let context = kind.id_context().unwrap_or("none");
            vec![(kind as u8).to_string(), kind.word().to_owned(), context.to_owned()]
        })
        .collect();
    assert_eq!(table("kinds"), expected);
    assert_eq!(table("kinds")[1][2], "RunUp 2026-11-22 object id: tree");

    let empty = block("text: empty");
    let expected: Vec<String> = Kind::ALL
        .into_iter()
        .map(|kind| format!("{:<8} {}", kind.word(), object_id(kind, b"")))
        .collect();
    assert_eq!(empty, expected);

    says("OBJECTS AND IDS", "0x01 is a whole blob and 0x82 is the list of a tree");
    assert_eq!(pack::decode_tag(0x01), Some((Kind::Blob, false)));
    assert_eq!(pack::decode_tag(0x82), Some((Kind::Tree, true)));
    for tag in [0, 7, 0x41, 0x80, 0x87] {
        assert_eq!(pack::decode_tag(tag), None);
    }
    for kind in Kind::ALL {
        assert_eq!(kind.chunk_kind(), if kind == Kind::Blob { Kind::Blob } else { Kind::Part });
        assert_eq!(kind.is_metadata(), kind != Kind::Blob);
    }
}

// TREES

#[test]
fn example_of_a_tree() {
    let dump = dump("tree");
    let entries: Vec<Entry> = tree::entries(&dump.bytes).collect::<Result<_, _>>().expect("a tree");
    assert_eq!(entries, example_entries());
    assert_eq!(tree::encode(&entries), dump.bytes);
    dump.notes(&[
        (0x00, "name: 9 bytes follow"),
        (0x01, "\"hello.tx"),
        (0x09, "t\""),
        (0x0a, "type 2: file"),
        (0x0b, "mode 0644 (420)"),
        (0x0d, "uid 1000"),
        (0x0f, "gid 1000"),
        (0x11, "mtime: 1763787600 s (zigzag)"),
        (0x16, "mtime: 123456789 ns"),
        (0x1a, "1 extended attribute"),
        (0x1b, "its name: 9 bytes follow"),
        (0x1c, "\"user.not"),
        (0x24, "e\""),
        (0x25, "its value: 2 bytes, so inline"),
        (0x26, "\"hi\""),
        (0x28, "size 6 bytes"),
        (0x29, "blob: BLAKE3 of \"hello\\n\""),
        (0x49, "name: 4 bytes follow"),
        (0x4a, "\"link\""),
        (0x4e, "type 3: symbolic link"),
        (0x4f, "mode 0777 (511)"),
        (0x51, "uid 0"),
        (0x52, "gid 0"),
        (0x53, "mtime: -1 s (zigzag) ..."),
        (0x54, "... and 500000000 ns: -0.5 s"),
        (0x59, "no extended attributes"),
        (0x5a, "target: 9 bytes follow"),
        (0x5b, "\"hello.tx"),
        (0x63, "t\""),
        (0x64, "name: 3 bytes follow"),
        (0x65, "\"sub\""),
        (0x68, "type 1: directory"),
        (0x69, "mode 0755 (493)"),
        (0x6b, "uid 0"),
        (0x6c, "gid 0"),
        (0x6d, "mtime: 0 s"),
        (0x6e, "mtime: 0 ns"),
        (0x6f, "no extended attributes"),
        (0x70, "tree: the id of the empty tree"),
    ]);
    says("EXAMPLES", &format!("The id of this tree is .Dl {}", object_id(Kind::Tree, &dump.bytes)));
}

#[test]
fn types_of_entries() {
    let id = Id::from_bytes([0; 32]);
    let target = b"t"[..].into();
    let nodes = [
        (Node::Directory { tree: id }, "directory", "id of its tree"),
        (Node::File { size_bytes: 1, id }, "regular file", "varint size in bytes, id of its blob"),
        (Node::Symlink { target }, "symbolic link", "string, the target: 1 to 4095 bytes, no NUL"),
        (Node::Fifo, "named pipe", "nothing"),
        (Node::Socket, "socket", "nothing"),
        (
            Node::CharDevice { major: 1, minor: 2 },
            "character device",
            "varint major, varint minor, each below 2^32",
        ),
        (
            Node::BlockDevice { major: 1, minor: 2 },
            "block device",
            "varint major, varint minor, each below 2^32",
        ),
    ];
    let rest_bytes = [32, 33, 2, 0, 0, 2, 2];
    let mut expected = Vec::new();
    for ((node, word, text), rest) in nodes.into_iter().zip(rest_bytes) {
        let entry = Entry { name: b"n"[..].into(), metadata: Metadata::default(), node };
        let bytes = tree::encode([&entry]);
        assert_eq!(bytes.len(), 9 + rest, "{word}");
        expected.push(vec![bytes[2].to_string(), word.to_owned(), text.to_owned()]);
        assert_eq!(tree::validate(&bytes), Ok(1));
        let mut unknown = bytes.clone();
        unknown[2] = 8;
        assert!(tree::validate(&unknown).is_err());
    }
    assert_eq!(table("nodes"), expected);
    says("TREES", "permission bits, at most 4095 (07777)");
}

// LINKS

#[test]
fn example_of_links() {
    let dump = dump("links");
    let groups = links::decode(&dump.bytes).expect("links");
    let expected: links::Groups = vec![vec![b"a"[..].into(), b"b/c"[..].into()]];
    assert_eq!(groups, expected);
    assert_eq!(links::encode(groups), dump.bytes);
    dump.notes(&[
        (0x00, "a group of 2 paths"),
        (0x01, "path: 1 byte follows"),
        (0x02, "\"a\""),
        (0x03, "path: 3 bytes follow"),
        (0x04, "\"b/c\""),
    ]);
}

// LOOSE OBJECTS

#[test]
fn example_of_a_loose_object() {
    let dump = dump("loose");
    let expected = loose::Loose { kind: Kind::Blob, is_list: false, bytes: b"hello\n".to_vec() };
    assert_eq!(loose::decode(&dump.bytes), Ok(expected));
    assert_eq!(loose::encode(Kind::Blob, false, b"hello\n", 0), dump.bytes);
    assert_eq!(dump.bytes[3..5], 13_u16.to_le_bytes());
    assert_eq!(&dump.bytes[7..20], b"blob 6\0hello\n");
    dump.notes(&[
        (0x00, "zlib header (RFC 1950)"),
        (0x02, "deflate: last block, stored"),
        (0x03, "13 bytes follow ..."),
        (0x05, "... and the complement of 13"),
        (0x07, "\"blob 6\" and a NUL"),
        (0x0e, "\"hello\\n\""),
        (0x14, "Adler-32 of the 13 bytes"),
    ]);
    let id = hello().to_hex();
    says(
        "EXAMPLES",
        &format!(
            "has the id .Dl {id} The first two digits name its directory, .Pa objects/{}",
            &id[..2]
        ),
    );
    let list = loose::encode(Kind::Tree, true, b"", 0);
    assert_eq!(&list[7..][..12], b"tree-list 0\0");
    says("LOOSE OBJECTS", "WORD-list LENGTH NUL BYTES");
}

// SNAPSHOTS

/// The keys of the outermost object of JSON without escapes.
fn keys(json: &str) -> Vec<String> {
    let (mut depth, mut keys) = (0, Vec::new());
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '"' => {
                let (text, after) = rest.split_once('"').expect("the string ends");
                if depth == 1 && after.starts_with(':') {
                    keys.push(text.to_owned());
                }
                rest = after;
            }
            _ => {}
        }
    }
    keys
}

#[test]
fn example_of_a_snapshot() {
    let text = block("text: snapshot").concat();
    let snapshot = Snapshot::decode(text.as_bytes()).expect("a snapshot");
    let names = || {
        BTreeMap::from([("0".to_owned(), "root".to_owned()), ("1000".to_owned(), "ann".to_owned())])
    };
    let mtime = FileTime { seconds: 1_763_787_600, nanoseconds: 0 };
    let metadata = Metadata { mode: 0o755, uid: 1000, gid: 1000, mtime, xattrs: vec![] };
    let root = RootRecord {
        tree: object_id(Kind::Tree, &tree::encode(&example_entries())),
        links: None,
        root: Some(RootMetadata::from(&metadata)),
        context: BytesText::new(b"/home/ann/app"),
        includes: vec![BytesText::new(b".")],
        excludes: vec![BytesText::new(b"*.o")],
        skipped: vec![Skipped { path: BytesText::new(b"private"), reason: "unreadable".into() }],
        users: names(),
        groups: names(),
        counts: Counts { files: 1, directories: 1, symlinks: 1, others: 0, size_bytes: 6 },
    };
    let expected = Snapshot {
        project: "app".into(),
        root,
        parent: None,
        time: "2026-11-22T05:00:00+00:00".into(),
        host: "atlas".into(),
        user: "ann".into(),
        description: None,
        tags: vec!["daily".into()],
        program_version: "0.1.0".into(),
    };
    assert_eq!(snapshot, expected);
    assert_eq!(expected.encode(), text.as_bytes());
    assert_eq!(keys(&text), terms("snapshot"));
    let root =
        text.split_once("\"root\":{").and_then(|(_, rest)| rest.split_once('}')).expect("root");
    assert_eq!(keys(&format!("{{{}}}", root.0)), terms("root"));
    says("EXAMPLES", &format!("It has {} bytes", text.len()));

    let long =
        Xattr { name: b"n"[..].into(), value: XattrValue::Blob { size_bytes: 600, id: hello() } };
    let short = Xattr { name: b"o"[..].into(), value: XattrValue::Inline(b"hi"[..].into()) };
    let metadata = Metadata { xattrs: vec![long, short], ..metadata };
    let encoded = control::encode(&RootMetadata::from(&metadata));
    let encoded = String::from_utf8_lossy(&encoded);
    let xattrs = format!(
        "\"xattrs\":[{{\"blob\":\"{}\",\"name_b64\":\"bg==\",\"size_bytes\":600,\
         \"value_b64\":null}},{{\"blob\":null,\"name_b64\":\"bw==\",\"size_bytes\":2,\
         \"value_b64\":\"aGk=\"}}]",
        hello(),
    );
    assert!(encoded.contains(&xattrs), "{encoded}");
    says(
        "SNAPSHOTS",
        ".Va blob (the id of the value where that is longer than 512 bytes, else null), \
         .Va name_b64 (the name in base64), .Va size_bytes (of the value) and .Va value_b64 \
         (the value in base64 where it is not longer, else null).",
    );
}

#[test]
fn bytes_as_text() {
    says("SNAPSHOTS", "the bytes 63 61 66 e9 have the base64 .Ql Y2Fm6Q==");
    let text = BytesText::new(&[0x63, 0x61, 0x66, 0xe9]);
    assert_eq!((text.path.as_str(), text.path_b64.as_deref()), ("caf\u{fffd}", Some("Y2Fm6Q==")));
    says("SNAPSHOTS", "e2 82 41 ed a0 80 have as text U+FFFD, A, and U+FFFD three times");
    let text = BytesText::new(&[0xe2, 0x82, 0x41, 0xed, 0xa0, 0x80]);
    assert_eq!(text.path, "\u{fffd}A\u{fffd}\u{fffd}\u{fffd}");
    says("SNAPSHOTS", ".Ql 1763787600.123456789");
    says("SNAPSHOTS", ".Ql -0.500000000");
    assert_eq!(FileTime { seconds: -1, nanoseconds: 500_000_000 }.to_string(), "-0.500000000");
}

// LISTS

#[test]
fn example_of_a_list() {
    let dump = dump("list");
    let list = List::decode(&dump.bytes).expect("a list");
    let bytes = example_long_object();
    let tail = object_id(Kind::Blob, &bytes[2 << 20..]);
    let expected = List {
        length_bytes: 3_145_732,
        segments: Section::Inline(vec![
            Segment::Zeros { length_bytes: 2_097_152 },
            Segment::Chunk { id: tail, length_bytes: 1_048_580 },
        ]),
        values: Section::Inline(vec![
            piece_value(Kind::Blob, 2, &bytes[2 << 20..3 << 20]),
            piece_value(Kind::Blob, 3, b"end\n"),
        ]),
    };
    assert_eq!(list, expected);
    assert_eq!(list.encode(), dump.bytes);
    dump.notes(&[
        (0x00, "the object has 3145732 bytes"),
        (0x04, "segments: inline"),
        (0x05, "2 segments"),
        (0x06, "zero run: 2097152 * 2 + 1"),
        (0x0a, "chunk: 1048580 * 2"),
        (0x0e, "id of the chunk"),
        (0x2e, "values: inline"),
        (0x2f, "2 values"),
        (0x30, "value of piece 2 (the letters)"),
        (0x50, "value of piece 3 (\"end\\n\")"),
    ]);

    let mut builder = ListBuilder::new(Kind::Blob);
    sure(builder.hash(&bytes, &mut no_page));
    for segment in segments_of(&bytes) {
        sure(builder.segment(segment, &mut no_page));
    }
    let (id, built) = sure(builder.finish(&mut no_page)).expect("a list");
    assert_eq!(built, expected);
    assert_eq!(id, object_id(Kind::Blob, &bytes));
    says("EXAMPLES", &format!("prints its id: .Dl {id}"));
    let zeros = vec![0; 1 << 20];
    let [first, second] = [0, 1].map(|piece| hex(&piece_value(Kind::Blob, piece, &zeros)));
    says("EXAMPLES", &format!("They are .Dl {first} .Dl {second}"));
}

#[test]
fn where_pages_of_lists_end() {
    let mut pages: Vec<usize> = Vec::new();
    let mut page = |bytes: &[u8]| -> Result<Id, Infallible> {
        pages.push(list::decode_segment_page(bytes).expect("a page").len());
        Ok(Id::from_bytes([1; 32]))
    };
    let chunk = |low: u8, high: u8| {
        let mut id = [0xff; 32];
        [id[0], id[1]] = [low, high];
        Segment::Chunk { id: Id::from_bytes(id), length_bytes: 1 }
    };
    let mut builder = ListBuilder::new(Kind::Blob);
    // The low ten bits of the first two bytes: all of the first, two of the second.
    for (low, high) in [(1, 0), (0, 1), (0, 2), (0, 0xfc), (0, 0)] {
        sure(builder.segment(chunk(low, high), &mut page));
    }
    for _ in 0..8193 {
        sure(builder.segment(chunk(1, 0), &mut page));
    }
    assert_eq!(pages, [4, 1, 8192]);
    says(
        "LISTS",
        "has the low ten bits zero (mask 0x03ff), after 8192 segments, and after the last",
    );

    let (mut pages, zeros) = (Vec::new(), vec![0; 1 << 20]);
    let mut page = |bytes: &[u8]| -> Result<Id, Infallible> {
        pages.push(list::decode_value_page(bytes).expect("a page").len());
        Ok(Id::from_bytes([1; 32]))
    };
    let piece = vec![1; 1 << 20];
    let mut builder = ListBuilder::new(Kind::Blob);
    sure(builder.hash(&zeros, &mut page));
    for _ in 0..1025 {
        sure(builder.hash(&piece, &mut page));
    }
    let (_, list) = sure(builder.finish(&mut page)).expect("a list");
    assert_eq!(list.values, Section::Paged(vec![Id::from_bytes([1; 32]); 2]));
    assert_eq!(pages, [1024, 1]);
    says("LISTS", "A page of values ends after 1024 values, and after the last.");
}

// CHUNKS

#[test]
fn example_of_cuts() {
    let mut x = 0_u64;
    let mut noise = |count: usize| -> Vec<u8> {
        let next = |_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x.to_be_bytes()[0]
        };
        (0..count).map(next).collect()
    };
    says("EXAMPLES", "(x * 6364136223846793005 + 1442695040888963407) mod 2^64");
    let mut bytes = noise(8_388_608);
    says("EXAMPLES", "The first bytes are 14 1a 9a 66 62 8f 14 5b.");
    assert_eq!(bytes[..8], [0x14, 0x1a, 0x9a, 0x66, 0x62, 0x8f, 0x14, 0x5b]);
    bytes.resize(8_388_608 + 196_608, 0);
    bytes.extend(noise(1_048_577));
    says("EXAMPLES", "Take 8388608 bytes so, then 196608 zeros, then 1048577 bytes more");
    let id = object_id(Kind::Blob, &bytes);
    says("EXAMPLES", &format!("{} bytes with the id .Dl {id}", bytes.len()));
    let cuts: Vec<Vec<String>> = segments_of(&bytes)
        .iter()
        .map(|segment| {
            let word = if matches!(segment, Segment::Zeros { .. }) { "zeros" } else { "chunk" };
            vec![segment.length_bytes().to_string(), word.to_owned()]
        })
        .collect();
    assert_eq!(table("cuts"), cuts);
    assert_eq!(cuts[0], ["1101369", "chunk"]);
    assert_eq!(cuts[8], ["196608", "zeros"]);
}

#[test]
fn gear_table_masks_and_parameters() {
    says("CHUNKS", ".Dl RunUp 2026-11-22 gear table");
    for (number, value) in
        [(0, 0xbf83_9864_81e4_8257), (1, 0xea46_3cad_4537_4902), (255, 0xf0b0_634b_8346_29bd_u64)]
    {
        says("CHUNKS", &format!(".It G[{number}] Ta {value:#018x}"));
    }
    let standard = ChunkerParameters::default();
    let bits = standard.normal_bytes.ilog2();
    for (name, bits) in [("A", bits + 2), ("B", bits - 2)] {
        says("CHUNKS", &format!(".It {name} Ta {:#018x} Ta {bits} bits", u64::MAX << (64 - bits)));
    }
    says("CHUNKS", &format!(".Va normal_bytes of {}", standard.normal_bytes));
    let ChunkerParameters { min_bytes, normal_bytes, max_bytes } = standard;
    says("CONFIG", &format!("standard values {max_bytes}, {min_bytes} and {normal_bytes}."));
    says(
        "CONFIG",
        "4096 <= min_bytes <= normal_bytes <= max_bytes <= 33554432; normal_bytes is a power \
             of two, and max_bytes is at least 1048576.",
    );
    let valid = |min_bytes, normal_bytes, max_bytes| {
        ChunkerParameters { min_bytes, normal_bytes, max_bytes }.is_valid()
    };
    assert!(valid(4096, 4096, 1_048_576) && valid(33_554_432, 33_554_432, 33_554_432));
    assert!(
        !valid(4095, 4096, 1_048_576)
            && !valid(4096, 4096, 1_048_575)
            && !valid(4096, 4096, 33_554_433)
    );
    assert!(
        !valid(8192, 4096, 1_048_576)
            && !valid(4096, 5000, 1_048_576)
            && !valid(4096, 2_097_152, 1_048_576)
    );
}

// PACKS

#[test]
fn example_of_a_pack() {
    let names = ["pack-header", "frame-header", "frame", "footer", "trailer"];
    let dumps = names.map(dump);
    let whole = dumps.iter().flat_map(|dump| dump.bytes.clone()).collect::<Vec<u8>>();
    let mut end = 0;
    for (dump, name) in dumps.iter().zip(names) {
        assert_eq!(dump.start, end, "{name}");
        end += dump.bytes.len();
    }
    let (expected, record) = example_pack();
    assert_eq!(whole, expected);
    let name = Id::from_bytes(plain(&whole));
    says("EXAMPLES", &format!("A content pack of {} bytes with one frame", whole.len()));
    says("EXAMPLES", &format!("to the end of the trailer: .Dl {name}"));

    let [header, frame_header, frame, footer, trailer] = &dumps;
    let decoded = pack::Header::decode(&header.bytes).expect("a header");
    assert_eq!(decoded.class, PackClass::Content);
    assert_eq!(decoded.salt, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    header.notes(&[
        (0x00, "magic \"RunUpPck\""),
        (0x08, "version 1"),
        (0x0a, "class 0: content"),
        (0x0c, "header_length 64"),
        (0x10, "required flags: none"),
        (0x14, "optional flags: none"),
        (0x18, "salt (random in a real pack)"),
        (0x28, "reserved"),
    ]);

    let (place, checksum) =
        pack::decode_frame_header(&frame_header.bytes, 64).expect("a frame header");
    assert_eq!(
        place,
        FramePlace { offset: 64, stored_length: 17, raw_length: 17, codec: Codec::None }
    );
    assert_eq!(checksum, plain(&frame.bytes)[..16]);
    frame_header.notes(&[
        (0x40, "magic \"RUfr\""),
        (0x44, "codec 0: none"),
        (0x45, "flags: none"),
        (0x46, "header_length 32"),
        (0x48, "stored_length 17"),
        (0x4c, "raw_length 17"),
        (0x50, "BLAKE3 of the 17 stored bytes,"),
        (0x58, "first half"),
    ]);

    let bodies = pack::decode_frame(&frame.bytes).expect("a frame");
    assert_eq!(bodies, [(Kind::Blob, None, &b"hello\n"[..]), (Kind::Blob, None, &b"world\n"[..])]);
    frame.notes(&[
        (0x60, "2 objects"),
        (0x61, "tag 01: blob, whole"),
        (0x62, "6 bytes"),
        (0x63, "tag 01: blob, whole"),
        (0x64, "6 bytes"),
        (0x65, "\"hello\\n\""),
        (0x6b, "\"world\\n\""),
    ]);

    let place = pack::Trailer::decode(&trailer.bytes, 267).expect("a trailer");
    assert_eq!((place.offset, place.length), (113, 90));
    assert_eq!(place.decode_footer(&footer.bytes), Ok(vec![record]));
    trailer.notes(&[
        (0xcb, "footer begins at 113 (0x71)"),
        (0xd3, "footer has 90 bytes"),
        (0xdb, "BLAKE3 of the footer"),
        (0xfb, "reserved"),
        (0x103, "magic \"RunUpEnd\""),
    ]);
    footer.notes(&[
        (0x71, "1 frame"),
        (0x72, "stored_length 17"),
        (0x73, "raw_length 17"),
        (0x74, "codec 0: none"),
        (0x75, "flags: none"),
        (0x76, "checksum of the frame"),
        (0x86, "2 objects"),
        (0x87, "id of \"hello\\n\""),
        (0xa7, "tag 01: blob, whole"),
        (0xa8, "6 bytes"),
        (0xa9, "id of \"world\\n\""),
        (0xc9, "tag 01: blob, whole"),
        (0xca, "6 bytes"),
    ]);
}

#[test]
fn example_of_a_frame_of_metadata() {
    let (table, list) = (dump("frame-metadata"), dump("list"));
    let raw = [&table.bytes[..], &list.bytes].concat();
    let id = object_id(Kind::Blob, &example_long_object());
    let bodies = pack::decode_frame(&raw).expect("a frame");
    assert_eq!(bodies, [(Kind::Tree, None, &b""[..]), (Kind::Blob, Some(id), &list.bytes[..])]);
    table.notes(&[
        (0x00, "2 objects"),
        (0x01, "tag 02: tree, whole"),
        (0x02, "0 bytes"),
        (0x03, "tag 81: blob, as a list"),
        (0x04, "112 bytes"),
        (0x05, "id of the object that it lists"),
    ]);
    says("EXAMPLES", &format!("the {} bytes of the list follow", list.bytes.len()));
    let tree =
        FrameObject { id: object_id(Kind::Tree, b""), kind: Kind::Tree, is_list: false, length: 0 };
    let list_object = FrameObject { id, kind: Kind::Blob, is_list: true, length: 112 };
    assert_eq!(pack::encode_frame(&[tree, list_object], &list.bytes), raw);
}

/// An object, its base, and the record of a delta frame with it.
fn example_of_delta() -> (Vec<u8>, Vec<u8>, FrameRecord) {
    let text = |count: u32| match count {
        10 => ["10 green bottles\n", "10 red bottles\n"].map(str::to_owned),
        _ => [format!("{count} green bottles\n"), format!("{count} green bottles\n")],
    };
    let lines: Vec<_> = (1..=20).rev().map(text).collect();
    let [base, object] = [0, 1].map(|number| {
        lines.iter().map(|line| line[number].as_str()).collect::<String>().into_bytes()
    });
    let stored = dump("delta-frame").bytes;
    let place = FramePlace {
        offset: 64,
        stored_length: stored.len() as u32,
        raw_length: 333,
        codec: Codec::Delta,
    };
    let id = object_id(Kind::Blob, &object);
    let objects = vec![FrameObject { id, kind: Kind::Blob, is_list: false, length: 329 }];
    let bases = vec![Base { id: object_id(Kind::Blob, &base), kind: Kind::Blob }];
    let checksum = pack::frame_checksum(&stored);
    (object, base, FrameRecord { place, checksum, objects, bases })
}

#[test]
fn example_of_a_delta_frame() {
    let dump = dump("delta-frame");
    dump.notes(&[
        (0x00, "1 object"),
        (0x01, "kind 1: blob"),
        (0x02, "329 bytes"),
        (0x04, "kind of its base 1: blob"),
        (0x05, "id of its base"),
        (0x25, "its delta: 54 bytes follow"),
        (0x26, "magic of Zstandard (RFC 8878)"),
    ]);
    let (object, base, record) = example_of_delta();
    says("EXAMPLES", &format!("The object has {} bytes", object.len()));
    says("EXAMPLES", &format!("Its id is .Dl {}", record.objects[0].id));
    says("EXAMPLES", &format!("has a raw_length of {}.", record.place.raw_length));
    let deltas = decode_delta_frame(&dump.bytes, 333).expect("a delta frame");
    assert_eq!(deltas.len(), 1);
    let delta = deltas[0];
    assert_eq!((delta.kind, delta.length, delta.offset), (Kind::Blob, 329, 4));
    assert_eq!(delta.base, record.bases[0]);
    let mut decoded = Vec::new();
    decompress_delta(&base, delta.stored, 329, &mut decoded).expect("decodes");
    assert_eq!(decoded, object);
    let parts = [(delta.base, delta.stored.len() as u32)];
    assert_eq!(encode_delta_frame(&record.objects, &parts, delta.stored), dump.bytes);

    // A footer of it, as the page says.
    let end = 64 + record.place.total_length();
    let tail = pack::encode_footer(std::slice::from_ref(&record), end);
    let footer_bytes = tail.len() - pack::TRAILER_BYTES;
    let whole = end + tail.len() as u64;
    let trailer = pack::Trailer::decode(&tail[footer_bytes..], whole).expect("a trailer");
    let named = &tail[footer_bytes - 33..footer_bytes];
    assert_eq!((named[0], &named[1..]), (1, &record.bases[0].id.as_bytes()[..]));
    assert_eq!(trailer.decode_footer(&tail[..footer_bytes]), Ok(vec![record]));
}

fn delta_segment() -> Vec<u8> {
    let (_, _, record) = example_of_delta();
    let mut builder = IndexBuilder::default();
    builder.add_pack(PackRecord { name: hello(), length_bytes: 1 }, &[record]);
    builder.encode([7; 16])
}

#[test]
fn an_index_names_the_base_of_a_delta() {
    let bytes = delta_segment();
    assert_eq!(bytes[52..56], 1_u32.to_le_bytes());
    let (_, _, record) = example_of_delta();
    let index = Index::open(&bytes).expect("an index");
    let place = index.place(index.find(&record.objects[0].id).start).expect("a place");
    assert_eq!((place.offset, place.base), (4, Some(record.bases[0])));
    assert_eq!(index.bases().collect::<Vec<_>>(), [(0, record.bases[0])]);
    let delta = &bytes[bytes.len() - 44..];
    assert_eq!(delta[..12], [0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(delta[12..], record.bases[0].id.as_bytes()[..]);
}

/// The fields of a table of offsets, which have no gaps and fill `length` bytes.
fn fields(name: &str, length: usize) -> Vec<(usize, usize, String)> {
    let mut end = 0;
    let rows = table(name).into_iter().filter(|row| !row[0].is_empty());
    let fields: Vec<(usize, usize, String)> = rows
        .map(|row| {
            let [offset, bytes] = [&row[0], &row[1]].map(|cell| cell.parse().expect("a number"));
            assert_eq!(offset, end, "{name}: {row:?}");
            end = offset + bytes;
            let of_type = match row[2].as_str() {
                "u8" => 1,
                "u16" => 2,
                "u32" => 4,
                "u64" => 8,
                "bytes" => bytes,
                other => panic!("{name}: {other} is no type"),
            };
            assert_eq!(bytes, of_type, "{name}: {row:?}");
            (offset, bytes, row[3].clone())
        })
        .collect();
    assert_eq!(end, length, "{name}");
    fields
}

/// What becomes of bytes in which one field was changed.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    Damaged,
    Unsupported,
}

fn fate<T, E: Into<FormatError>>(result: Result<T, E>) -> Fate {
    match result.map_err(Into::into) {
        Ok(_) => Fate::Taken,
        Err(FormatError::Unsupported(_)) => Fate::Unsupported,
        Err(_) => Fate::Damaged,
    }
}

/// Flips a bit in each byte of each field, and asks whether that has the fate its text tells.
fn check_fates(bytes: &[u8], fields: &[(usize, usize, String)], read: impl Fn(&[u8]) -> Fate) {
    assert_eq!(read(bytes), Fate::Taken);
    for (offset, length, text) in fields {
        let wanted = if text.contains("ignore")
            || text.starts_with("salt")
            || text.starts_with("checksum")
        {
            Fate::Taken
        } else if ["magic", "offset", "bytes of", "BLAKE3", "reserved", "fanout_bits"]
            .iter()
            .any(|word| text.starts_with(word))
            || text.contains(": how many")
        {
            Fate::Damaged
        } else if ["version", "class", "header_length", "required flags", "flags", "codec"]
            .iter()
            .any(|word| text.starts_with(word))
        {
            Fate::Unsupported
        } else {
            continue;
        };
        for at in *offset..offset + length {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x40;
            assert_eq!(read(&changed), wanted, "{text}, byte {at}");
        }
    }
}

#[test]
fn fields_of_packs() {
    let (pack, _) = example_pack();
    let header = fields("pack-header", pack::HEADER_BYTES);
    assert_eq!(&pack[..8], b"RunUpPck");
    assert_eq!(header[0].2, "magic, RunUpPck in ASCII");
    assert_eq!(header[1].2, "version, 1");
    assert_eq!(header[3].2, format!("header_length, {}", pack::HEADER_BYTES));
    assert_eq!(header[4].2, "required flags, 0");
    assert_eq!([PackClass::Content as u16, PackClass::Metadata as u16], [0, 1]);
    assert_eq!(header[2].2, "class: 0 content, 1 metadata");
    check_fates(&pack[..64], &header, |bytes| fate(pack::Header::decode(bytes)));

    let frame = fields("frame-header", pack::FRAME_HEADER_BYTES);
    assert_eq!(&pack[64..68], b"RUfr");
    assert_eq!(frame[0].2, "magic, RUfr in ASCII");
    assert_eq!(frame[3].2, format!("header_length, {}", pack::FRAME_HEADER_BYTES));
    check_fates(&pack[64..96], &frame, |bytes| fate(pack::decode_frame_header(bytes, 64)));

    let trailer = fields("trailer", pack::TRAILER_BYTES);
    assert_eq!(pack.last_chunk::<8>(), Some(b"RunUpEnd"));
    assert_eq!(trailer[1].2, format!("bytes of the footer, at most {}", pack::FOOTER_BYTES_MAX));
    assert_eq!(trailer[4].2, "magic, RunUpEnd in ASCII");
    check_fates(&pack[203..], &trailer, |bytes| {
        fate(
            pack::Trailer::decode(bytes, 267)
                .and_then(|place| place.decode_footer(&pack[113..203])),
        )
    });
}

#[test]
fn codecs() {
    let words = [
        (Codec::None, Compression::None, "the raw bytes"),
        (Codec::Deflate, Compression::Deflate(6), "one zlib stream (RFC 1950)"),
        (Codec::Zstd, Compression::Zstd(3), "one Zstandard frame (RFC 8878), no dictionary"),
    ];
    let expected: Vec<Vec<String>> = words
        .iter()
        .map(|(codec, compression, text)| {
            let compression = compression.to_string();
            let word = compression.split(':').next().unwrap_or_default();
            vec![(*codec as u8).to_string(), word.to_owned(), (*text).to_owned()]
        })
        .collect();
    let delta = [(Codec::Delta as u8).to_string(), "delta".into(), {
        "a Zstandard frame for each object, see below".into()
    }];
    assert_eq!(table("codecs"), [expected, vec![delta.to_vec()]].concat());
    assert_eq!(Codec::from_number(4), None);
    says("CONFIG", ".Ql deflate and .Ql zstd , which mean levels 6 and 3.");
    assert_eq!("deflate".parse(), Ok(Compression::Deflate(6)));
    assert_eq!("zstd".parse(), Ok(Compression::Zstd(3)));
    says("CONFIG", ".Ql deflate:1 to .Ql deflate:9 , .Ql zstd:1 to .Ql zstd:19");
    for (word, valid) in
        [("deflate:9", true), ("deflate:10", false), ("zstd:19", true), ("zstd:20", false)]
    {
        assert_eq!(word.parse::<Compression>().is_ok(), valid, "{word}");
    }
}

// INDEXES

#[test]
fn example_of_an_index_segment() {
    let dump = dump("index");
    let (pack, record) = example_pack();
    let name = Id::from_bytes(plain(&pack));
    let index = Index::open(&dump.bytes).expect("an index");
    assert_eq!((index.pack_count(), index.object_count()), (1, 2));
    assert_eq!(index.pack(0), Ok(PackRecord { name, length_bytes: 267 }));
    for (id, number, offset) in [(world(), 0, 11), (hello(), 1, 5)] {
        assert_eq!(index.find(&id), number..number + 1);
        let place = index.place(number).expect("a place");
        assert_eq!((place.pack, place.frame, place.offset), (0, record.place, offset));
        assert_eq!((place.length, place.kind, place.is_list), (6, Kind::Blob, false));
    }
    dump.notes(&[
        (0x00, "magic \"RunUpIdx\""),
        (0x08, "version 1"),
        (0x0a, "fanout_bits 0: one slot"),
        (0x0c, "flags: none"),
        (0x10, "1 pack"),
        (0x14, "1 frame"),
        (0x18, "2 objects"),
        (0x20, "salt (random in a real segment)"),
        (0x30, "no replaced segments"),
        (0x34, "no deltas"),
        (0x38, "reserved"),
        (0x40, "pack 0: its name"),
        (0x60, "pack 0: 267 bytes"),
        (0x68, "frame 0 is in pack 0"),
        (0x6c, "codec 0: none"),
        (0x6d, "reserved"),
        (0x70, "offset 64 in the pack"),
        (0x78, "stored_length 17"),
        (0x7c, "raw_length 17"),
        (0x80, "slot 0 ends before id 2"),
        (0x84, "id 0: of \"world\\n\""),
        (0xa4, "id 1: of \"hello\\n\""),
        (0xc4, "place 0: in frame 0"),
        (0xc8, "begins at byte 11 of its frame"),
        (0xcc, "6 bytes"),
        (0xd0, "tag 01: blob, whole"),
        (0xd1, "reserved"),
        (0xd4, "place 1: in frame 0"),
        (0xd8, "begins at byte 5 of its frame"),
        (0xdc, "6 bytes"),
        (0xe0, "tag 01: blob, whole"),
        (0xe1, "reserved"),
    ]);
    let mut builder = IndexBuilder::default();
    builder.add_pack(PackRecord { name, length_bytes: 267 }, &[record]);
    let salt = [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31];
    assert_eq!(builder.encode(salt), dump.bytes);
}

fn segment_bytes(packs: u8, frames: u8, objects: u32) -> Vec<u8> {
    let mut builder = IndexBuilder::default();
    for number in 0..packs {
        let object = |n: u32| FrameObject {
            id: object_id(Kind::Blob, &n.to_le_bytes()),
            kind: Kind::Blob,
            is_list: false,
            length: 1,
        };
        let frame = |objects: u32| FrameRecord {
            place: FramePlace {
                offset: 64,
                stored_length: 9,
                raw_length: 1 << 20,
                codec: Codec::Zstd,
            },
            checksum: [0; 16],
            objects: (0..objects).map(object).collect(),
            bases: vec![],
        };
        let frames: Vec<FrameRecord> =
            (0..frames).map(|n| frame(if n == 0 { objects } else { 0 })).collect();
        builder
            .add_pack(PackRecord { name: Id::from_bytes([number; 32]), length_bytes: 1 }, &frames);
    }
    builder.encode([7; 16])
}

#[test]
fn fields_of_index_segments() {
    let header = 64;
    let empty = segment_bytes(0, 0, 0).len();
    assert_eq!(empty, header + 4, "a header and a fan-out of one slot");
    let pack = segment_bytes(1, 0, 0).len() - empty;
    let frame = segment_bytes(1, 1, 0).len() - empty - pack;
    let object = segment_bytes(1, 1, 1).len() - empty - pack - frame;
    let place = object - Id::BYTES;
    let delta = delta_segment().len() - segment_bytes(1, 1, 1).len();
    let mut merged = IndexBuilder::default();
    merged
        .replace(Id::from_bytes([9; 32]), &Index::open(&segment_bytes(0, 0, 0)).expect("index"))
        .expect("whole");
    let merged = merged.encode([7; 16]);
    let replaced = merged.len() - empty;
    assert_eq!(merged[48..52], 1_u32.to_le_bytes());
    let names: Vec<Id> = Index::open(&merged).expect("an index").replaced().collect();
    assert_eq!(names, [Id::from_bytes([9; 32])]);
    let expected = [
        ["replaced", "replaced", &replaced.to_string(), "id: name of a segment"],
        ["packs", "packs", &pack.to_string(), "id: name; u64: size"],
        ["frames", "frames", &frame.to_string(), "see below"],
        ["fan-out", "2^fanout_bits", "4", "u32"],
        ["ids", "objects", "32", "id"],
        ["places", "objects", &place.to_string(), "see below"],
        ["deltas", "deltas", &delta.to_string(), "see below"],
    ];
    assert_eq!(table("index-tables"), rows(&expected));

    let bytes = segment_bytes(1, 1, 1);
    let fields_of_header = fields("index-header", header);
    assert_eq!(&bytes[..8], b"RunUpIdx");
    assert_eq!(fields_of_header[0].2, "magic, RunUpIdx in ASCII");
    assert_eq!(fields_of_header[1].2, "version, 1");
    assert_eq!(fields_of_header[2].2, "fanout_bits, 0 to 24");
    assert_eq!(fields_of_header[6].2, "objects: how many, below 2^32");
    check_fates(&bytes, &fields_of_header, |bytes| fate(Index::open(bytes)));
    for bits in [24, 25] {
        let mut long = bytes.clone();
        long[10] = bits;
        long.resize(bytes.len() - 4 + (4 << bits), 0);
        assert_eq!(Index::open(&long).is_ok(), bits == 24);
    }
    fields("index-frame", frame);
    fields("index-place", place);
    fields("index-delta", delta);

    let bits_of = |objects: u32| segment_bytes(1, 1, objects)[10];
    assert_eq!([0, 3, 7, 8, 15, 16, 31, 32].map(bits_of), [0, 0, 0, 1, 1, 2, 2, 3]);
    says(
        "INDEXES",
        "the base-2 logarithm, rounded down, of a quarter of the number of objects, but at \
         least 0 and at most 24",
    );
}

// CONTROL FILES

#[test]
fn examples_of_control_files() {
    let job = control_text("job");
    let record: JobRecord = control::decode(&job).expect("a job");
    let snapshot = object_id(Kind::Snapshot, block("text: snapshot").concat().as_bytes());
    let projects = BTreeMap::from([("app".to_owned(), snapshot)]);
    let expected = JobRecord { generation: 1, job: 3, projects, refs: 7 };
    assert_eq!(record, expected);
    assert_eq!(control::encode(&expected), job);
    says(
        "CONTROL FILES",
        ".Li {\\(dqgeneration\\(dq:N,\\(dqjob\\(dq:N,\\(dqprojects\\(dq:{\\(dqNAME\\(dq:\\(dqID\\(dq},\\(dqrefs\\(dq:N}",
    );

    let generation = control_text("gc");
    let pack = Id::from_bytes(plain(&example_pack().0));
    let json = format!(
        "{{\"condemned_loose\":[\"{}\"],\"condemned_packs\":[\"{pack}\"],\"highest_job\":3,\"number\":1}}\n",
        hello(),
    );
    assert_eq!(control::checked(&generation), Ok(json.as_bytes()));
    assert!(
        Generation::decode(&generation, 1).is_ok() && Generation::decode(&generation, 2).is_err()
    );

    let refs = control_text("refs");
    let tree = object_id(Kind::Tree, &tree::encode(&example_entries()));
    let target = |id, kind| RefTarget { id, kind };
    let table = RefTable {
        number: 7,
        refs: Refs::from([
            ("pin/keep-me".to_owned(), target(snapshot, Kind::Snapshot)),
            ("tag/v1".to_owned(), target(tree, Kind::Tree)),
        ]),
    };
    assert_eq!(RefTable::decode(&refs, 7), Ok(table.clone()));
    assert_eq!(control::encode(&table), refs);
    says(
        "CONTROL FILES",
        ".Li {\\(dqnumber\\(dq:N,\\(dqrefs\\(dq:{\\(dqNAME\\(dq:{\\(dqid\\(dq:\\(dqID\\(dq,\\(dqkind\\(dq:\\(dqKIND\\(dq}}}",
    );
    let longest = format!("tag/{}", "x".repeat(PROJECT_NAME_BYTES_MAX));
    assert!(is_ref_name(&longest) && !is_ref_name(&format!("{longest}x")));
    says("CONTROL FILES", &format!("and 1 to {PROJECT_NAME_BYTES_MAX} letters, digits,"));
    let kinds = Kind::ALL.into_iter().filter(|kind| may_be_target(*kind));
    let words: Vec<&str> = kinds.map(Kind::word).collect();
    let (last, others) = words.split_last().expect("kinds");
    says("CONTROL FILES", &format!("which is a {} or {last}.", others.join(", ")));

    for text in [&job, &generation, &refs] {
        let mut damaged = text.clone();
        damaged[4] ^= 1;
        assert!(control::checked(&damaged).is_err());
    }
}

// CONFIG

#[test]
fn example_of_a_config() {
    let text = control_text("config");
    let expected = Config {
        format_version: 1,
        repository_id: "0123456789abcdef0123456789abcdef".into(),
        required_features: vec![],
        optional_features: vec![],
        chunker: ChunkerParameters {
            min_bytes: 262_144,
            normal_bytes: 1_048_576,
            max_bytes: 2_097_152,
        },
        compression: "zstd:3".into(),
        publication: Publication::Rename,
        encryption: None,
        created: "2026-11-22T05:00:00+00:00".into(),
        program_version: "0.1.0".into(),
    };
    assert_eq!(Config::decode(&text), Ok(expected.clone()));
    assert_eq!(expected.encode(), text);
    let json = control::checked(&text).expect("a control file");
    assert_eq!(keys(std::str::from_utf8(json).expect("UTF-8")), terms("config"));
    assert_eq!(expected.chunker, ChunkerParameters::default());
    says("CONFIG", ".Ql rename or .Ql link : how jobs are published");
    let link = Config { publication: Publication::Link, ..expected.clone() };
    assert!(String::from_utf8_lossy(&link.encode()).contains("\"publication\":\"link\""));

    says("CONFIG", &format!(".It Va format_version {FORMAT_VERSION}."));
    says("RESERVED", ".Va format_version other than 1, any string in .Va required_features");
    for other in [
        Config { format_version: 2, ..expected.clone() },
        Config { required_features: vec!["new".into()], ..expected.clone() },
    ] {
        assert_eq!(fate(Config::decode(&other.encode())), Fate::Unsupported);
    }
    let optional = Config { optional_features: vec!["new".into()], ..expected };
    assert_eq!(fate(Config::decode(&optional.encode())), Fate::Taken);
}

// LIMITS

#[test]
fn limits_and_sizes() {
    let path_bytes_max = 1_usize << 20;
    let decodes = |path: &[u8]| {
        links::decode(&links::encode(vec![vec![b"a"[..].into(), path.into()]])).is_ok()
    };
    let longest = vec![&[b'n'; 255][..]; limits::DEPTH_MAX].join(&b'/');
    assert_eq!(longest.len(), path_bytes_max - 1, "the longest names, as many as there may be");
    assert!(decodes(&longest));
    assert!(!decodes(&[&longest[..], b"/n"].concat()));
    let expected: [(u64, &str); 13] = [
        (limits::NAME_BYTES_MAX as u64, "bytes of one name in a tree"),
        (limits::DEPTH_MAX as u64, "names in one path below a root"),
        (limits::LINK_TARGET_BYTES_MAX as u64, "bytes of the target of a symbolic link"),
        (limits::XATTRS_MAX as u64, "extended attributes of one entry"),
        (limits::XATTR_INLINE_BYTES_MAX as u64, "bytes of an extended attribute inside a tree"),
        (limits::XATTR_VALUE_BYTES_MAX as u64, "bytes of an extended attribute"),
        (path_bytes_max as u64, "bytes of a path in links"),
        (limits::FRAME_OBJECT_BYTES_MAX as u64, "bytes of one object or list in a frame"),
        (limits::FRAME_OBJECTS_MAX as u64, "objects in one frame"),
        (limits::FRAME_BYTES_MAX as u64, "bytes of one frame when decompressed"),
        (pack::FOOTER_BYTES_MAX, "bytes of a footer"),
        (limits::CONTROL_FILE_BYTES_MAX, "bytes of a control file"),
        (limits::METADATA_BYTES_MAX, "bytes of a tree, links or snapshot"),
    ];
    assert_eq!(
        table("limits"),
        expected.map(|(value, text)| vec![value.to_string(), text.to_owned()])
    );
    let expected: [(u64, &str); 10] = [
        (
            limits::SHORT_CONTENT_BYTES as u64,
            "bytes below which file data is packed in frames of its own",
        ),
        (
            limits::SHORT_CONTENT_FRAME_BYTES_TARGET as u64,
            "raw bytes at which a frame of those is closed",
        ),
        (
            limits::CONTENT_FRAME_BYTES_TARGET as u64,
            "raw bytes at which any other frame of file data is closed",
        ),
        (
            limits::METADATA_FRAME_BYTES_TARGET as u64,
            "raw bytes at which a frame of metadata is closed",
        ),
        (limits::DELTA_FRAME_BYTES_TARGET as u64, "stored bytes at which a delta frame is closed"),
        (limits::DELTA_FRAME_RAW_BYTES_TARGET as u64, "raw bytes at which a delta frame is closed"),
        (limits::PACK_BYTES_TARGET, "stored bytes at which a pack is closed"),
        (limits::PIECE_BYTES as u64, "bytes of a piece with a chaining value"),
        (limits::HOLE_BYTES_MIN, "bytes of the shortest run of zeros"),
        (limits::HOLE_ALIGN_BYTES as u64, "bytes of a block, where runs begin and end"),
    ];
    assert_eq!(
        table("sizes"),
        expected.map(|(value, text)| vec![value.to_string(), text.to_owned()])
    );

    for (title, value) in [
        ("OBJECTS AND IDS", limits::FRAME_OBJECT_BYTES_MAX),
        ("LOOSE OBJECTS", limits::FRAME_OBJECT_BYTES_MAX),
        ("TREES", limits::LINK_TARGET_BYTES_MAX),
        ("TREES", limits::XATTR_VALUE_BYTES_MAX),
        ("LINKS", path_bytes_max),
        ("LISTS", limits::PIECE_BYTES),
        ("PACKS", limits::FRAME_BYTES_MAX),
        ("PACKS", limits::FRAME_OBJECTS_MAX),
    ] {
        says(title, &value.to_string());
    }
    says("CHUNKS", &format!("blocks of {} bytes", limits::HOLE_ALIGN_BYTES));
    says("CHUNKS", &format!("at least {} bytes", limits::HOLE_BYTES_MIN));
}

// SCALE

/// Bytes of a footer of one pack with one frame that holds objects of these lengths.
fn footer_bytes(lengths: &[u32]) -> u64 {
    let object = |length: &u32| FrameObject {
        id: hello(),
        kind: Kind::Blob,
        is_list: false,
        length: *length,
    };
    let objects: Vec<FrameObject> = lengths.iter().map(object).collect();
    let raw_length: u32 = lengths.iter().sum();
    let place =
        FramePlace { offset: 64, stored_length: raw_length, raw_length, codec: Codec::None };
    let footer =
        pack::encode_footer(&[FrameRecord { place, checksum: [0; 16], objects, bases: vec![] }], 0);
    footer.len() as u64 - pack::TRAILER_BYTES as u64 - 1
}

#[test]
fn figures_of_repositories() {
    const MB: u64 = 1_000_000;
    let objects = 100 * MB;
    let index = |packs: u64, frames: u64| {
        let bits = (objects / 4).ilog2();
        assert_eq!(bits, 24);
        64 + 40 * packs + 24 * frames + (4 << bits) + 48 * objects
    };

    let packs = (100 * MB * MB).div_ceil(limits::PACK_BYTES_TARGET);
    says("SCALE", &format!(".It packs of 64 MiB Ta {packs} Ta files"));
    says(
        "SCALE",
        &format!(".It index, 72 bytes an object Ta {} Ta MB", index(packs, objects) / MB),
    );
    let footer = footer_bytes(&[1_000_000]);
    says(
        "SCALE",
        &format!(
            ".It footers, {footer} bytes an object Ta {} Ta MB",
            (footer * objects + packs) / MB
        ),
    );
    let object = FrameObject { id: hello(), kind: Kind::Blob, is_list: false, length: 1_000_000 };
    let frame = pack::FRAME_HEADER_BYTES as u64 + pack::encode_frame(&[object], b"").len() as u64;
    says(
        "SCALE",
        &format!(".It frame headers and tables, {frame} bytes Ta {} Ta MB", frame * objects / MB),
    );
    let ends = packs * (pack::HEADER_BYTES + pack::TRAILER_BYTES) as u64;
    says("SCALE", &format!(".It pack headers and trailers Ta {} Ta MB", (ends + MB / 2) / MB));
    says("SCALE", "the packs take 60 MB and the fan-out, of 24 bits, 67 MB");
    assert_eq!([(40 * packs + MB / 2) / MB, ((4 << 24) + MB / 2) / MB], [60, 67]);
    let all = (footer + frame) * objects + ends;
    assert_eq!([all / (10_000 * MB / 100), index(packs, objects) / (10_000 * MB / 100)], [99, 73]);
    says("SCALE", "together are 0.01 percent of the packs; the index adds 0.007 percent");

    let packs = (MB * MB).div_ceil(limits::PACK_BYTES_TARGET);
    let in_frame = limits::SHORT_CONTENT_FRAME_BYTES_TARGET as u64 / 10_000;
    let frames = objects.div_ceil(in_frame);
    says("SCALE", &format!("{in_frame} of them fill a frame"));
    says("SCALE", &format!("they fill {packs} packs of 64 MiB with {frames} frames"));
    says("SCALE", &format!("The index has {} MB", index(packs, frames) / MB));
    let footers = footer_bytes(&[10_000; 838]) * objects / in_frame;
    says("SCALE", &format!("and the footers {} MB", footers / MB));

    let metadata = Metadata {
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        mtime: FileTime { seconds: 1_763_787_600, nanoseconds: 999_999_999 },
        xattrs: vec![],
    };
    let node = Node::File { size_bytes: 10_000, id: hello() };
    let entry = Entry { name: [b'n'; 20][..].into(), metadata, node };
    says("SCALE", &format!("An entry of a tree takes {} bytes", tree::encode([&entry]).len()));
}

#[test]
fn figures_of_a_long_file() {
    let length: u64 = 1_000_000_000_000;
    let parameters = ChunkerParameters::default();
    let [min, normal, max] =
        [parameters.min_bytes, parameters.normal_bytes, parameters.max_bytes].map(f64::from);
    // The chance of a cut is constant before the normal length and, another, after it.
    let (before, after) = (4.0 * normal, normal / 4.0);
    let reaches_normal = (-(normal - min) / before).exp();
    let reaches_max = (-(max - normal) / after).exp();
    let mean = min + before * (1.0 - reaches_normal) + reaches_normal * after * (1.0 - reaches_max);
    says("SCALE", &format!("a chunk has {:.2} MB on average", mean / 1e6));
    let chunks = 1e12 / mean;
    says("SCALE", &format!(".It chunks Ta {} Ta", chunks.ceil()));

    let segment = |length_bytes| {
        let segments = vec![Segment::Chunk { id: hello(), length_bytes }];
        let values = Section::Inline(vec![]);
        List { length_bytes: 0, segments: Section::Inline(segments), values }.encode().len() - 5
    };
    assert_eq!(
        [segment(262_144), segment((1 << 20) - 1), segment(1 << 20), segment(2 << 20)],
        [35, 35, 36, 36]
    );
    let segments = chunks * (36.0 - (1.0 - reaches_normal));
    let segment_pages = (chunks / 1024.0).ceil();
    says(
        "SCALE",
        &format!(
            ".It segments, 35 or 36 bytes each Ta {:.0} Ta KB in {segment_pages} pages",
            segments / 1e3
        ),
    );
    let pieces = length.div_ceil(1 << 20);
    let value_pages = pieces.div_ceil(1024);
    let values = (pieces * 32 + 500) / 1000;
    says(
        "SCALE",
        &format!(".It values, 32 bytes a piece Ta {values} Ta KB in {value_pages} pages"),
    );
    let list = List {
        length_bytes: length,
        segments: Section::Paged(vec![hello(); 819]),
        values: Section::Paged(vec![hello(); 932]),
    };
    says("SCALE", &format!(".It the list itself Ta {} Ta KB", (list.encode().len() + 500) / 1000));
    let zeros = List {
        length_bytes: length,
        segments: Section::Inline(vec![Segment::Zeros { length_bytes: length }]),
        values: Section::Inline(vec![[0; 32]]),
    };
    assert!(zeros.encode().len() < 64);
    says("SCALE", "its list has fewer than 64 bytes");
    says("LIMITS", "A list takes about 60 bytes for each GiB of its object");
    let each = 32.0 + 32.0 * f64::from(1 << 30) / (1024.0 * mean);
    assert!((each - 60.0).abs() < 0.5, "{each}");
}
