//! What each byte of a file is for, so that bytes of every sort are damaged.
//!
//! Invariant: the classes of a file cover it, in order and without gaps.

use std::ops::Range;

use runup::format::pack::{TRAILER_BYTES, Trailer};

use super::fixture::size;

/// A sort of bytes, and where they are.
pub(super) type Class = (&'static str, Range<usize>);

/// Lays fields of these lengths behind each other.
fn lay(classes: &mut Vec<Class>, fields: &[(&'static str, usize)]) {
    for (name, length) in fields {
        let start = classes.last().map_or(0, |(_, range)| range.end);
        if *length > 0 {
            classes.push((name, start..start + length));
        }
    }
}

/// The classes of a sound file of a repository.
pub(super) fn classes(file: &str, bytes: &[u8]) -> Vec<Class> {
    let mut classes = Vec::new();
    match file.split('/').next().unwrap_or_default() {
        "packs" => pack(&mut classes, bytes),
        "index" => index(&mut classes, bytes),
        "objects" => {
            let body = bytes.len() - 6;
            lay(&mut classes, &[("zlib header", 2), ("zlib data", body), ("zlib checksum", 4)]);
        }
        _ if bytes.is_empty() => {}
        _ => {
            let json = bytes.len() - 66;
            let fields = [("JSON", json), ("line end", 1), ("checksum", 64), ("last line end", 1)];
            lay(&mut classes, &fields);
        }
    }
    let end = classes.last().map_or(0, |(_, range)| range.end);
    assert_eq!(end, bytes.len(), "{file}");
    classes
}

fn pack(classes: &mut Vec<Class>, bytes: &[u8]) {
    let (rest, trailer) = bytes.split_at(bytes.len() - TRAILER_BYTES);
    let trailer = Trailer::decode(trailer, bytes.len() as u64).expect("a sound pack");
    let frames = trailer.decode_footer(&rest[size(trailer.offset)..]).expect("a sound pack");
    let header = [
        ("pack magic", 8),
        ("pack version", 2),
        ("pack class", 2),
        ("pack header length", 4),
        ("required flags", 4),
        ("optional flags", 4),
        ("pack salt", 16),
        ("pack header, reserved", 24),
    ];
    lay(classes, &header);
    for frame in &frames {
        let frame = [
            ("frame magic", 4),
            ("frame codec", 1),
            ("frame flags", 1),
            ("frame header length", 2),
            ("frame stored length", 4),
            ("frame raw length", 4),
            ("frame checksum", 16),
            ("frame content", frame.place.stored_length as usize),
        ];
        lay(classes, &frame);
    }
    let footer = [
        ("footer", size(trailer.length)),
        ("footer offset", 8),
        ("footer length", 8),
        ("footer hash", 32),
        ("trailer, reserved", 8),
        ("trailer magic", 8),
    ];
    lay(classes, &footer);
}

fn index(classes: &mut Vec<Class>, bytes: &[u8]) {
    let number =
        |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("header")) as usize;
    let bits = u16::from_le_bytes(*bytes[10..].first_chunk().expect("header"));
    let [packs, frames, objects, replaced, deltas] = [16, 20, 24, 48, 52].map(number);
    let fields = [
        ("index magic", 8),
        ("index version", 2),
        ("fan-out bits", 2),
        ("index flags", 4),
        ("counts", 16),
        ("index salt", 16),
        ("more counts", 8),
        ("index header, reserved", 8),
        ("replaced segments", replaced * 32),
        ("packs of an index", packs * 40),
        ("frames of an index", frames * 24),
        ("fan-out", 4 << bits),
        ("ids", objects * 32),
        ("places", objects * 16),
        ("deltas of an index", deltas * 44),
    ];
    lay(classes, &fields);
}

/// Places in a class to be damaged: its ends, and some between them.
pub(super) fn places(range: &Range<usize>, count: usize) -> Vec<usize> {
    let length = range.len();
    let mut places: Vec<usize> = match count {
        // The same for each run, and another for each class.
        1 => vec![range.start + range.start * 7 % length],
        _ => (0..count).map(|number| range.start + number * (length - 1) / (count - 1)).collect(),
    };
    places.dedup();
    places
}
