//! A small repository with every sort of object, and what its files hold.
//!
//! Invariant: the same bytes every time, but for random salts and names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use runup::base::hash::{object_id, piece_value};
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::chunker::ChunkerParameters;
use runup::format::codec::put_varint;
use runup::format::compress::Compression;
use runup::format::control;
use runup::format::links;
use runup::format::list::{List, Section};
use runup::format::snapshot::{BytesText, Counts, RootMetadata, RootRecord, Snapshot};
use runup::format::tree::{self, Entry, Metadata, Node, Xattr, XattrValue};
use runup::ops::update_ref::{Change, Expected as UpdateExpected, RefUpdate, update_refs};
use runup::repository::{Generation, InitOptions, RefTarget, Repository};
use runup::store::{InsertOptions, Inserter, LooseSink, ObjectSink, Worker, WriteError, put_any};

const MIB: usize = 1 << 20;

/// Bytes that no compressor shrinks, the same for the same seed.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}

pub(super) fn size(bytes: u64) -> usize {
    usize::try_from(bytes).expect("fits in memory")
}

fn entry(name: &str, node: Node) -> Entry {
    let metadata = Metadata { mode: 0o644, ..Metadata::default() };
    Entry { name: name.as_bytes().into(), metadata, node }
}

fn file(name: &str, bytes: &[u8], id: Id) -> Entry {
    entry(name, Node::File { size_bytes: bytes.len() as u64, id })
}

/// How many jobs there are.
pub(super) const JOBS: u64 = 3;
/// Tables of refs, from 1; the last job knows of the last one.
pub(super) const TABLES: u64 = 2;

/// The bytes of every file of every job.
pub(super) type Expected = BTreeMap<(u64, String, String), Vec<u8>>;

/// A repository, and what is in it.
pub(super) struct Fixture {
    pub(super) path: PathBuf,
    pub(super) expected: Expected,
}

/// Noise, a hole that spans a whole piece, and noise that differs from job to job.
fn long_bytes(job: u64) -> Vec<u8> {
    let mut bytes = noise(1, 150_007);
    bytes.resize(2 * MIB + 70_009, 0);
    bytes.extend(noise(2 + job, 90_003));
    bytes
}

/// Stores an object of two pieces whose list is in pages, as only the lists of huge ones are.
fn put_paged(worker: &mut Worker<'_>) -> Result<(Vec<u8>, Id), WriteError> {
    let (head, hole, tail) = (noise(8, 40_000), MIB + 4096, noise(9, 10_000));
    let bytes = [&head[..], &vec![0; hole], &tail[..]].concat();
    let (mut segments, mut values) = (Vec::new(), Vec::new());
    for chunk in [&head, &tail] {
        put_varint(&mut segments, (chunk.len() as u64) << 1);
        segments.extend_from_slice(worker.put(Kind::Blob, chunk)?.as_bytes());
        if segments.len() < 60 {
            put_varint(&mut segments, (hole as u64) << 1 | 1);
        }
    }
    for (number, piece) in bytes.chunks(MIB).enumerate() {
        values.extend_from_slice(&piece_value(Kind::Blob, number as u64, piece));
    }
    let list = List {
        length_bytes: bytes.len() as u64,
        segments: Section::Paged(vec![worker.put(Kind::Page, &segments)?]),
        values: Section::Paged(vec![worker.put(Kind::Page, &values)?]),
    };
    let id = object_id(Kind::Blob, &bytes);
    worker.put_list(id, Kind::Blob, &list.encode())?;
    Ok((bytes, id))
}

fn snapshot(project: &str, tree: Id, links: Option<Id>, xattr: Id, parent: Option<Id>) -> Snapshot {
    let value = XattrValue::Blob { size_bytes: 600, id: xattr };
    let xattrs = vec![Xattr { name: b"user.note"[..].into(), value }];
    let metadata = Metadata { mode: 0o755, xattrs, ..Metadata::default() };
    Snapshot {
        project: project.to_owned(),
        root: RootRecord {
            tree,
            links,
            root: Some(RootMetadata::from(&metadata)),
            context: BytesText::new(b"/home"),
            includes: vec![BytesText::new(b".")],
            excludes: vec![],
            skipped: vec![],
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            counts: Counts::default(),
        },
        parent,
        time: "2026-11-22T05:00:00Z".into(),
        host: "host".into(),
        user: "user".into(),
        description: None,
        tags: vec![],
        program_version: "0.1.0".into(),
    }
}

