//! The frames of a pack without its footer: from one to the next, or by looking for them.
//!
//! Invariant: a frame is taken only with its checksum, its table and the id of every object; and one
//! that had to be looked for, which may be part of somebody's file, only with lists that prove
//! themselves. One frame is held.

use std::collections::BTreeMap;

use super::deltas::{self, Bases, SoundPart};
use crate::backend::{BackendError, RandomRead};
use crate::base::hash::object_id;
use crate::format::compress::{Codec, Decompressor};
use crate::format::delta::{Base, encode_delta_frame};
use crate::format::list::{List, id_of_unpaged};
use crate::format::pack::{
    FRAME_HEADER_BYTES, FRAME_MAGIC, FrameObject, FramePlace, FrameRecord, HEADER_BYTES,
    decode_frame, decode_frame_header, encode_frame, frame_checksum,
};
use crate::ops::with_causes;

/// Bytes that are searched at a time.
const WINDOW_BYTES: usize = 1 << 20;
/// Longest object, in bytes, whose list is proved here: zeros that a list claims cost time.
const PROVED_BYTES_MAX: u64 = 4 << 30;

/// What stands next in a pack.
#[derive(Debug)]
pub(in crate::ops) enum Scanned {
    /// A sound frame; its bytes are in [`Scanner::stored`].
    Frame(FrameRecord),
    /// Something that began as a frame, or stands where one should.
    Lost {
        /// Where, in bytes from the front of the pack.
        at: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Passes through a pack.
pub(in crate::ops) struct Scanner<'p> {
    pack: &'p dyn RandomRead,
    position: u64,
    /// Where the frames end, or the pack does.
    end: u64,
    is_end_known: bool,
    /// Whether the next frame was found by looking for it, or comes after one that was.
    is_doubtful: bool,
    /// Bytes that may still be read for what turns out to be no frame.
    patience_bytes: u64,
    decompressor: Decompressor,
    bases: &'p Bases<'p>,
    /// What a footer says of delta frames, by their places.
    known: BTreeMap<u64, FrameRecord>,
    /// Whether delta frames are taken without those objects that cannot be decoded.
    splits: bool,
    /// Where the frame that came last ends.
    frame_end: u64,
    /// Why the first object cannot be decoded that was left out of it.
    left_out: Option<String>,
    stored: Vec<u8>,
    raw: Vec<u8>,
    sizes: Vec<u64>,
}

/// Why there is no frame at a place, and where it would have ended.
struct NoFrame {
    reason: String,
    end: Option<u64>,
    /// Whether it begins as a frame does.
    is_begun: bool,
}

impl<'p> Scanner<'p> {
    /// Starts behind the header. `frames_end` is what the trailer says, if there is one. A delta
    /// frame that needs a base which `bases` does not have is taken for lost.
    pub(in crate::ops) fn new(
        pack: &'p dyn RandomRead,
        frames_end: Option<u64>,
        bases: &'p Bases<'p>,
    ) -> Self {
        let length = pack.length_bytes();
        Self {
            pack,
            position: HEADER_BYTES as u64,
            end: frames_end.unwrap_or(length).min(length),
            is_end_known: frames_end.is_some(),
            is_doubtful: false,
            patience_bytes: length.saturating_mul(4).saturating_add(256 << 20),
            decompressor: Decompressor::default(),
            bases,
            known: BTreeMap::new(),
            splits: false,
            frame_end: 0,
            left_out: None,
            stored: Vec::new(),
            raw: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// Takes the delta frames that one of these tells as they are, whether or not their bases are at
    /// hand: what stands as it was written can be decoded once these are back.
    pub(in crate::ops) fn with_known(self, frames: impl Iterator<Item = FrameRecord>) -> Self {
        let known = frames.filter(|frame| frame.place.codec == Codec::Delta);
        Self { known: known.map(|frame| (frame.place.offset, frame)).collect(), ..self }
    }

    /// Takes other delta frames without those objects that cannot be decoded: what is in
    /// [`Scanner::stored`] is a frame of the rest then.
    pub(in crate::ops) fn splitting(self) -> Self {
        Self { splits: true, ..self }
    }

    /// Why the first object cannot be decoded that was left out of the frame that came last.
    pub(in crate::ops) fn take_left_out(&mut self) -> Option<String> {
        self.left_out.take()
    }

    /// The stored bytes of the frame that came last.
    pub(in crate::ops) fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The bytes that each object itself has in the frame that came last, in order.
    pub(in crate::ops) fn sizes(&self) -> impl Iterator<Item = u64> {
        self.sizes.iter().copied()
    }

    /// The next frame, or the next place without one; `None` at the end.
    ///
    /// # Errors
    ///
    /// The pack cannot be read.
    pub(in crate::ops) fn next(&mut self) -> Result<Option<Scanned>, BackendError> {
        while self.position < self.end {
            let at = self.position;
            let missing = match self.frame_at(at)? {
                Ok(record) => {
                    self.position = self.frame_end;
                    return Ok(Some(Scanned::Frame(record)));
                }
                Err(missing) => missing,
            };
            let next = missing.end.filter(|end| *end == self.end || self.begins_frame(*end));
            self.position = if let Some(next) = next {
                next
            } else {
                self.is_doubtful = true;
                self.search(at + 1)?
            };
            // What stands last and does not begin as a frame is a footer, as far as can be told.
            if missing.is_begun || self.is_end_known || self.position < self.end {
                return Ok(Some(Scanned::Lost { at, reason: missing.reason }));
            }
        }
        Ok(None)
    }

    fn header_at(&self, at: u64) -> Option<[u8; FRAME_HEADER_BYTES]> {
        let mut header = [0; FRAME_HEADER_BYTES];
        self.pack.read_exact_at(&mut header, at).ok().map(|()| header)
    }

    fn begins_frame(&self, at: u64) -> bool {
        self.header_at(at).is_some_and(|header| decode_frame_header(&header, at).is_ok())
    }

    /// The next place from which a sound frame begins, or the end.
    fn search(&mut self, from: u64) -> Result<u64, BackendError> {
        let (mut at, mut window) = (from, Vec::new());
        while at < self.end && self.patience_bytes > 0 {
            let length = usize::try_from(self.end - at).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES);
            window.resize(length, 0);
            self.pack.read_exact_at(&mut window, at)?;
            self.patience_bytes = self.patience_bytes.saturating_sub(length as u64);
            let found = window.windows(FRAME_MAGIC.len()).position(|bytes| bytes == FRAME_MAGIC);
            match found {
                Some(found) => {
                    at += found as u64;
                    if self.frame_at(at)?.is_ok() {
                        return Ok(at);
                    }
                    at += 1;
                }
                None if length < WINDOW_BYTES => return Ok(self.end),
                None => at += (length - (FRAME_MAGIC.len() - 1)) as u64,
            }
        }
        Ok(self.end)
    }

    /// Reads the frame at a place, if one stands there whole.
    fn frame_at(&mut self, at: u64) -> Result<Result<FrameRecord, NoFrame>, BackendError> {
        let no_frame = |reason: &str, end, is_begun| {
            Ok(Err(NoFrame { reason: reason.to_owned(), end, is_begun }))
        };
        let Some(header) = self.header_at(at).filter(|_| at < self.end) else {
            return no_frame("cut short", None, false);
        };
        let (place, checksum) = match decode_frame_header(&header, at) {
            Ok(decoded) => decoded,
            Err(error) => {
                let is_begun = header.starts_with(FRAME_MAGIC);
                return no_frame(&with_causes(&error), None, is_begun);
            }
        };
        let end = at.checked_add(place.total_length()).filter(|end| *end <= self.end);
        if end.is_none() {
            return no_frame("cut short", None, true);
        }
        self.frame_end = at.saturating_add(place.total_length());
        self.left_out = None;
        self.stored.resize(place.stored_length as usize, 0);
        self.pack.read_exact_at(&mut self.stored, at + FRAME_HEADER_BYTES as u64)?;
        let objects = if frame_checksum(&self.stored) == checksum {
            match place.codec {
                Codec::Delta => match self.as_known(&place, &checksum) {
                    Some(record) => return Ok(Ok(record)),
                    None if self.splits => match self.sound_part(place) {
                        Ok(record) => return Ok(Ok(record)),
                        Err(reason) => Err(reason),
                    },
                    None => self.deltas(&place),
                },
                _ => self.objects(&place).map(|objects| (objects, Vec::new())),
            }
        } else {
            Err("its checksum does not match".to_owned())
        };
        match objects {
            Ok((objects, bases)) => Ok(Ok(FrameRecord { place, checksum, objects, bases })),
            Err(reason) => {
                self.patience_bytes =
                    self.patience_bytes.saturating_sub(u64::from(place.stored_length));
                no_frame(&reason, end, true)
            }
        }
    }

    /// What is known of a delta frame that stands as it was written.
    fn as_known(&mut self, place: &FramePlace, checksum: &[u8; 16]) -> Option<FrameRecord> {
        let record = self.known.get(&place.offset)?;
        let record = (record.place == *place && record.checksum == *checksum).then_some(record)?;
        self.sizes = record.objects.iter().map(|object| u64::from(object.length)).collect();
        Some(record.clone())
    }

    /// The objects of a delta frame that can be decoded, as a frame that takes its place in what is
    /// stored.
    fn sound_part(&mut self, mut place: FramePlace) -> Result<FrameRecord, String> {
        let part = deltas::sound_part(&place, &self.stored, self.bases)?;
        let SoundPart { objects, parts, deltas, left_out } = part;
        self.sizes = objects.iter().map(|object| u64::from(object.length)).collect();
        if left_out.is_some() {
            self.stored = encode_delta_frame(&objects, &parts, &deltas);
            let raw_bytes: u64 = self.sizes.iter().sum();
            place.raw_length = (encode_frame(&objects, &[]).len() as u64 + raw_bytes) as u32;
            place.stored_length = self.stored.len() as u32;
            self.left_out = left_out;
        }
        let checksum = frame_checksum(&self.stored);
        let bases = parts.into_iter().map(|(base, _)| base).collect();
        Ok(FrameRecord { place, checksum, objects, bases })
    }

    fn deltas(&mut self, place: &FramePlace) -> Result<(Vec<FrameObject>, Vec<Base>), String> {
        let (mut objects, mut bases) = (Vec::new(), Vec::new());
        let sizes = &mut self.sizes;
        sizes.clear();
        deltas::for_each(place, &self.stored, self.bases, &mut |delta, bytes| {
            let (kind, length) = (delta.kind, delta.length);
            let id = object_id(kind, bytes);
            objects.push(FrameObject { id, kind, is_list: false, length });
            bases.push(delta.base);
            sizes.push(bytes.len() as u64);
        })?;
        Ok((objects, bases))
    }

    fn objects(&mut self, place: &FramePlace) -> Result<Vec<FrameObject>, String> {
        self.decompressor
            .decompress(place.codec, &self.stored, place.raw_length as usize, &mut self.raw)
            .map_err(|error| with_causes(&error))?;
        let table = decode_frame(&self.raw).map_err(|error| with_causes(&error))?;
        let mut objects = Vec::with_capacity(table.len());
        self.sizes.clear();
        for (kind, list_id, bytes) in table {
            let (id, size_bytes) = match list_id {
                None => (object_id(kind, bytes), bytes.len() as u64),
                Some(id) => {
                    let list = List::decode(bytes).map_err(|error| with_causes(&error))?;
                    let is_proved = list.length_bytes <= PROVED_BYTES_MAX
                        && id_of_unpaged(&list, kind) == Some(id);
                    if self.is_doubtful && !is_proved {
                        return Err("it holds a list that does not prove itself".to_owned());
                    }
                    (id, list.length_bytes)
                }
            };
            self.sizes.push(size_bytes);
            let length = bytes.len() as u32;
            objects.push(FrameObject { id, kind, is_list: list_id.is_some(), length });
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Id;
    use crate::base::kind::Kind;
    use crate::format::compress::Codec;
    use crate::format::list::{Section, Segment};
    use crate::format::pack::encode_frame_header;

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl RandomRead for Bytes {
        fn length_bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), BackendError> {
            let end = offset as usize + buffer.len();
            let cut = BackendError::Damaged { name: "bytes".into(), what: "cut short" };
            buffer.copy_from_slice(self.0.get(offset as usize..end).ok_or(cut)?);
            Ok(())
        }
    }

    fn frame(kind: Kind, list_of: Option<Id>, bytes: &[u8]) -> Vec<u8> {
        let id = list_of.unwrap_or_else(|| object_id(kind, bytes));
        let is_list = list_of.is_some();
        let objects = [FrameObject { id, kind, is_list, length: bytes.len() as u32 }];
        let raw = encode_frame(&objects, bytes);
        [encode_frame_header(Codec::None, &raw, raw.len()), raw].concat()
    }

    fn pack(frames: &[&[u8]]) -> Bytes {
        Bytes([&[0; HEADER_BYTES], &frames.concat()[..]].concat())
    }

    /// Ids of what was found, and places of what was lost.
    fn scan(pack: &Bytes) -> (Vec<Id>, Vec<u64>) {
        let mut scanner = Scanner::new(pack, None, &|_| Ok(None));
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        while let Some(scanned) = scanner.next().expect("reads") {
            match scanned {
                Scanned::Frame(record) => found.extend(record.objects.iter().map(|o| o.id)),
                Scanned::Lost { at, .. } => lost.push(at),
            }
        }
        (found, lost)
    }

    #[test]
    fn frames_are_found_behind_one_that_is_damaged_anywhere() {
        let frames = [b"one", b"two", b"six"].map(|bytes| frame(Kind::Blob, None, bytes));
        let ids = [b"one", b"two", b"six"].map(|bytes| object_id(Kind::Blob, bytes));
        let whole = pack(&[&frames[0], &frames[1], &frames[2]]);
        assert_eq!(scan(&whole), (ids.to_vec(), vec![]));
        let second = HEADER_BYTES + frames[0].len();
        for at in second..second + frames[1].len() {
            let mut flipped = whole.0.clone();
            flipped[at] ^= 0x20;
            assert_eq!(scan(&Bytes(flipped)), (vec![ids[0], ids[2]], vec![second as u64]), "{at}");
        }
        let footer = [&whole.0[..], b"a footer, or what is left of it"].concat();
        assert_eq!(scan(&Bytes(footer)), (ids.to_vec(), vec![]));
        let cut = whole.0[..whole.0.len() - 1].to_vec();
        let third = (second + frames[1].len()) as u64;
        assert_eq!(scan(&Bytes(cut)), (ids[..2].to_vec(), vec![third]));
    }

    #[test]
    fn a_list_in_somebodys_file_is_not_taken_for_one_of_the_pack() {
        let segments = Section::Inline(vec![Segment::Zeros { length_bytes: 2 << 20 }]);
        let list = List { length_bytes: 2 << 20, segments, values: Section::Inline(vec![]) };
        let true_id = id_of_unpaged(&list, Kind::Blob).expect("proves itself");
        let claimed = Id::from_bytes([7; 32]);
        for (id, is_taken) in [(claimed, false), (true_id, true)] {
            let planted = frame(Kind::Blob, Some(id), &list.encode());
            let mut holder = frame(Kind::Blob, None, &planted);
            let last = frame(Kind::Blob, None, b"last");
            let last_id = object_id(Kind::Blob, b"last");
            // Where lengths can be believed nobody looks inside.
            holder[20] ^= 1;
            assert_eq!(scan(&pack(&[&holder, &last])).0, [last_id]);
            holder[0] ^= 1;
            let found = scan(&pack(&[&holder, &last])).0;
            assert_eq!(found, if is_taken { vec![id, last_id] } else { vec![last_id] });
            // One that comes in its turn is what the writer wrote.
            assert_eq!(scan(&pack(&[&last, &planted])).0, [last_id, id]);
        }
    }
}
