//! Loose objects, as they are stored and as they are under their compression.

use std::io::Write;

use runup::format::loose::{Loose, decode, decode_head, encode};

/// Whether the bytes are a loose object, or would be as the content of a zlib stream.
pub fn check(bytes: &[u8]) -> bool {
    let mut stored = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(0));
    let stored = stored.write_all(bytes).and_then(|()| stored.finish());
    is_loose(bytes) | is_loose(&stored.expect("memory takes all"))
}

fn is_loose(stored: &[u8]) -> bool {
    let head = decode_head(stored);
    let Ok(loose) = decode(stored) else { return false };
    let length = loose.bytes.len() as u64;
    assert_eq!(head, Ok((loose.kind, loose.is_list, length)), "the head alone says something else");
    for level in [0, 1] {
        let Loose { kind, is_list, ref bytes } = loose;
        let again = decode(&encode(kind, is_list, bytes, level));
        assert_eq!(again.as_ref(), Ok(&loose));
    }
    true
}
