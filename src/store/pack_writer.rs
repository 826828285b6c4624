//! Writing one pack from its header to its trailer, and reading the footer of one.
//!
//! Invariant: the name of a pack is the hash of the very bytes that were handed to the backend.

use super::frames::pack_file;
use super::{ReadError, WriteError};
use crate::backend::{Backend, Created, NewFile, RandomRead};
use crate::base::id::Id;
use crate::format::codec::DecodeError;
use crate::format::compress::Codec;
use crate::format::delta::Base;
use crate::format::index::PackRecord;
use crate::format::pack::{
    FrameObject, FramePlace, FrameRecord, HEADER_BYTES, Header, PackClass, TRAILER_BYTES, Trailer,
    encode_footer, encode_frame_header,
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
    /// The base of each object of a delta frame; none in any other frame.
    pub bases: Vec<Base>,
}

/// A pack that is being written.
#[derive(Debug)]
pub struct PackWriter {
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
    /// Starts a pack on behalf of a session.
    ///
    /// # Errors
    ///
    /// The backend refuses.
    pub fn new(backend: &dyn Backend, session: &str, class: PackClass) -> Result<Self, WriteError> {
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
    pub fn length_bytes(&self) -> u64 {
        self.offset
    }

    /// Appends a frame.
    ///
    /// # Errors
    ///
    /// The backend refuses; the pack is to be dropped then, and leaves nothing.
    pub fn add(&mut self, part: PackPart) -> Result<(), WriteError> {
        let place = FramePlace {
            offset: self.offset,
            stored_length: part.stored.len() as u32,
            raw_length: part.raw_length as u32,
            codec: part.codec,
        };
        let header = encode_frame_header(part.codec, &part.stored, part.raw_length);
        // It ends the header.
        let checksum = header.last_chunk().copied().unwrap_or_default();
        self.append(&header)?;
        self.append(&part.stored)?;
        let PackPart { objects, bases, .. } = part;
        self.frames.push(FrameRecord { place, checksum, objects, bases });
        Ok(())
    }

    /// Ends the pack and gives it its name. Durable once `packs` is synced.
    ///
    /// # Errors
    ///
    /// The backend refuses, or the session was fenced; nothing was stored.
    pub fn finish(mut self) -> Result<(PackRecord, Vec<FrameRecord>), WriteError> {
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

/// Reads the header of a pack.
///
/// # Errors
///
/// It is damaged, or of a version that is not known here.
pub fn read_header(pack: &dyn RandomRead, file: &str) -> Result<Header, ReadError> {
    if pack.length_bytes() < HEADER_BYTES as u64 {
        return Err(cut_short(file));
    }
    let mut header = [0; HEADER_BYTES];
    pack.read_exact_at(&mut header, 0)?;
    Header::decode(&header).map_err(|error| ReadError::file(file.to_owned(), error))
}

/// Reads the trailer of a pack, which says where its footer is.
///
/// # Errors
///
/// It is damaged.
pub fn read_trailer(pack: &dyn RandomRead, file: &str) -> Result<Trailer, ReadError> {
    let length = pack.length_bytes();
    let trailer_at = length.checked_sub(TRAILER_BYTES as u64);
    let trailer_at = trailer_at.filter(|at| *at >= HEADER_BYTES as u64);
    let trailer_at = trailer_at.ok_or_else(|| cut_short(file))?;
    let mut trailer = [0; TRAILER_BYTES];
    pack.read_exact_at(&mut trailer, trailer_at)?;
    Trailer::decode(&trailer, length)
        .map_err(|source| ReadError::File { file: file.to_owned(), source })
}

/// Reads the frames of a pack from the footer that its trailer leads to.
///
/// # Errors
///
/// It is damaged.
pub fn read_frames(
    pack: &dyn RandomRead,
    file: &str,
    trailer: &Trailer,
) -> Result<Vec<FrameRecord>, ReadError> {
    let mut footer = vec![0; usize::try_from(trailer.length).unwrap_or(0)];
    pack.read_exact_at(&mut footer, trailer.offset)?;
    let frames = trailer.decode_footer(&footer);
    frames.map_err(|source| ReadError::File { file: file.to_owned(), source })
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
    let header = read_header(pack, file)?;
    let trailer = read_trailer(pack, file)?;
    Ok((header, read_frames(pack, file, &trailer)?))
}

fn cut_short(file: &str) -> ReadError {
    let source = DecodeError { what: "cut short", offset: 0 };
    ReadError::File { file: file.to_owned(), source }
}
