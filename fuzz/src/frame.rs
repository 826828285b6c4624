//! Frames: their headers, every codec, the tables in them.
//!
//! The bytes are the length of a base as a `u16`, the base, a frame header, and what is stored. Length and
//! checksum in the header are put right.

use runup::base::id::Id;
use runup::format::compress::{Codec, Compression, Compressor, Decompressor, decompress_delta};
use runup::format::delta::{decode_delta_frame, encode_delta_frame};
use runup::format::pack::{
    FRAME_HEADER_BYTES, FrameBody, FrameObject, decode_frame, decode_frame_header, encode_frame,
    encode_frame_header, frame_checksum,
};

/// Raw bytes that are compressed again, at most.
const COMPRESSED_BYTES_MAX: usize = 64 << 10;

/// Whether the bytes are a frame that can be decoded.
pub fn check(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return false };
    let length = usize::from(u16::from_le_bytes(*length));
    let (base, frame) = rest.split_at(length.min(rest.len()));
    let _unsealed = decode_frame_header(frame, 64);
    if frame.len() < FRAME_HEADER_BYTES {
        return false;
    }
    let (head, stored) = frame.split_at(FRAME_HEADER_BYTES);
    let mut head = head.to_vec();
    head[8..12].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    head[16..32].copy_from_slice(&frame_checksum(stored));
    let Ok((place, checksum)) = decode_frame_header(&head, 64) else { return false };
    assert_eq!(checksum, frame_checksum(stored));
    let raw_length = place.raw_length as usize;
    assert_eq!(encode_frame_header(place.codec, stored, raw_length), head);
    match place.codec {
        Codec::Delta => is_delta_frame(base, stored, place.raw_length),
        codec => is_frame(codec, stored, raw_length),
    }
}

fn is_frame(codec: Codec, stored: &[u8], raw_length: usize) -> bool {
    let (mut decompressor, mut raw) = (Decompressor::default(), Vec::new());
    let decoded = decompressor.decompress(codec, stored, raw_length, &mut raw);
    if decoded.is_err() {
        let mut front = Vec::new();
        let wanted = (raw_length, raw_length / 2);
        let _damaged = decompressor.decompress_front(codec, stored, wanted, &mut front);
        return false;
    }
    assert_eq!(raw.len(), raw_length);
    let fronts = [1, raw_length / 3, raw_length.saturating_sub(1), raw_length];
    for wanted in fronts.into_iter().filter(|wanted| *wanted <= raw_length) {
        let mut front = Vec::new();
        let read = decompressor.decompress_front(codec, stored, (raw_length, wanted), &mut front);
        assert_eq!(read, Ok(()), "whole, but not its front");
        assert!(front.len() >= wanted && raw.starts_with(&front));
    }
    let Ok(bodies) = decode_frame(&raw) else { return false };
    let objects: Vec<FrameObject> = bodies.iter().map(object).collect();
    let joined: Vec<u8> = bodies.iter().flat_map(|(_, _, bytes)| bytes.iter().copied()).collect();
    assert!(encode_frame(&objects, &joined) == raw, "a second encoding of one frame");
    if raw.len() <= COMPRESSED_BYTES_MAX {
        for compression in [Compression::Zstd(1), Compression::Deflate(1), Compression::None] {
            let mut again = Vec::new();
            let mut compressor = Compressor::new(compression).expect("a level that there is");
            let codec = compressor.compress(&raw, &mut again).expect("compresses");
            let mut back = Vec::new();
            decompressor.decompress(codec, &again, raw.len(), &mut back).expect("its own output");
            assert!(back == raw);
        }
    }
    true
}

fn object((kind, list, bytes): &FrameBody<'_>) -> FrameObject {
    let length = bytes.len() as u32;
    let id = list.unwrap_or(Id::from_bytes([0; 32]));
    FrameObject { id, kind: *kind, is_list: list.is_some(), length }
}

fn is_delta_frame(base: &[u8], stored: &[u8], raw_length: u32) -> bool {
    let Ok(deltas) = decode_delta_frame(stored, raw_length) else { return false };
    let (mut objects, mut parts, mut joined) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_whole = true;
    let mut decoded = Vec::new();
    for delta in &deltas {
        let id = Id::from_bytes([0; 32]);
        objects.push(FrameObject { id, kind: delta.kind, is_list: false, length: delta.length });
        parts.push((delta.base, delta.stored.len() as u32));
        joined.extend_from_slice(delta.stored);
        let length = delta.length as usize;
        let is_decoded = decompress_delta(base, delta.stored, length, &mut decoded).is_ok();
        assert!(!is_decoded || decoded.len() == length);
        is_whole &= is_decoded;
    }
    assert!(encode_delta_frame(&objects, &parts, &joined) == stored, "a second encoding");
    is_whole
}
