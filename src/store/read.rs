//! Reading objects: whole, or span by span.
//!
//! Invariant: no byte is handed out that was not proved to belong to the id: a whole object by its
//! hash, a long one by chaining values that combine to its id before its first byte is handed out.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use blake3::hazmat::ChainingValue;

use super::frames::pack_file;
use super::loose::loose_file;
use super::{ReadError, Store};
use crate::base::hash::{object_id, piece_value};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{
    FRAME_OBJECT_BYTES_MAX, METADATA_BYTES_MAX, OBJECT_BYTES_MAX, PIECE_BYTES,
};
use crate::base::zeros::zeros;
use crate::format::codec::DecodeError;
use crate::format::index::{PackRecord, Place};
use crate::format::list::{
    List, ListProof, Section, Segment, decode_segment_page, decode_value_page,
};

/// The bytes of a whole object, inside the frame that holds it or by themselves.
#[derive(Debug, Clone)]
pub struct ObjectBytes {
    pub(super) frame: Arc<Vec<u8>>,
    pub(super) range: Range<usize>,
}

impl ObjectBytes {
    pub(super) fn new(bytes: Arc<Vec<u8>>) -> Self {
        Self { range: 0..bytes.len(), frame: bytes }
    }
}

impl std::ops::Deref for ObjectBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.frame.get(self.range.clone()).unwrap_or_default()
    }
}

/// What is stored under an id.
#[derive(Debug, Clone)]
pub enum Stored {
    /// The object's bytes, proved by its id.
    Whole(ObjectBytes),
    /// Its list, not proved yet.
    List(List),
}

impl Stored {
    /// Bytes of the object itself.
    pub fn length_bytes(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::List(list) => list.length_bytes,
        }
    }
}

/// A stretch of an object, handed out in order.
#[derive(Debug, Clone, Copy)]
pub enum Span<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// This many zero bytes.
    Zeros(u64),
}

/// Receives the spans of an object, in order.
pub type Sink<'a> = dyn FnMut(Span<'_>) -> io::Result<()> + 'a;

impl Store {
    /// Loads what is stored under an id: the proved bytes of an object, or its list.
    ///
    /// Every place of the object is tried; if none serves, footers of packs that no sound index
    /// covers are read too.
    ///
    /// # Errors
    ///
    /// The object is missing, damaged, or of another kind; the backend fails.
    pub fn load(&self, id: &Id, kind: Kind) -> Result<Stored, ReadError> {
        match self.load_from_known_places(id, kind) {
            Err(error) if error.is_damage() && self.recover_index()? => {
                self.load_from_known_places(id, kind)
            }
            other => other,
        }
    }

    /// As [`Store::load`]; a list is proved too.
    ///
    /// # Errors
    ///
    /// As [`Store::load`], and as [`Store::prove`].
    pub fn load_proved(&self, id: &Id, kind: Kind) -> Result<Stored, ReadError> {
        let stored = self.load(id, kind)?;
        if let Stored::List(list) = &stored {
            self.prove(id, kind, list)?;
        }
        Ok(stored)
    }

