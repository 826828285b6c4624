//! Whole packs: header, footer and trailer, and all frames, with the footer and without.
//!
//! The hash of the footer, the checksums of frames, and the place of the footer are put right.

use std::io;

use runup::backend::{BackendError, RandomRead};
use runup::base::id::Id;
use runup::format::compress::{Codec, Decompressor};
use runup::format::list::{List, Section, Segment};
use runup::format::pack::{
    FRAME_HEADER_BYTES, FrameRecord, HEADER_BYTES, Header, TRAILER_BYTES, Trailer, decode_frame,
    encode_footer, frame_checksum,
};
use runup::ops::verify_pack::{PackReport, PackedObject, verify_pack};

/// Zeros that are hashed here at most: to prove a list means to hash those that it claims.
const ZEROS_MAX: u64 = 4 << 20;

/// A file in memory.
#[derive(Debug)]
struct Memory<'b>(&'b [u8]);

impl RandomRead for Memory<'_> {
    fn length_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), BackendError> {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(buffer.len()));
        let bytes = start.zip(end).and_then(|(start, end)| self.0.get(start..end));
        let missing = || BackendError::Missing { name: "what stands behind the end".into() };
        buffer.copy_from_slice(bytes.ok_or_else(missing)?);
        Ok(())
    }
}

/// Whether the bytes are a sound pack.
pub fn check(bytes: &[u8]) -> bool {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
    let as_it_is = footer_of(bytes);
    verify(bytes);
    let Some((sealed, frames)) = sealed(bytes) else {
        assert!(as_it_is.is_none());
        return false;
    };
    let (report, ids) = verify(&sealed);
    let is_sound = report.is_sound() && report.class.is_some();
    let has_deltas = frames.iter().any(|frame| frame.place.codec == Codec::Delta);
    if is_sound && !has_deltas && zeros(&sealed, &frames) <= ZEROS_MAX {
        // What the footer says can be had from the frames alone.
        let end = frames
            .last()
            .map_or(HEADER_BYTES as u64, |frame| frame.place.offset + frame.place.total_length());
        let cut = &sealed[..usize::try_from(end).expect("in memory")];
        let (scanned, found) = verify(cut);
        assert_eq!((scanned.frames, scanned.objects), (report.frames, report.objects));
        assert_eq!(found, ids, "a scan finds other objects than the footer");
        assert!(scanned.findings.iter().all(|finding| finding.code == "damaged_trailer"));
    }
    is_sound
}

/// The frames that the footer tells; it is the only one that tells them so.
fn footer_of(bytes: &[u8]) -> Option<Vec<FrameRecord>> {
    let at = bytes.len().checked_sub(TRAILER_BYTES)?;
    let (rest, end) = bytes.split_at(at);
    let trailer = Trailer::decode(end, bytes.len() as u64).ok()?;
    let start = usize::try_from(trailer.offset).expect("it fits the pack");
    let frames = trailer.decode_footer(&rest[start..]).ok()?;
    assert!(encode_footer(&frames, trailer.offset) == bytes[start..], "a second footer");
    for frame in &frames {
        assert!(frame.bases.is_empty() == (frame.place.codec != Codec::Delta));
        assert_eq!(frame.object_offsets().count(), frame.objects.len());
    }
    Some(frames)
}

/// The pack with its checksums put right, and the frames that its footer tells.
fn sealed(bytes: &[u8]) -> Option<(Vec<u8>, Vec<FrameRecord>)> {
    let at = bytes.len().checked_sub(TRAILER_BYTES).filter(|at| *at >= HEADER_BYTES)?;
    let told = u64::from_le_bytes(*bytes[at..].first_chunk()?);
    let offset = usize::try_from(told).unwrap_or(usize::MAX).clamp(HEADER_BYTES, at);
    let mut pack = bytes.to_vec();
    let length = at - offset;
    pack[at..at + 8].copy_from_slice(&(offset as u64).to_le_bytes());
    pack[at + 8..at + 16].copy_from_slice(&(length as u64).to_le_bytes());
    let hash = blake3::hash(&pack[offset..at]);
    pack[at + 16..at + 48].copy_from_slice(hash.as_bytes());
    pack[at + 48..].copy_from_slice(b"\0\0\0\0\0\0\0\0RunUpEnd");
    let mut frames = footer_of(&pack)?;
    for frame in &mut frames {
        let start = usize::try_from(frame.place.offset).expect("it fits the pack");
        let body = start + FRAME_HEADER_BYTES
            ..start + FRAME_HEADER_BYTES + frame.place.stored_length as usize;
        frame.checksum = frame_checksum(&pack[body]);
        pack[start + 16..start + 32].copy_from_slice(&frame.checksum);
    }
    pack.truncate(offset);
    let footer = encode_footer(&frames, offset as u64);
    pack.extend_from_slice(&footer);
    assert_eq!(footer_of(&pack).as_ref(), Some(&frames));
    Some((pack, frames))
}

fn verify(pack: &[u8]) -> (PackReport, Vec<Id>) {
    let mut ids = Vec::new();
    let mut each = |packed: &PackedObject<'_>| -> io::Result<()> {
        ids.push(packed.object.id);
        Ok(())
    };
    let report = verify_pack(&Memory(pack), None, None, &mut each).expect("nothing is refused");
    assert!(
        !report.is_sound() || report.hash == Some(Id::from_bytes(*blake3::hash(pack).as_bytes()))
    );
    (report, ids)
}

/// The zeros that lists in the frames claim.
fn zeros(pack: &[u8], frames: &[FrameRecord]) -> u64 {
    let mut zeros = 0_u64;
    let mut raw = Vec::new();
    for frame in frames {
        let start = usize::try_from(frame.place.offset).expect("it fits the pack");
        let stored = &pack[start + FRAME_HEADER_BYTES..][..frame.place.stored_length as usize];
        let length = frame.place.raw_length as usize;
        let decoded =
            Decompressor::default().decompress(frame.place.codec, stored, length, &mut raw);
        let bodies = decoded.and_then(|()| decode_frame(&raw));
        for (_, _, bytes) in bodies.unwrap_or_default().iter().filter(|body| body.1.is_some()) {
            let Ok(List { segments: Section::Inline(segments), .. }) = List::decode(bytes) else {
                continue;
            };
            for segment in segments {
                if let Segment::Zeros { length_bytes } = segment {
                    zeros = zeros.saturating_add(length_bytes);
                }
            }
        }
    }
    zeros
}
