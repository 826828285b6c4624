//! Long objects in parts that prove themselves, so that several threads read one object.
//!
//! Invariant: no byte of a piece is handed out before the whole piece was found to have the chaining
//! value that the object's proved list tells.

use std::io;

use blake3::hazmat::ChainingValue;

use super::read::{LongReader, ObjectBytes, Stored, Values};
use super::{ReadError, Store};
use crate::base::hash::piece_value_of;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{FRAME_OBJECT_BYTES_MAX, PIECE_BYTES};
use crate::base::zeros::zeros;
use crate::format::codec::DecodeError;
use crate::format::list::{List, Segment};

/// Pieces of one part.
const PART_PIECES: usize = 8;

/// Consecutive pieces of a long object, at most 8 MiB.
#[derive(Debug, Default)]
pub struct Part {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    number: u64,
    sources: Vec<Source>,
    value: ChainingValue,
}

/// Where a stretch of a piece comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// Bytes of a chunk, from one to before another.
    Chunk { id: Id, length_bytes: usize, from: usize, to: usize },
    /// This many zero bytes.
    Zeros(usize),
}

impl Source {
    const fn length_bytes(&self) -> usize {
        match self {
            Self::Chunk { from, to, .. } => *to - *from,
            Self::Zeros(count) => *count,
        }
    }
}

/// Bytes of a source, found in a frame.
enum SourceBytes {
    Chunk(ObjectBytes, usize, usize),
    Zeros(usize),
}

impl SourceBytes {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Chunk(chunk, from, to) => chunk.get(*from..*to).unwrap_or_default(),
            Self::Zeros(count) => zeros().get(..*count).unwrap_or_default(),
        }
    }
}

impl Store {
    /// Cuts a long object into parts, in order, without pieces that are nothing but a run of zeros.
    /// [`Store::prove`] must have found the list to be that of the id.
    ///
    /// # Errors
    ///
    /// A page of the list is missing or damaged, or whatever `each` returns.
    pub fn for_each_part(
        &self,
        id: &Id,
        kind: Kind,
        list: &List,
        each: &mut dyn FnMut(Part) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let reader = LongReader { store: self, id: *id, kind, list };
        let mut cutter = Cutter {
            reader: &reader,
            values: Values::new(&reader),
            part: Part::default(),
            sources: Vec::new(),
            gathered: 0,
            number: 0,
            each,
        };
        self.for_each_segment(list, |segment| cutter.segment(&segment))?;
        cutter.finish()
    }

    /// Reads a part of the long object `id` and hands out its bytes with their offsets in the object.
    /// Runs of zeros are left out.
    ///
    /// # Errors
    ///
    /// A chunk is missing or damaged, or the chunks are not the bytes of the object;
    /// [`ReadError::Sink`] with what `sink` returned.
    pub fn read_part(
        &self,
        id: &Id,
        kind: Kind,
        part: &Part,
        sink: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        for piece in &part.pieces {
            let mut at = piece.number * PIECE_BYTES as u64;
            for bytes in self.read_piece(id, kind, piece)? {
                if let SourceBytes::Chunk(..) = bytes {
                    sink(at, bytes.bytes()).map_err(ReadError::Sink)?;
                }
                at += bytes.bytes().len() as u64;
            }
        }
        Ok(())
    }

    fn read_piece(
        &self,
        id: &Id,
        kind: Kind,
        piece: &Piece,
    ) -> Result<Vec<SourceBytes>, ReadError> {
        // The value proves chunks as well as their ids do. These are asked only to find other copies,
        // or to tell which chunk is damaged.
        for by_id in [false, true] {
            let find = |source: &Source| self.source_bytes(kind, source, by_id);
            let found = piece.sources.iter().map(find).collect::<Result<Vec<_>, _>>();
            match found {
                Ok(sources) => {
                    let parts = sources.iter().map(SourceBytes::bytes);
                    if piece_value_of(kind, piece.number, parts) == piece.value {
                        return Ok(sources);
                    }
                }
                Err(error) if by_id => return Err(error),
                Err(_) => {}
            }
        }
        let source = DecodeError { what: "chunks are not the bytes of the object", offset: 0 };
        Err(ReadError::Damaged { id: *id, kind, file: "its list".into(), source })
    }

