//! Decompressed frames, kept for a while, and the open packs they come from.
//!
//! Invariant: memory and open files stay within fixed bounds, whatever the size of the repository.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::ReadError;
use crate::backend::{Backend, BackendError, RandomRead};
use crate::base::id::Id;
use crate::format::codec::DecodeError;
use crate::format::compress::{Codec, Decompressor};
use crate::format::pack::{
    FRAME_HEADER_BYTES, FormatError, FramePlace, decode_frame_header, frame_checksum,
};

/// Most bytes of decompressed frames kept.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// Most packs kept open.
const OPEN_PACKS_MAX: usize = 32;

/// A frame: the name of its pack and where it begins there.
pub type FrameKey = (Id, u64);

/// Reads frames and keeps recent ones.
#[derive(Debug)]
pub struct Frames {
    backend: Arc<dyn Backend>,
    kept: Mutex<Kept>,
    packs: Mutex<VecDeque<(Id, Arc<dyn RandomRead>)>>,
    decompressors: Mutex<Vec<Decompressor>>,
}

#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<(FrameKey, Arc<Vec<u8>>)>,
    bytes: usize,
}

/// The file name of a pack.
pub(super) fn pack_file(name: &Id) -> String {
    format!("packs/{name}.pack")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Frames {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            kept: Mutex::default(),
            packs: Mutex::default(),
            decompressors: Mutex::default(),
        }
    }

    /// Opens a pack, or takes one that is open still.
    pub(super) fn open_pack(&self, name: &Id) -> Result<Arc<dyn RandomRead>, BackendError> {
        let mut packs = lock(&self.packs);
        if let Some(at) = packs.iter().position(|(open, _)| open == name)
            && let Some(pack) = packs.remove(at)
        {
            packs.push_back(pack.clone());
            return Ok(pack.1);
        }
        drop(packs);
        let opened: Arc<dyn RandomRead> = self.backend.open(&pack_file(name))?.into();
        let mut packs = lock(&self.packs);
        packs.push_back((*name, Arc::clone(&opened)));
        if packs.len() > OPEN_PACKS_MAX {
            packs.pop_front();
        }
        Ok(opened)
    }

    /// The decompressed frame, from memory or from its pack; kept for later reads. Of a delta frame,
    /// whose objects are decoded one by one, the stored bytes.
    ///
    /// The stored bytes have been compared with their checksum.
    ///
    /// # Errors
    ///
    /// The pack is missing or cut short, or the frame is not the one that the place describes.
    pub fn read(&self, pack: &Id, place: &FramePlace) -> Result<Arc<Vec<u8>>, ReadError> {
        self.read_front(pack, place, place.raw_length)
    }

    /// As [`Frames::read`], but what lies behind the first `wanted` bytes may be missing.
    ///
    /// # Errors
    ///
    /// As [`Frames::read`].
    pub fn read_front(
        &self,
        pack: &Id,
        place: &FramePlace,
        wanted: u32,
    ) -> Result<Arc<Vec<u8>>, ReadError> {
        let key = (*pack, place.offset);
        let mut kept = lock(&self.kept);
        let mut was_short = false;
        if let Some(at) = kept.frames.iter().rposition(|(frame, _)| *frame == key)
            && let Some(frame) = kept.frames.remove(at)
        {
            if place.codec == Codec::Delta || frame.1.len() >= wanted as usize {
                kept.frames.push_back(frame.clone());
                return Ok(frame.1);
            }
            kept.bytes -= frame.1.len();
            was_short = true;
        }
        drop(kept);
        // Whole the second time: who reads object by object decodes a frame twice at most.
        let is_most = wanted > place.raw_length / 4 * 3;
        let length = if was_short || is_most { place.raw_length } else { wanted };
        let raw = Arc::new(self.load_front(pack, place, length)?);
        let mut kept = lock(&self.kept);
        kept.bytes += raw.len();
        kept.frames.push_back((key, Arc::clone(&raw)));
        while kept.bytes > KEPT_BYTES_MAX {
            match kept.frames.pop_front() {
                Some((_, dropped)) => kept.bytes -= dropped.len(),
                None => break,
            }
        }
        Ok(raw)
    }

    /// Has the system fetch a frame that is about to be read, as far as that can be done.
    pub fn will_need(&self, pack: &Id, place: &FramePlace) {
        // What is wrong with it is told by whoever reads it.
        if let Ok(file) = self.open_pack(pack) {
            file.will_need(place.offset..place.offset.saturating_add(place.total_length()));
        }
    }

    /// As [`Frames::read`], from the pack and not kept.
    ///
    /// # Errors
    ///
    /// As [`Frames::read`].
    pub fn load(&self, pack: &Id, place: &FramePlace) -> Result<Vec<u8>, ReadError> {
        self.load_front(pack, place, place.raw_length)
    }

    /// The stored bytes of a frame, compared with their checksum.
    ///
    /// # Errors
    ///
    /// As [`Frames::read`].
    pub fn stored(&self, pack: &Id, place: &FramePlace) -> Result<Vec<u8>, ReadError> {
        let mut bytes = self.load_stored(pack, place)?;
        bytes.drain(..FRAME_HEADER_BYTES);
        Ok(bytes)
    }

    fn damaged(&self, pack: &Id, place: &FramePlace, what: &'static str) -> ReadError {
        let offset = usize::try_from(place.offset).unwrap_or(usize::MAX);
        let file = self.backend.describe(&pack_file(pack));
        ReadError::File { file, source: DecodeError { what, offset } }
    }

    /// The header and the stored bytes of a frame.
    fn load_stored(&self, pack: &Id, place: &FramePlace) -> Result<Vec<u8>, ReadError> {
        let file = self.open_pack(pack)?;
        let fail = |what| self.damaged(pack, place, what);
        let end = place.offset.checked_add(place.total_length());
        if end.is_none_or(|end| end > file.length_bytes()) {
            return Err(fail("frame reaches beyond the pack"));
        }
        let length = usize::try_from(place.total_length()).map_err(|_| fail("frame too long"))?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, place.offset)?;
        let (header, stored) = bytes.split_at(FRAME_HEADER_BYTES);
        // The codec is known from the index, so one that is not known here is no later version.
        let (found, checksum) =
            decode_frame_header(header, place.offset).map_err(|error| match error {
                FormatError::Unsupported(what) => fail(what),
                decode => ReadError::file(self.backend.describe(&pack_file(pack)), decode),
            })?;
        if found != *place {
            return Err(fail("frame is not the one that the index describes"));
        }
        if frame_checksum(stored) != checksum {
            return Err(fail("frame is damaged"));
        }
        Ok(bytes)
    }

    fn load_front(&self, pack: &Id, place: &FramePlace, wanted: u32) -> Result<Vec<u8>, ReadError> {
        let fail = |what| self.damaged(pack, place, what);
        let bytes = self.load_stored(pack, place)?;
        let stored = bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        if place.codec == Codec::Delta {
            return Ok(stored.to_vec());
        }
        let mut raw = Vec::new();
        let mut decompressor = lock(&self.decompressors).pop().unwrap_or_default();
        let length = place.raw_length as usize;
        let wanted = wanted as usize;
        let decoded =
            decompressor.decompress_front(place.codec, stored, (length, wanted), &mut raw);
        lock(&self.decompressors).push(decompressor);
        decoded.map_err(|error| fail(error.what))?;
        Ok(raw)
    }
}
