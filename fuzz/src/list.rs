//! Lists of long objects, and their pages.

use runup::base::kind::Kind;
use runup::format::list::{
    List, ListProof, Section, Segment, decode_segment_page, decode_value_page, id_of_unpaged,
};

/// Zeros that are hashed here at most: to prove a list means to hash those that it claims.
const ZEROS_MAX: u64 = 4 << 20;

/// Whether the bytes behind the first, which chooses the kind, are a list or a page of one.
pub fn check(bytes: &[u8]) -> bool {
    let Some((choice, bytes)) = bytes.split_first() else { return false };
    let kind = Kind::ALL[usize::from(*choice) % Kind::ALL.len()];
    is_list(kind, bytes) | is_segment_page(kind, bytes) | is_value_page(bytes)
}

fn is_list(kind: Kind, bytes: &[u8]) -> bool {
    let Ok(list) = List::decode(bytes) else { return false };
    assert_eq!(list.encode(), bytes, "a second encoding of one list");
    if let Section::Inline(segments) = &list.segments
        && zeros(segments) <= ZEROS_MAX
        && let Some(id) = id_of_unpaged(&list, kind)
    {
        assert_eq!(id_of_unpaged(&list, kind), Some(id));
        let longer = List { length_bytes: list.length_bytes.wrapping_add(1), ..list };
        assert_eq!(id_of_unpaged(&longer, kind), None, "a length that is not that of the segments");
    }
    true
}

fn zeros(segments: &[Segment]) -> u64 {
    let zeros = |segment: &Segment| match segment {
        Segment::Zeros { length_bytes } => *length_bytes,
        Segment::Chunk { .. } => 0,
    };
    segments.iter().map(zeros).fold(0, u64::saturating_add)
}

fn is_segment_page(kind: Kind, bytes: &[u8]) -> bool {
    let Ok(segments) = decode_segment_page(bytes) else { return false };
    assert!(!segments.is_empty());
    assert!(segments.iter().all(|segment| segment.length_bytes() > 0));
    if zeros(&segments) <= ZEROS_MAX {
        // However long the chunks claim to be, so many values are asked for and no more.
        let mut values = 1000;
        let mut value = || {
            values -= 1;
            if values > 0 { Ok([7; 32]) } else { Err("enough") }
        };
        let mut proof = ListProof::new(kind, u64::MAX);
        let taken = segments
            .iter()
            .try_for_each(|segment| proof.segment(segment, &|what| what, &mut value));
        let _id = taken.and_then(|()| proof.finish(&mut value));
    }
    let values = Section::Inline(Vec::new());
    let list = List { length_bytes: 0, segments: Section::Inline(segments), values }.encode();
    assert!(list.windows(bytes.len()).any(|part| part == bytes), "a second encoding of one page");
    true
}

fn is_value_page(bytes: &[u8]) -> bool {
    let Ok(values) = decode_value_page(bytes) else { return false };
    assert_eq!(values.concat(), bytes);
    true
}
