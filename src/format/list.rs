//! Lists: how an object longer than the longest chunk is stored, under its own id.
//!
//! Invariant: a list proves itself: the chaining values in it combine to the id of the object.
//! Format: runup-repository(5), LISTS.

use blake3::hazmat::ChainingValue;

use super::chunker::is_zero;
use super::codec::{DecodeError, Reader, put_length, put_varint};
use crate::base::hash::{PieceTree, piece_value};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::PIECE_BYTES;
use crate::base::zeros::zeros;

/// One stretch of a long object, as its list tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// A chunk, stored under its own id.
    Chunk {
        /// The chunk.
        id: Id,
        /// Its bytes.
        length_bytes: u64,
    },
    /// A run of zero bytes.
    Zeros {
        /// Its bytes.
        length_bytes: u64,
    },
}

impl Segment {
    /// Bytes of the object that the segment stands for.
    pub const fn length_bytes(&self) -> u64 {
        match self {
            Self::Chunk { length_bytes, .. } | Self::Zeros { length_bytes } => *length_bytes,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Chunk { id, length_bytes } => {
                put_varint(out, length_bytes << 1);
                out.extend_from_slice(id.as_bytes());
            }
            Self::Zeros { length_bytes } => put_varint(out, length_bytes << 1 | 1),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.error("empty segment");
        let head = reader.varint()?;
        let length_bytes = head >> 1;
        match (length_bytes, head & 1) {
            (0, _) => Err(at),
            (_, 1) => Ok(Self::Zeros { length_bytes }),
            _ => Ok(Self::Chunk { id: reader.id()?, length_bytes }),
        }
    }
}

/// Either the records of a section themselves, or the pages that hold them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section<T> {
    /// The records, in order.
    Inline(Vec<T>),
    /// Ids of the pages, in order.
    Paged(Vec<Id>),
}

/// A decoded list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Bytes of the object.
    pub length_bytes: u64,
    /// The stretches of the object, in order.
    pub segments: Section<Segment>,
    /// The chaining values of its pieces, in order, without those of pieces that are a full MiB of
    /// zero bytes: these anyone can compute.
    pub values: Section<ChainingValue>,
}

/// Chaining values on one page.
const PAGE_VALUES: usize = 1024;
/// A page of segments ends after a chunk whose id has these low bits zero: 1,024 on average.
const PAGE_CUT_MASK: u16 = 0x3ff;
/// Most segments on one page.
const PAGE_SEGMENTS_MAX: usize = 8192;

impl List {
    /// Encodes the list.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.length_bytes);
        match &self.segments {
            Section::Inline(segments) => {
                out.push(0);
                put_length(&mut out, segments.len());
                segments.iter().for_each(|segment| segment.encode(&mut out));
            }
            Section::Paged(pages) => put_pages(&mut out, pages),
        }
        match &self.values {
            Section::Inline(values) => {
                out.push(0);
                put_length(&mut out, values.len());
                values.iter().for_each(|value| out.extend_from_slice(value));
            }
            Section::Paged(pages) => put_pages(&mut out, pages),
        }
        out
    }

    /// Decodes a list.
    ///
    /// # Errors
    ///
    /// The bytes are not the one encoding of a list. Whether its segments add up to its length, and
    /// its values to the id, is for the reader of the object to see.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let length_bytes = reader.varint()?;
        let segments = decode_section(&mut reader, 1, Segment::decode)?;
        let values = decode_section(&mut reader, 32, |reader| reader.array())?;
        reader.finish()?;
        Ok(Self { length_bytes, segments, values })
    }
}

fn put_pages(out: &mut Vec<u8>, pages: &[Id]) {
    out.push(1);
    put_length(out, pages.len());
    pages.iter().for_each(|page| out.extend_from_slice(page.as_bytes()));
}

