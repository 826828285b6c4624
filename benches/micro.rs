//! What the parts cost that every backup, restore and check is made of: `cargo bench`.
//!
//! Inputs are made here, from fixed seeds: source-like text, noise, and an index of a million ids.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use runup::base::hash::{PieceTree, object_id, piece_value};
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::limits::{CONTENT_FRAME_BYTES_TARGET, PIECE_BYTES};
use runup::base::time::FileTime;
use runup::format::chunker::{Chunker, ChunkerParameters, Segmenter, Stretch};
use runup::format::compress::{Codec, Compression, Compressor, Decompressor, decompress_delta};
use runup::format::index::{Index, IndexBuilder, PackRecord};
use runup::format::pack::{FrameObject, FramePlace, FrameRecord};
use runup::format::tree::{self, Entry, Metadata, Node};

/// Pseudo-random bytes: the output of BLAKE3 for a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Text of words and numbers that shrinks about as much as source code does.
fn text(seed: u64, length: usize) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "let ", "mut ", "self.", "fn ", "return ", "if ", "else ", "for ", "in ", " = ", "(", ")",
        ";\n    ", " {\n", "}\n", "index", "frame", "object", "bytes", "length", "offset",
        ".len()", "::new(", "Result<",
    ];
    let mut out = Vec::with_capacity(length + 64);
    for dice in noise(seed, length) {
        match dice {
            0..=215 => out.extend_from_slice(WORDS[usize::from(dice) % WORDS.len()].as_bytes()),
            _ => out.extend_from_slice(format!("_{:x}", u32::from(dice) * 2_654_435).as_bytes()),
        }
        if out.len() >= length {
            break;
        }
    }
    out.truncate(length);
    out
}

fn bytes(count: usize) -> Throughput {
    Throughput::Bytes(count as u64)
}

fn chunking(criterion: &mut Criterion) {
    let input = noise(1, 32 << 20);
    let mut group = criterion.benchmark_group("chunker");
    group.throughput(bytes(input.len()));
    group.bench_function("cut noise", |bencher| {
        let chunker = Chunker::new(ChunkerParameters::default());
        bencher.iter(|| {
            let mut segmenter = Segmenter::new(chunker.clone());
            let mut chunks = 0;
            let mut count = |_: Stretch<'_>| -> Result<(), std::convert::Infallible> {
                chunks += 1;
                Ok(())
            };
            for part in input.chunks(1 << 20) {
                let Ok(()) = segmenter.feed(part, &mut count);
            }
            let Ok(()) = segmenter.finish(&mut count);
            chunks
        });
    });
    group.finish();
}

fn hashing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash");
    for length in [100, 4 << 10, 64 << 10, PIECE_BYTES] {
        let input = noise(2, length);
        group.throughput(bytes(length));
        group.bench_function(format!("object of {length} bytes"), |bencher| {
            bencher.iter(|| object_id(Kind::Blob, black_box(&input)));
        });
    }
    let input = noise(3, 16 * PIECE_BYTES);
    group.throughput(bytes(input.len()));
    group.bench_function("16 pieces, joined", |bencher| {
        bencher.iter(|| {
            let mut tree = PieceTree::new(Kind::Blob);
            for (number, piece) in (0..).zip(input.chunks(PIECE_BYTES)) {
                tree.push(piece_value(Kind::Blob, number, piece));
            }
            tree.finish()
        });
    });
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    group.sample_size(20);
    let mut compressor = Compressor::new(Compression::default()).expect("the default level");
    for (name, raw) in [
        ("text", text(4, CONTENT_FRAME_BYTES_TARGET)),
        ("noise", noise(5, CONTENT_FRAME_BYTES_TARGET)),
    ] {
        let mut stored = Vec::new();
        group.throughput(bytes(raw.len()));
        group.bench_function(format!("encode {name}, decoded and compared"), |bencher| {
            bencher.iter(|| compressor.compress(&raw, &mut stored).expect("compresses"));
        });
        let codec = compressor.compress(&raw, &mut stored).expect("compresses");
        let (mut decompressor, mut back) = (Decompressor::default(), Vec::new());
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter(|| {
                decompressor.decompress(codec, &stored, raw.len(), &mut back).expect("decodes");
            });
        });
    }
    let base = text(6, 1 << 20);
    let mut object = base.clone();
    object[500_000..504_096].copy_from_slice(&noise(7, 4096));
    let mut stored = Vec::new();
    group.throughput(bytes(object.len()));
    group.bench_function("encode a chunk as a delta, decoded and compared", |bencher| {
        bencher
            .iter(|| compressor.compress_delta(&base, &object, &mut stored).expect("compresses"));
    });
    let mut back = Vec::new();
    group.bench_function("decode it", |bencher| {
        bencher
            .iter(|| decompress_delta(&base, &stored, object.len(), &mut back).expect("decodes"));
    });
    group.finish();
}