/// Writes one project: some small files, shared and not, a long one, directories, links.
fn project(
    worker: &mut Worker<'_>,
    expected: &mut Expected,
    loose: &[(String, Vec<u8>, Id)],
    (job, name): (u64, &str),
    parent: Option<Id>,
) -> Result<Id, WriteError> {
    let mut keep = |path: String, bytes: &[u8]| {
        expected.insert((job, name.to_owned(), path), bytes.to_vec());
    };
    let mut small = Vec::new();
    for number in 0..5_u64 {
        let bytes = noise(number + 100 * job, 900 + 700 * size(number));
        let id = worker.put(Kind::Blob, &bytes)?;
        keep(format!("small/{number}"), &bytes);
        small.push(file(&number.to_string(), &bytes, id));
    }
    let small = worker.put(Kind::Tree, &tree::encode(&small))?;
    let mut shared = Vec::new();
    for (path, bytes, id) in loose {
        keep(format!("shared/{path}"), bytes);
        shared.push(file(path, bytes, *id));
    }
    let text = b"the same in both projects\n".repeat(300);
    keep("shared/text".into(), &text);
    shared.push(file("text", &text, worker.put(Kind::Blob, &text)?));
    let shared = worker.put(Kind::Tree, &tree::encode(&shared))?;
    let long = long_bytes(job);
    keep("long".into(), &long);
    let long = file("long", &long, put_any(worker, Kind::Blob, &long)?);
    let (paged_bytes, paged) = put_paged(worker)?;
    let paged = file("paged", &paged_bytes, paged);
    keep("paged".into(), &paged_bytes);
    // Stored as what differs from that of the first job.
    let edited = [&noise(20, 30_000)[..], format!("edited for job {job}").as_bytes()].concat();
    let before = [&noise(20, 30_000)[..], b"edited for job 1"].concat();
    let before = (job > 1).then(|| object_id(Kind::Blob, &before));
    let edited_id = worker.put_like(Kind::Blob, &edited, before.as_ref())?;
    keep("edited".into(), &edited);
    let edited = file("edited", &edited, edited_id);
    let empty = file("empty", b"", worker.put(Kind::Blob, b"")?);
    keep("empty".into(), b"");
    let mut large = Vec::new();
    if job == 1 && name == "app" {
        // Longer than a chunk may be, so that this tree is stored as a list.
        for number in 0..300_u32 {
            let target = format!("{number:06}/").repeat(571).into_bytes().into();
            large.push(entry(&format!("{number:06}"), Node::Symlink { target }));
        }
    }
    let large = put_any(worker, Kind::Tree, &tree::encode(&large))?;
    let root = [
        edited,
        empty,
        entry("large", Node::Directory { tree: large }),
        entry("link", Node::Symlink { target: b"long"[..].into() }),
        long,
        paged,
        entry("shared", Node::Directory { tree: shared }),
        entry("small", Node::Directory { tree: small }),
    ];
    let root = worker.put(Kind::Tree, &tree::encode(&root))?;
    let groups = vec![vec![b"small/0"[..].into(), b"small/1"[..].into()]];
    let links = worker.put(Kind::Links, &links::encode(groups))?;
    let xattr = worker.put(Kind::Blob, &noise(77, 600))?;
    let snapshot = snapshot(name, root, Some(links), xattr, parent);
    worker.put(Kind::Snapshot, &snapshot.encode())
}

/// Publishes a table of refs after each of the first jobs.
fn publish_refs(repository: &Repository, job: u64) {
    let (name, id, kind) = match job {
        // What a ref leads to is needed, though the job that holds it is forgotten.
        1 => {
            let web = repository.job(1).expect("job").expect("there").projects["web"];
            ("pin/web", web, Kind::Snapshot)
        }
        2 => ("tag/loose", object_id(Kind::Blob, &noise(1000, 300)), Kind::Blob),
        _ => return,
    };
    let change = Change::Set(RefTarget { id, kind });
    let update = RefUpdate { name: name.to_owned(), expected: UpdateExpected::Absent, change };
    update_refs(repository, &[update]).expect("refs");
}

/// Three jobs of two projects, each job in packs and segments of its own; objects that are stored as
/// differences, loose objects, refs, a generation, a forgotten project.
pub(super) fn build(path: &Path) -> Fixture {
    let chunker =
        ChunkerParameters { min_bytes: 64 << 10, normal_bytes: 256 << 10, max_bytes: 1 << 20 };
    let options =
        InitOptions { created: "2026-11-22T00:00:00Z".into(), chunker, ..InitOptions::default() };
    let repository = Repository::init(path, &options).expect("init");
    // As of a prune before the first job.
    let generation = Generation { number: 1, ..Generation::default() };
    fs::write(path.join("gc/00000001"), control::encode(&generation)).expect("generation");
    let mut expected = Expected::new();
    let mut parents: BTreeMap<String, Id> = BTreeMap::new();
    for job in 1..=JOBS {
        let session = repository.write_session().expect("session");
        let mut sink = LooseSink::new(repository.store(), session.id());
        let loose: Vec<_> = (0..2_u64)
            .map(|number| {
                let bytes = noise(number + 1000, 300 + 2000 * size(number));
                let id = sink.put(Kind::Blob, &bytes).expect("loose");
                (format!("loose{number}"), bytes, id)
            })
            .collect();
        let options = InsertOptions::new(1, Compression::default());
        let inserter = Inserter::new(repository.store(), session.id(), options);
        let put = |worker: &mut Worker<'_>| {
            ["app", "web"]
                .into_iter()
                .map(|name| {
                    let parent = parents.get(name).copied();
                    let id = project(worker, &mut expected, &loose, (job, name), parent)?;
                    Ok((name.to_owned(), id))
                })
                .collect::<Result<BTreeMap<_, _>, WriteError>>()
        };
        let (projects, _) = inserter.run_one(put).expect("stored");
        parents = projects.clone();
        assert_eq!(session.publish(&projects).expect("published"), job);
        publish_refs(&repository, job);
    }
    fs::create_dir(path.join("forgotten/00000001")).expect("directory");
    fs::write(path.join("forgotten/00000001/web"), b"").expect("forgotten");
    expected.retain(|(job, project, _), _| !(*job == 1 && project == "web"));
    Fixture { path: path.to_owned(), expected }
}

/// Makes a second repository of the same files, with a copy of the one that is to be damaged.
pub(super) fn link_tree(from: &Path, to: &Path, copied: &Path) {
    fs::create_dir(to).expect("directory");
    for entry in fs::read_dir(from).expect("list").map(|entry| entry.expect("entry")) {
        let to = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            link_tree(&entry.path(), &to, copied);
        } else if entry.path() == copied {
            fs::copy(entry.path(), &to).expect("copy");
        } else {
            fs::hard_link(entry.path(), &to).expect("link");
        }
    }
}