    /// As [`Store::load`], but goes by what the index knows already.
    pub(super) fn load_from_known_places(&self, id: &Id, kind: Kind) -> Result<Stored, ReadError> {
        if let Some((pack, place)) = self.segments.first_place(id)
            && let Ok(stored) = self.load_place(id, kind, &pack, &place)
        {
            return Ok(stored);
        }
        let mut first_error = None;
        for (pack, place) in self.segments.places(id) {
            match self.load_place(id, kind, &pack, &place) {
                Ok(stored) => return Ok(stored),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match self.load_loose(id, kind) {
            Ok(Some(stored)) => return Ok(stored),
            Ok(None) => {}
            Err(error) => first_error = first_error.or(Some(error)),
        }
        Err(first_error.unwrap_or(ReadError::Missing { id: *id, kind }))
    }

    /// Loads one copy of an object, where it lies in a pack; the number of the pack in `place` is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// It is damaged there, or of another kind; the backend fails.
    pub fn load_copy(
        &self,
        id: &Id,
        kind: Kind,
        pack: &PackRecord,
        place: &Place,
    ) -> Result<Stored, ReadError> {
        self.load_place(id, kind, pack, place)
    }

    pub(super) fn load_place(
        &self,
        id: &Id,
        kind: Kind,
        pack: &PackRecord,
        place: &Place,
    ) -> Result<Stored, ReadError> {
        if place.kind != kind {
            return Err(ReadError::WrongKind { id: *id, expected: kind, found: place.kind });
        }
        let bytes = if place.base.is_some() {
            self.load_delta(id, kind, pack, place)?
        } else {
            let end = place.offset.saturating_add(place.length);
            let frame = self.frames.read_front(&pack.name, &place.frame, end)?;
            let start = place.offset as usize;
            ObjectBytes { frame, range: start..start + place.length as usize }
        };
        let file = || self.backend.describe(&pack_file(&pack.name));
        check(id, kind, place.is_list, bytes, file)
    }

    pub(super) fn load_loose(&self, id: &Id, kind: Kind) -> Result<Option<Stored>, ReadError> {
        let Some((loose, _)) = self.read_loose(id)? else { return Ok(None) };
        if loose.kind != kind {
            return Err(ReadError::WrongKind { id: *id, expected: kind, found: loose.kind });
        }
        let bytes = ObjectBytes::new(Arc::new(loose.bytes));
        let file = || self.backend.describe(&loose_file(id));
        check(id, kind, loose.is_list, bytes, file).map(Some)
    }

    /// Reads a whole object of metadata into memory.
    ///
    /// # Errors
    ///
    /// As [`Store::load`], and an object over 4 GiB.
    pub fn read(&self, id: &Id, kind: Kind) -> Result<Vec<u8>, ReadError> {
        let stored = self.load(id, kind)?;
        let length_bytes = stored.length_bytes();
        if length_bytes > METADATA_BYTES_MAX {
            return Err(ReadError::TooLong { id: *id, kind, length_bytes });
        }
        let mut bytes = Vec::new();
        self.stream_stored(id, kind, &stored, &mut |span| {
            match span {
                Span::Bytes(span) => bytes.extend_from_slice(span),
                // A MiB of zeros stands in no metadata; a list that claims many costs nothing to store.
                Span::Zeros(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
            Ok(())
        })
        .map_err(|error| match error {
            ReadError::Sink(_) => {
                let source = DecodeError { what: "metadata of zeros", offset: 0 };
                ReadError::Damaged { id: *id, kind, file: "its list".into(), source }
            }
            other => other,
        })?;
        Ok(bytes)
    }

    /// Hands out an object span by span, each proved before.
    ///
    /// # Errors
    ///
    /// As [`Store::load`], for the object or a chunk of it; [`ReadError::Sink`] with what `sink`
    /// returned.
    pub fn stream(&self, id: &Id, kind: Kind, sink: &mut Sink<'_>) -> Result<u64, ReadError> {
        let stored = self.load(id, kind)?;
        self.stream_stored(id, kind, &stored, sink)?;
        Ok(stored.length_bytes())
    }

    /// Hands out what [`Store::load`] found.
    ///
    /// # Errors
    ///
    /// As [`Store::stream`].
    pub fn stream_stored(
        &self,
        id: &Id,
        kind: Kind,
        stored: &Stored,
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        match stored {
            Stored::Whole(bytes) => sink(Span::Bytes(bytes)).map_err(ReadError::Sink),
            Stored::List(list) => {
                self.prove(id, kind, list)?;
                self.stream_proved(id, kind, list, sink)
            }
        }
    }

    /// Hands out a long object whose list [`Store::prove`] has found to be that of the id.
    ///
    /// # Errors
    ///
    /// As [`Store::stream`].
    pub fn stream_proved(
        &self,
        id: &Id,
        kind: Kind,
        list: &List,
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        LongReader { store: self, id: *id, kind, list }.stream(sink)
    }

    /// Proves that the chaining values of a list combine to the id, and its lengths add up.
    ///
    /// # Errors
    ///
    /// They do not; a page of the list is missing or damaged.
    pub fn prove(&self, id: &Id, kind: Kind, list: &List) -> Result<(), ReadError> {
        LongReader { store: self, id: *id, kind, list }.prove()
    }

    /// The segments of a list, page by page.
    ///
    /// # Errors
    ///
    /// A page is missing or damaged, or whatever `each` returns.
    pub fn for_each_segment(
        &self,
        list: &List,
        mut each: impl FnMut(Segment) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        match &list.segments {
            Section::Inline(segments) => segments.iter().copied().try_for_each(each),
            Section::Paged(pages) => pages.iter().try_for_each(|page| {
                let segments = self.load_page(page, decode_segment_page)?;
                segments.into_iter().try_for_each(&mut each)
            }),
        }
    }

    fn load_page<T>(
        &self,
        page: &Id,
        decode: impl Fn(&[u8]) -> Result<Vec<T>, DecodeError>,
    ) -> Result<Vec<T>, ReadError> {
        let damaged = |source| {
            let file = "its page".to_owned();
            ReadError::Damaged { id: *page, kind: Kind::Page, file, source }
        };
        match self.load(page, Kind::Page)? {
            Stored::Whole(bytes) => decode(&bytes).map_err(damaged),
            Stored::List(_) => {
                Err(damaged(DecodeError { what: "a page that is a list", offset: 0 }))
            }
        }
    }
}

fn check(
    id: &Id,
    kind: Kind,
    is_list: bool,
    bytes: ObjectBytes,
    file: impl Fn() -> String,
) -> Result<Stored, ReadError> {
    let damaged = |source| ReadError::Damaged { id: *id, kind, file: file(), source };
    if is_list {
        return List::decode(&bytes).map(Stored::List).map_err(damaged);
    }
    if object_id(kind, &bytes) != *id {
        return Err(damaged(DecodeError { what: "bytes are not those of the id", offset: 0 }));
    }
    Ok(Stored::Whole(bytes))
}

/// Reads one long object by its list.
pub(super) struct LongReader<'a> {
    pub(super) store: &'a Store,
    pub(super) id: Id,
    pub(super) kind: Kind,
    pub(super) list: &'a List,
}

impl LongReader<'_> {
    pub(super) fn damaged(&self, what: &'static str) -> ReadError {
        let source = DecodeError { what, offset: 0 };
        ReadError::Damaged { id: self.id, kind: self.kind, file: "its list".into(), source }
    }

    fn prove(&self) -> Result<(), ReadError> {
        let length_bytes = self.list.length_bytes;
        if length_bytes > OBJECT_BYTES_MAX {
            return Err(ReadError::TooLong { id: self.id, kind: self.kind, length_bytes });
        }
        let mut values = Values::new(self);
        let mut proof = ListProof::new(self.kind, length_bytes);
        self.store.for_each_segment(self.list, |segment| {
            proof.segment(&segment, &|what| self.damaged(what), &mut || values.next())
        })?;
        let id = proof.finish(&mut || values.next())?;
        if id == Some(self.id) && values.is_at_end() {
            Ok(())
        } else {
            Err(self.damaged("its chaining values do not combine to its id"))
        }
    }

    fn stream(&self, sink: &mut Sink<'_>) -> Result<(), ReadError> {
        let mut pieces = Pieces {
            reader: self,
            values: Values::new(self),
            piece: Vec::with_capacity(PIECE_BYTES),
            number: 0,
            sink,
        };
        let chunk_kind = self.kind.chunk_kind();
        self.store.for_each_segment(self.list, |segment| match segment {
            Segment::Zeros { length_bytes } => pieces.zeros(length_bytes),
            Segment::Chunk { id, length_bytes } => {
                if length_bytes > FRAME_OBJECT_BYTES_MAX as u64 {
                    return Err(self.damaged("chunk over the limit"));
                }
                match self.store.load(&id, chunk_kind)? {
                    Stored::Whole(bytes) if bytes.len() as u64 == length_bytes => {
                        pieces.bytes(&bytes)
                    }
                    _ => Err(self.damaged("chunk of another length than its list says")),
                }
            }
        })?;
        pieces.finish()
    }
}

/// Gathers pieces, compares each with its proved value, and hands it out.
struct Pieces<'a, 'r, 's> {
    reader: &'a LongReader<'r>,
    values: Values<'a>,
    piece: Vec<u8>,
    number: u64,
    sink: &'a mut Sink<'s>,
}

impl Pieces<'_, '_, '_> {
    fn bytes(&mut self, mut bytes: &[u8]) -> Result<(), ReadError> {
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.piece.len();
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(head);
            bytes = rest;
            if self.piece.len() == PIECE_BYTES {
                self.end_piece()?;
            }
        }
        Ok(())
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), ReadError> {
        let piece_bytes = PIECE_BYTES as u64;
        while count > 0 {
            if self.piece.is_empty() && count >= piece_bytes {
                // Pieces of nothing but zeros have no value in the list: they prove themselves.
                let whole = count - count % piece_bytes;
                (self.sink)(Span::Zeros(whole)).map_err(ReadError::Sink)?;
                self.number += whole / piece_bytes;
                count -= whole;
            } else {
                let room = PIECE_BYTES - self.piece.len();
                let take = usize::try_from(count).unwrap_or(usize::MAX).min(room);
                self.bytes(&zeros()[..take])?;
                count -= take as u64;
            }
        }
        Ok(())
    }

    fn end_piece(&mut self) -> Result<(), ReadError> {
        let value = piece_value(self.reader.kind, self.number, &self.piece);
        if self.values.next()? != value {
            return Err(self.reader.damaged("chunks are not the bytes of the object"));
        }
        (self.sink)(Span::Bytes(&self.piece)).map_err(ReadError::Sink)?;
        self.piece.clear();
        self.number += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<(), ReadError> {
        if self.piece.is_empty() { Ok(()) } else { self.end_piece() }
    }
}