fn decode_section<T>(
    reader: &mut Reader<'_>,
    bytes_each: usize,
    decode: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Section<T>, DecodeError> {
    let at = reader.error("unknown form of section");
    match reader.u8()? {
        0 => {
            let count = reader.count(bytes_each)?;
            (0..count).map(|_| decode(reader)).collect::<Result<_, _>>().map(Section::Inline)
        }
        1 => {
            let count = reader.count(Id::BYTES)?;
            (0..count).map(|_| reader.id()).collect::<Result<_, _>>().map(Section::Paged)
        }
        _ => Err(at),
    }
}

/// Decodes a page of segments.
///
/// # Errors
///
/// The bytes are not whole segments, or none.
pub fn decode_segment_page(bytes: &[u8]) -> Result<Vec<Segment>, DecodeError> {
    decode_page(bytes, Segment::decode)
}

/// Decodes a page of chaining values.
///
/// # Errors
///
/// The bytes are not whole values, or none.
pub fn decode_value_page(bytes: &[u8]) -> Result<Vec<ChainingValue>, DecodeError> {
    decode_page(bytes, |reader| reader.array())
}

fn decode_page<T>(
    bytes: &[u8],
    decode: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut records = vec![decode(&mut reader)?];
    while !reader.is_at_end() {
        records.push(decode(&mut reader)?);
    }
    Ok(records)
}

/// Combines the values of a list to the id that they prove, segment by segment.
#[derive(Debug)]
pub struct ListProof {
    kind: Kind,
    length_bytes: u64,
    end: u64,
    pieces: u64,
    tree: PieceTree,
}

impl ListProof {
    /// Starts the proof of the list of an object of this kind and length.
    pub fn new(kind: Kind, length_bytes: u64) -> Self {
        Self { kind, length_bytes, end: 0, pieces: 0, tree: PieceTree::new(kind) }
    }

    /// Takes the next segment. `value` gives the next value of the list, `fail` makes an error.
    ///
    /// # Errors
    ///
    /// Whatever `value` returns; the segments are longer than the object.
    pub fn segment<E>(
        &mut self,
        segment: &Segment,
        fail: &impl Fn(&'static str) -> E,
        value: &mut impl FnMut() -> Result<ChainingValue, E>,
    ) -> Result<(), E> {
        let piece_bytes = PIECE_BYTES as u64;
        let start = self.end;
        let end = start.checked_add(segment.length_bytes());
        self.end = end.ok_or_else(|| fail("length overflow"))?;
        if self.end > self.length_bytes {
            return Err(fail("segments are longer than the object"));
        }
        let zero_pieces = match segment {
            Segment::Zeros { .. } => start.div_ceil(piece_bytes)..self.end / piece_bytes,
            Segment::Chunk { .. } => 0..0,
        };
        while (self.pieces + 1).saturating_mul(piece_bytes) <= self.end {
            self.tree.push(if zero_pieces.contains(&self.pieces) {
                piece_value(self.kind, self.pieces, zeros())
            } else {
                value()?
            });
            self.pieces += 1;
        }
        Ok(())
    }

    /// The id that all segments and values prove; `None` if they do not add up to the object.
    ///
    /// # Errors
    ///
    /// Whatever `value` returns.
    pub fn finish<E>(
        mut self,
        value: &mut impl FnMut() -> Result<ChainingValue, E>,
    ) -> Result<Option<Id>, E> {
        if !self.end.is_multiple_of(PIECE_BYTES as u64) {
            self.tree.push(value()?);
        }
        Ok(if self.end == self.length_bytes { self.tree.finish() } else { None })
    }
}

/// The id that a list proves by itself; `None` if it is damaged, or has pages.
pub fn id_of_unpaged(list: &List, kind: Kind) -> Option<Id> {
    let (Section::Inline(segments), Section::Inline(values)) = (&list.segments, &list.values)
    else {
        return None;
    };
    let mut values = values.iter().copied();
    let mut next = || values.next().ok_or(());
    let mut proof = ListProof::new(kind, list.length_bytes);
    for segment in segments {
        proof.segment(segment, &|_| (), &mut next).ok()?;
    }
    let id = proof.finish(&mut next).ok()??;
    values.next().is_none().then_some(id)
}

/// Builds the list of an object from its stretches and bytes, page by page.
///
/// Holds one page of each sort, the ids of earlier pages, and one hash state.
#[derive(Debug)]
pub struct ListBuilder {
    kind: Kind,
    length_bytes: u64,
    segments: Vec<Segment>,
    segment_pages: Vec<Id>,
    values: Vec<ChainingValue>,
    value_pages: Vec<Id>,
    tree: PieceTree,
    piece: Vec<u8>,
    pieces: u64,
}

impl ListBuilder {
    /// Starts the list of an object of this kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            length_bytes: 0,
            segments: Vec::new(),
            segment_pages: Vec::new(),
            values: Vec::new(),
            value_pages: Vec::new(),
            tree: PieceTree::new(kind),
            piece: Vec::new(),
            pieces: 0,
        }
    }

    /// Hashes the next bytes of the object. `page` stores a page and returns its id.
    ///
    /// # Errors
    ///
    /// Whatever `page` returns.
    pub fn hash<E>(
        &mut self,
        mut bytes: &[u8],
        page: &mut impl FnMut(&[u8]) -> Result<Id, E>,
    ) -> Result<(), E> {
        self.length_bytes += bytes.len() as u64;
        if !self.piece.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(head);
            bytes = rest;
            if self.piece.len() == PIECE_BYTES {
                let mut piece = std::mem::take(&mut self.piece);
                self.end_piece(&piece, page)?;
                piece.clear();
                self.piece = piece;
            }
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % PIECE_BYTES);
        for piece in whole.chunks(PIECE_BYTES) {
            self.end_piece(piece, page)?;
        }
        self.piece.extend_from_slice(rest);
        Ok(())
    }

    fn end_piece<E>(
        &mut self,
        piece: &[u8],
        page: &mut impl FnMut(&[u8]) -> Result<Id, E>,
    ) -> Result<(), E> {
        let value = piece_value(self.kind, self.pieces, piece);
        self.tree.push(value);
        self.pieces += 1;
        if piece.len() < PIECE_BYTES || !is_zero(piece) {
            self.values.push(value);
        }
        if self.values.len() == PAGE_VALUES {
            self.value_pages.push(page(&self.values.concat())?);
            self.values.clear();
        }
        Ok(())
    }

    /// Adds the next segment. Segments and bytes need not keep step.
    ///
    /// # Errors
    ///
    /// Whatever `page` returns.
    pub fn segment<E>(
        &mut self,
        segment: Segment,
        page: &mut impl FnMut(&[u8]) -> Result<Id, E>,
    ) -> Result<(), E> {
        self.segments.push(segment);
        let cut = match segment {
            Segment::Chunk { id, .. } => {
                let [low, high, ..] = *id.as_bytes();
                u16::from_le_bytes([low, high]) & PAGE_CUT_MASK == 0
            }
            Segment::Zeros { .. } => false,
        };
        if cut || self.segments.len() == PAGE_SEGMENTS_MAX {
            self.end_segment_page(page)?;
        }
        Ok(())
    }

    fn end_segment_page<E>(
        &mut self,
        page: &mut impl FnMut(&[u8]) -> Result<Id, E>,
    ) -> Result<(), E> {
        let mut bytes = Vec::new();
        self.segments.drain(..).for_each(|segment| segment.encode(&mut bytes));
        self.segment_pages.push(page(&bytes)?);
        Ok(())
    }

    /// Ends the last page of segments, where there are pages; after the last segment.
    ///
    /// # Errors
    ///
    /// Whatever `page` returns.
    pub fn end_segments<E>(
        &mut self,
        page: &mut impl FnMut(&[u8]) -> Result<Id, E>,
    ) -> Result<(), E> {
        let is_open = !self.segment_pages.is_empty() && !self.segments.is_empty();
        if is_open { self.end_segment_page(page) } else { Ok(()) }
    }

    /// Ends the object: its id and list, or `None` if it has no more than one piece and so no list.
    ///
    /// # Errors
    ///
    /// Whatever `page` returns.
    pub fn finish<E>(
        mut self,
        page: &mut impl FnMut(&[u8]) -> Result<Id, E>,
    ) -> Result<Option<(Id, List)>, E> {
        let last = std::mem::take(&mut self.piece);
        if !last.is_empty() {
            self.end_piece(&last, page)?;
        }
        self.end_segments(page)?;
        let segments = match self.segment_pages.is_empty() {
            true => Section::Inline(std::mem::take(&mut self.segments)),
            false => Section::Paged(self.segment_pages),
        };
        let values = if self.value_pages.is_empty() {
            Section::Inline(self.values)
        } else {
            if !self.values.is_empty() {
                self.value_pages.push(page(&self.values.concat())?);
            }
            Section::Paged(self.value_pages)
        };
        let list = List { length_bytes: self.length_bytes, segments, values };
        Ok(self.tree.finish().map(|id| (id, list)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[expect(clippy::unnecessary_wraps, reason = "it stands for a sink that may fail")]
    fn no_page(_: &[u8]) -> Result<Id, Infallible> {
        Ok(Id::from_bytes([9; 32]))
    }

    fn built(bytes: &[u8]) -> (Id, List) {
        let mut builder = ListBuilder::new(Kind::Blob);
        for part in bytes.chunks(700_001) {
            builder.hash(part, &mut no_page).unwrap_or_else(|never| match never {});
            let segment =
                Segment::Chunk { id: Id::from_bytes([7; 32]), length_bytes: part.len() as u64 };
            builder.segment(segment, &mut no_page).unwrap_or_else(|never| match never {});
        }
        let finished = builder.finish(&mut no_page).unwrap_or_else(|never| match never {});
        finished.expect("more than one piece")
    }

    #[test]
    fn lists_round_trip_and_carry_the_id_of_the_bytes() {
        let mut bytes: Vec<u8> = (0..5 * PIECE_BYTES + 3).map(|i| (i / 7) as u8).collect();
        bytes[PIECE_BYTES..3 * PIECE_BYTES].fill(0);
        let (id, list) = built(&bytes);
        assert_eq!(id, crate::base::hash::object_id(Kind::Blob, &bytes));
        assert_eq!(list.length_bytes, bytes.len() as u64);
        let Section::Inline(values) = &list.values else { panic!("inline") };
        assert_eq!(values.len(), 4, "two of six pieces are zero");
        let encoded = list.encode();
        assert_eq!(List::decode(&encoded), Ok(list));
        for length in 0..encoded.len() {
            assert!(List::decode(&encoded[..length]).is_err());
        }
    }

    #[test]
    fn a_list_proves_its_id_and_no_other_list_does() {
        let mut bytes: Vec<u8> = (0..5 * PIECE_BYTES + 3).map(|i| (i / 7) as u8).collect();
        bytes[PIECE_BYTES..3 * PIECE_BYTES].fill(0);
        let (id, list) = built(&bytes);
        let chunk = |pieces: usize, more: usize| Segment::Chunk {
            id: Id::from_bytes([7; 32]),
            length_bytes: (pieces * PIECE_BYTES + more) as u64,
        };
        let zeros = |pieces: usize| Segment::Zeros { length_bytes: (pieces * PIECE_BYTES) as u64 };
        let of = |segments: &[Segment]| {
            let segments = Section::Inline(segments.to_vec());
            id_of_unpaged(&List { segments, ..list.clone() }, Kind::Blob)
        };
        assert_eq!(of(&[chunk(1, 0), zeros(2), chunk(2, 3)]), Some(id));
        assert_eq!(of(&[chunk(1, 0), zeros(1), zeros(1), chunk(2, 3)]), Some(id));
        for other in [
            vec![chunk(1, 0), zeros(2), chunk(2, 2)],
            vec![chunk(1, 0), zeros(2), chunk(2, 4)],
            vec![chunk(1, 0), chunk(2, 0), chunk(2, 3)],
            vec![chunk(1, 0), zeros(1), chunk(3, 3)],
        ] {
            assert_eq!(of(&other), None, "{other:?}");
        }
        assert!(of(&[zeros(1), chunk(1, 0), zeros(1), chunk(2, 3)]).is_some_and(|of| of != id));
    }

    #[test]
    fn hostile_counts_are_refused_before_anything_is_allocated() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 1 << 40);
        bytes.push(0);
        put_varint(&mut bytes, u64::MAX);
        assert!(List::decode(&bytes).is_err());
        assert!(decode_segment_page(&[]).is_err());
        assert!(decode_value_page(&[0; 31]).is_err());
    }
}