fn id(number: u32) -> Id {
    object_id(Kind::Blob, &number.to_le_bytes())
}

/// A segment of so many objects of 8 KiB, 250 in a frame.
fn segment(count: u32) -> Vec<u8> {
    let mut builder = IndexBuilder::default();
    for (number, first) in (0..count).step_by(250_000).enumerate() {
        let frames: Vec<FrameRecord> = (first..count.min(first + 250_000))
            .step_by(250)
            .map(|first| {
                let object =
                    |n| FrameObject { id: id(n), kind: Kind::Blob, is_list: false, length: 8192 };
                FrameRecord {
                    place: FramePlace {
                        offset: u64::from(first) << 12,
                        stored_length: 600_000,
                        raw_length: 3 << 20,
                        codec: Codec::Zstd,
                    },
                    checksum: [0; 16],
                    objects: (first..count.min(first + 250)).map(object).collect(),
                    bases: Vec::new(),
                }
            })
            .collect();
        let name = Id::from_bytes([number as u8; 32]);
        builder.add_pack(PackRecord { name, length_bytes: 64 << 20 }, &frames);
    }
    builder.encode([1; 16])
}

fn index(criterion: &mut Criterion) {
    const COUNT: u32 = 1_000_000;
    let bytes = segment(COUNT);
    let index = Index::open(&bytes).expect("an index");
    let mut group = criterion.benchmark_group("index of a million");
    let mut number = 0_u32;
    let mut next = move || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        number
    };
    group.throughput(Throughput::Elements(1));
    group.bench_function("find what is there, and its place", |bencher| {
        bencher.iter_batched(
            || id(next() % COUNT),
            |id| index.place(index.find(&id).start),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("find that nothing is there", |bencher| {
        bencher.iter_batched(
            || id(COUNT + next() % COUNT),
            |id| index.find(&id).is_empty(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn trees(criterion: &mut Criterion) {
    const ENTRIES: u32 = 1000;
    let entry = |number: u32| Entry {
        name: format!("module_{number:04}.rs").into_bytes().into(),
        metadata: Metadata {
            mode: 0o644,
            uid: 1000,
            gid: 1000,
            mtime: FileTime {
                seconds: 1_700_000_000 + i64::from(number),
                nanoseconds: 123_456_789,
            },
            xattrs: Vec::new(),
        },
        node: Node::File { size_bytes: u64::from(number) * 7, id: id(number) },
    };
    let entries: Vec<Entry> = (0..ENTRIES).map(entry).collect();
    let encoded = tree::encode(&entries);
    let mut group = criterion.benchmark_group("tree of 1,000 entries");
    group.throughput(Throughput::Elements(u64::from(ENTRIES)));
    group.bench_function("encode", |bencher| bencher.iter(|| tree::encode(black_box(&entries))));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| tree::entries(black_box(&encoded)).flatten().count());
    });
    group.finish();
}

criterion_group!(benches, chunking, hashing, frames, index, trees);
criterion_main!(benches);