/// The chaining values of a list, page by page.
pub(super) struct Values<'a> {
    reader: &'a LongReader<'a>,
    next_page: usize,
    page: std::vec::IntoIter<ChainingValue>,
}

impl<'a> Values<'a> {
    pub(super) fn new(reader: &'a LongReader<'_>) -> Self {
        let page = match &reader.list.values {
            Section::Inline(values) => values.clone().into_iter(),
            Section::Paged(_) => Vec::new().into_iter(),
        };
        Self { reader, next_page: 0, page }
    }

    pub(super) fn next(&mut self) -> Result<ChainingValue, ReadError> {
        if let Some(value) = self.page.next() {
            return Ok(value);
        }
        let too_few = || self.reader.damaged("fewer chaining values than pieces");
        let Section::Paged(pages) = &self.reader.list.values else { return Err(too_few()) };
        let page = pages.get(self.next_page).ok_or_else(too_few)?;
        self.next_page += 1;
        self.page = self.reader.store.load_page(page, decode_value_page)?.into_iter();
        self.page.next().ok_or_else(too_few)
    }

    fn is_at_end(&self) -> bool {
        let pages = match &self.reader.list.values {
            Section::Inline(_) => 0,
            Section::Paged(pages) => pages.len(),
        };
        self.page.len() == 0 && self.next_page == pages
    }
}
