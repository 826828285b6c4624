//! Writing one pack from its header to its trailer, and reading the footer of one.
//!
//! Invariant: the name of a pack is the hash of the very bytes that were handed to the backend.

use super::frames::pack_file;
use super::{ReadError, WriteError};
use crate::backend::{Backend, Created, NewFile, RandomRead};
use crate::base::id::Id;
use crate::format::codec::DecodeError;
use crate::format::compress::Codec;
use crate::format::index::PackRecord;
use crate::format::pack::{
    FrameObject, FramePlace, FrameRecord, HEADER_BYTES, Header, PackClass, TRAILER_BYTES, Trailer,
    encode_footer, encode_frame_header, frame_checksum,
};

/// A compressed frame, ready to be appended to a pack.
#[derive(Debug)]
pub struct PackPart {
    /// The class of pack that it belongs to.
    pub class: PackClass,
    /// How it is compressed.
    pub codec: Codec,
    /// Its stored bytes.
    pub stored: Vec<u8>,
    /// Its bytes when decompressed.
    pub raw_length: usize,
    /// Its objects, in order.
    pub objects: Vec<FrameObject>,
}

/// A pack that is being written.
#[derive(Debug)]
pub(super) struct PackWriter {
    file: Box<dyn NewFile>,
    hasher: blake3::Hasher,
    offset: u64,
    frames: Vec<FrameRecord>,
}

/// Random bytes that make the name of a file one of its own.
pub(super) fn random_salt() -> Result<[u8; 16], WriteError> {
    let mut salt = [0; 16];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut salt, flags).map_err(|error| WriteError::Source(error.into()))?;
    Ok(salt)
}

impl PackWriter {
    /// Starts a pack.
    pub(super) fn new(
        backend: &dyn Backend,
        session: &str,
        class: PackClass,
    ) -> Result<Self, WriteError> {
        let salt = random_salt()?;
        let file = backend.create(session)?;
        let mut writer =
            Self { file, hasher: blake3::Hasher::new(), offset: 0, frames: Vec::new() };
        writer.append(&Header { class, salt }.encode())?;
        Ok(writer)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.file.write(bytes)?;
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub(super) fn length_bytes(&self) -> u64 {
        self.offset
    }

    /// Appends a frame.
    pub(super) fn add(&mut self, part: PackPart) -> Result<(), WriteError> {
        let place = FramePlace {
            offset: self.offset,
            stored_length: part.stored.len() as u32,
            raw_length: part.raw_length as u32,
            codec: part.codec,
        };
        self.append(&encode_frame_header(part.codec, &part.stored, part.raw_length))?;
        self.append(&part.stored)?;
        let checksum = frame_checksum(&part.stored);
        self.frames.push(FrameRecord { place, checksum, objects: part.objects });
        Ok(())
    }

    /// Ends the pack and gives it its name. Durable once `packs` is synced.
    pub(super) fn finish(mut self) -> Result<(PackRecord, Vec<FrameRecord>), WriteError> {
        let footer = encode_footer(&self.frames, self.offset);
        self.append(&footer)?;
        let name = Id::from_bytes(*self.hasher.finalize().as_bytes());
        match self.file.publish(&pack_file(&name))? {
            Created::New => Ok((PackRecord { name, length_bytes: self.offset }, self.frames)),
            // Sixteen random bytes stand in every pack, so a name that exists is no coincidence.
            Created::Existed => Err(WriteError::Stopped),
        }
    }
}

/// Reads the header and the footer of a pack.
///
/// # Errors
///
/// Either is damaged, or of a version that is not known here.
pub fn read_footer(
    pack: &dyn RandomRead,
    file: &str,
) -> Result<(Header, Vec<FrameRecord>), ReadError> {
    let fail = |source: DecodeError| ReadError::File { file: file.to_owned(), source };
    let cut = DecodeError { what: "cut short", offset: 0 };
    let length = pack.length_bytes();
    let trailer_at = length.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| fail(cut.clone()))?;
    if trailer_at < HEADER_BYTES as u64 {
        return Err(fail(cut));
    }
    let mut header = [0; HEADER_BYTES];
    pack.read_exact_at(&mut header, 0)?;
    let header =
        Header::decode(&header).map_err(|error| ReadError::file(file.to_owned(), error))?;
    let mut trailer = [0; TRAILER_BYTES];
    pack.read_exact_at(&mut trailer, trailer_at)?;
    let trailer = Trailer::decode(&trailer, length).map_err(fail)?;
    let mut footer = vec![0; usize::try_from(trailer.length).unwrap_or(0)];
    pack.read_exact_at(&mut footer, trailer.offset)?;
    Ok((header, trailer.decode_footer(&footer).map_err(fail)?))
}
