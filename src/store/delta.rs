//! Objects that are stored as a difference from another one: decoding them, and choosing bases.
//!
//! Invariant: a base is an object that is stored whole, outside of delta frames, so reading goes one
//! step and never in circles; its bytes are proved before anything is decoded from them.

use std::sync::Arc;

use super::frames::pack_file;
use super::read::ObjectBytes;
use super::{ReadError, Store, Stored};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::codec::DecodeError;
use crate::format::compress::decompress_delta;
use crate::format::delta::{Base, Delta, decode_delta_frame};
use crate::format::index::{PackRecord, Place};

impl Store {
    /// Decodes an object of a delta frame. Its bytes are not compared with its id yet.
    pub(super) fn load_delta(
        &self,
        id: &Id,
        kind: Kind,
        pack: &PackRecord,
        place: &Place,
    ) -> Result<ObjectBytes, ReadError> {
        let stored = self.frames.read(&pack.name, &place.frame)?;
        let file = || self.backend.describe(&pack_file(&pack.name));
        let damaged = |source| ReadError::Damaged { id: *id, kind, file: file(), source };
        let deltas = decode_delta_frame(&stored, place.frame.raw_length).map_err(damaged)?;
        let is_it = |delta: &&Delta<'_>| {
            (delta.offset, delta.length, delta.kind) == (place.offset, place.length, kind)
        };
        let delta = deltas.iter().find(is_it).ok_or_else(|| {
            damaged(DecodeError { what: "its frame is not the one described", offset: 0 })
        })?;
        let base = self.load_base(&delta.base).map_err(|source| {
            let (file, source) = (file(), Box::new(source));
            ReadError::Base { id: *id, kind, file, base: Box::new(delta.base), source }
        })?;
        let mut bytes = Vec::new();
        decompress_delta(&base, delta.stored, delta.length as usize, &mut bytes)
            .map_err(damaged)?;
        Ok(ObjectBytes::new(Arc::new(bytes)))
    }

    /// The proved bytes of a base, from any place where it is whole.
    ///
    /// # Errors
    ///
    /// It is stored nowhere, or only as a difference itself; all places of it are damaged; the
    /// backend fails.
    pub fn load_base(&self, base: &Base) -> Result<ObjectBytes, ReadError> {
        let Base { id, kind } = *base;
        let mut first_error = None;
        let places = self.segments.places(&id);
        for (pack, place) in places.iter().filter(|(_, place)| place.base.is_none()) {
            match self.load_place(&id, kind, pack, place) {
                Ok(Stored::Whole(bytes)) => return Ok(bytes),
                Ok(Stored::List(_)) => {}
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match self.load_loose(&id, kind) {
            Ok(Some(Stored::Whole(bytes))) => return Ok(bytes),
            Ok(_) => {}
            Err(error) => first_error = first_error.or(Some(error)),
        }
        Err(first_error.unwrap_or_else(|| match places.first() {
            None => ReadError::Missing { id, kind },
            Some((pack, _)) => {
                let file = self.backend.describe(&pack_file(&pack.name));
                let source = DecodeError { what: "not stored whole, as a base is", offset: 0 };
                ReadError::Damaged { id, kind, file, source }
            }
        }))
    }

    /// Whether an object is stored whole, in a pack that is not condemned, so that what resembles it is stored as
    /// a difference from it and from no other.
    pub fn is_base_at_hand(&self, id: &Id) -> bool {
        self.segments.place_of_base(id, |pack, place| self.may_use(pack, place)).is_some()
    }

    /// What a new object that resembles `like` is best stored as a difference from: that object, or
    /// what it is stored as a difference from itself; and the bytes of its frame that are decoded to
    /// get at it. `None` if that is not at hand, is condemned, or damaged in the index.
    pub(super) fn base_for(&self, like: &Id) -> Option<(Base, usize)> {
        let whole = |id: &Id| {
            let place = self.segments.place_of_base(id, |pack, place| self.may_use(pack, place))?;
            let depth = place.offset.saturating_add(place.length) as usize;
            Some((Base { id: *id, kind: place.kind }, depth))
        };
        let of_delta = || self.segments.places(like).iter().find_map(|(_, place)| place.base);
        whole(like).or_else(|| whole(&of_delta()?.id))
    }
}