    fn source_bytes(
        &self,
        kind: Kind,
        source: &Source,
        by_id: bool,
    ) -> Result<SourceBytes, ReadError> {
        let (id, length_bytes, from, to) = match *source {
            Source::Zeros(count) => return Ok(SourceBytes::Zeros(count)),
            Source::Chunk { id, length_bytes, from, to } => (id, length_bytes, from, to),
        };
        let kind = kind.chunk_kind();
        if !by_id
            && let Some(found) = self.first_place(&id)
            && (found.place.kind, found.place.is_list) == (kind, false)
            && found.place.base.is_none()
            && found.place.length as usize == length_bytes
        {
            let frame = self.frames().read(&found.pack.name, &found.place.frame)?;
            let start = found.place.offset as usize;
            let chunk = ObjectBytes { frame, range: start..start + length_bytes };
            return Ok(SourceBytes::Chunk(chunk, from, to));
        }
        match self.load(&id, kind)? {
            Stored::Whole(chunk) if chunk.len() == length_bytes => {
                Ok(SourceBytes::Chunk(chunk, from, to))
            }
            _ => {
                let what = "chunk of another length than its list says";
                let source = DecodeError { what, offset: 0 };
                Err(ReadError::Damaged { id, kind, file: "its list".into(), source })
            }
        }
    }
}

/// Cuts the segments of a list into pieces, and these into parts.
struct Cutter<'a, 'e> {
    reader: &'a LongReader<'a>,
    values: Values<'a>,
    part: Part,
    /// Of the piece that is not full yet.
    sources: Vec<Source>,
    gathered: usize,
    number: u64,
    each: &'e mut dyn FnMut(Part) -> Result<(), ReadError>,
}

impl Cutter<'_, '_> {
    fn segment(&mut self, segment: &Segment) -> Result<(), ReadError> {
        match *segment {
            Segment::Zeros { length_bytes } => self.zeros(length_bytes),
            Segment::Chunk { id, length_bytes } => {
                if length_bytes > FRAME_OBJECT_BYTES_MAX as u64 {
                    return Err(self.reader.damaged("chunk over the limit"));
                }
                let length_bytes = length_bytes as usize;
                let mut from = 0;
                while from < length_bytes {
                    let to = length_bytes.min(from + PIECE_BYTES - self.gathered);
                    self.source(Source::Chunk { id, length_bytes, from, to })?;
                    from = to;
                }
                Ok(())
            }
        }
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), ReadError> {
        let piece_bytes = PIECE_BYTES as u64;
        while count > 0 {
            if self.gathered == 0 && count >= piece_bytes {
                // Pieces of nothing but zeros have no value in the list: they prove themselves.
                self.number += count / piece_bytes;
                count %= piece_bytes;
            } else {
                let room = PIECE_BYTES - self.gathered;
                let take = usize::try_from(count).unwrap_or(usize::MAX).min(room);
                self.source(Source::Zeros(take))?;
                count -= take as u64;
            }
        }
        Ok(())
    }

    fn source(&mut self, source: Source) -> Result<(), ReadError> {
        self.sources.push(source);
        self.gathered += source.length_bytes();
        if self.gathered == PIECE_BYTES { self.end_piece() } else { Ok(()) }
    }

    fn end_piece(&mut self) -> Result<(), ReadError> {
        let sources = std::mem::take(&mut self.sources);
        let value = self.values.next()?;
        self.part.pieces.push(Piece { number: self.number, sources, value });
        self.number += 1;
        self.gathered = 0;
        if self.part.pieces.len() < PART_PIECES {
            return Ok(());
        }
        (self.each)(std::mem::take(&mut self.part))
    }

    fn finish(mut self) -> Result<(), ReadError> {
        if self.gathered > 0 {
            self.end_piece()?;
        }
        if self.part.pieces.is_empty() { Ok(()) } else { (self.each)(self.part) }
    }
}
