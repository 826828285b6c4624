//! How long it takes to open a repository with an index of very many objects, and to look ids up in it:
//! `cargo bench --bench scale -- 100000000`.
//!
//! The index is made here, in a temporary directory: 48 bytes an object, in segments of five million.

#![allow(clippy::print_stdout, reason = "its figures are what it is run for")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

use runup::base::hash::plain;
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::compress::Codec;
use runup::format::index::{IndexBuilder, PackRecord};
use runup::format::pack::{FrameObject, FramePlace, FrameRecord};
use runup::repository::{InitOptions, Repository};

const SEGMENT_OBJECTS: u64 = 5_000_000;
const FRAME_OBJECTS: u64 = 800;
const OBJECT_BYTES: u32 = 10_000;
const LOOK_UPS: u64 = 100_000;

fn id(number: u64) -> Id {
    Id::from_bytes(plain(&number.to_le_bytes()))
}

/// A segment that covers one pack with these objects.
fn segment(objects: std::ops::Range<u64>) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut offset = 64;
    let mut next = objects.start;
    while next < objects.end {
        let last = (next + FRAME_OBJECTS).min(objects.end);
        let object = |number| FrameObject {
            id: id(number),
            kind: Kind::Blob,
            is_list: false,
            length: OBJECT_BYTES,
        };
        let raw_length = (last - next) as u32 * (OBJECT_BYTES + 4);
        let place =
            FramePlace { offset, stored_length: raw_length, raw_length, codec: Codec::None };
        offset += place.total_length();
        let objects = (next..last).map(object).collect();
        frames.push(FrameRecord { place, checksum: [0; 16], objects, bases: Vec::new() });
        next = last;
    }
    let mut builder = IndexBuilder::default();
    let pack = PackRecord { name: id(u64::MAX - objects.start), length_bytes: offset };
    builder.add_pack(pack, &frames);
    builder.encode([7; 16])
}

/// Says how long something took for each of so many times.
fn timed<T>(what: &str, times: u64, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let value = black_box(work());
    let each = started.elapsed() / u32::try_from(times).unwrap_or(u32::MAX);
    println!("{what:42} {each:?}");
    value
}

fn resident_mib() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}

fn main() -> Result<(), Box<dyn Error>> {
    let objects = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(2_000_000_u64);
    let place = tempfile::tempdir()?;
    let path = place.path().join("repository");
    Repository::init(&path, &InitOptions::default())?;
    let mut next = 0;
    while next < objects {
        let last = (next + SEGMENT_OBJECTS).min(objects);
        let bytes = segment(next..last);
        fs::write(path.join(format!("index/{}.idx", Id::from_bytes(plain(&bytes)))), bytes)?;
        next = last;
    }
    let before = resident_mib()?;
    println!("{objects} objects in {} segments", objects.div_ceil(SEGMENT_OBJECTS));
    let repository = timed("open the repository", 1, || Repository::open(&path))?;
    let segments = repository.store().segments();
    // Every so many of them, so that all segments and all of each are met.
    let step = (objects / LOOK_UPS).max(1);
    let present: Vec<Id> = (0..objects).step_by(step as usize).map(id).collect();
    let absent: Vec<Id> = (objects..objects + LOOK_UPS).map(id).collect();
    for round in ["first", "again"] {
        let found =
            timed(&format!("find an object and its place, {round}"), present.len() as u64, || {
                present.iter().filter(|id| segments.first_place(id).is_some()).count()
            });
        let lost = timed(&format!("find that an object is absent, {round}"), LOOK_UPS, || {
            absent.iter().filter(|id| segments.first_place(id).is_none()).count()
        });
        if (found, lost as u64) != (present.len(), LOOK_UPS) {
            return Err("the index does not hold what was put into it".into());
        }
    }
    println!(
        "{:42} {} MiB",
        "memory, mapped pages included",
        resident_mib()?.saturating_sub(before)
    );
    Ok(())
}
