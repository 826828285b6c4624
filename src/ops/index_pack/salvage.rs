//! Copying the sound frames of a damaged pack into new packs.
//!
//! Invariant: frames are copied in their order, and as they are unless an object of a delta frame is
//! lost; the damaged pack is only read.

use crate::backend::RandomRead;
use crate::base::id::Id;
use crate::format::index::{IndexBuilder, PackRecord};
use crate::format::pack::{FrameObject, FrameRecord, PackClass};
use crate::ops::verify_pack::deltas::Bases;
use crate::ops::verify_pack::scan::{Scanned, Scanner};
use crate::repository::RepositoryError;
use crate::store::{PackPart, PackWriter, Store, read_footer, read_trailer};

/// A pack, and what is in it.
pub(super) type Frames = (PackRecord, Vec<FrameRecord>);

/// What could be saved of a pack.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    /// The new packs; without a session, the pack itself.
    pub(super) packs: Vec<Frames>,
    /// Places where a frame should stand and none that can be used does, or not all of it.
    pub(super) lost: u64,
    /// The first of them.
    pub(super) first_lost: Option<(u64, String)>,
}

/// Whether the objects of a frame, or a pack, belong to a pack of metadata.
pub(super) fn class_of<'o>(mut objects: impl Iterator<Item = &'o FrameObject>) -> PackClass {
    match objects.any(|object| object.is_list || object.kind.is_metadata()) {
        true => PackClass::Metadata,
        false => PackClass::Content,
    }
}

/// A store that finds also what damaged packs hold whole, so that objects of theirs that were stored
/// as a difference from that can be decoded. The packs are read through once.
pub(super) fn reader_of(store: &Store, damaged: &[Id]) -> Result<Store, RepositoryError> {
    let mut builder = IndexBuilder::default();
    for name in damaged {
        let Ok(pack) = store.backend().open(&format!("packs/{name}.pack")) else { continue };
        let scanner = Scanner::new(&*pack, frames_end(&*pack), &|_| Ok(None));
        for (record, frames) in copy(store, None, *name, &*pack, scanner)?.packs {
            builder.add_pack(record, &frames);
        }
    }
    Ok(store.with_unpublished(vec![builder])?)
}

/// Where the frames of a pack end, as far as its trailer can be believed.
fn frames_end(pack: &dyn RandomRead) -> Option<u64> {
    read_trailer(pack, "").ok().map(|trailer| trailer.offset)
}

/// Copies all frames that are sound; without a session, only looks at them.
///
/// A delta frame that the footer tells of is copied also where bases are lost: these may come back.
/// Of another, the objects are copied that can be decoded.
pub(super) fn salvage(
    store: &Store,
    session: Option<&str>,
    name: Id,
    pack: &dyn RandomRead,
    bases: &Bases<'_>,
) -> Result<Salvaged, RepositoryError> {
    let known = read_footer(pack, "").map(|(_, frames)| frames).unwrap_or_default();
    let scanner = Scanner::new(pack, frames_end(pack), bases).with_known(known.into_iter());
    let scanner = if session.is_some() { scanner.splitting() } else { scanner };
    copy(store, session, name, pack, scanner)
}

fn copy(
    store: &Store,
    session: Option<&str>,
    name: Id,
    pack: &dyn RandomRead,
    mut scanner: Scanner<'_>,
) -> Result<Salvaged, RepositoryError> {
    let mut salvaged = Salvaged::default();
    let mut writers: [Option<PackWriter>; 2] = [None, None];
    let mut seen = Vec::new();
    while let Some(scanned) = scanner.next()? {
        let record = match scanned {
            Scanned::Frame(record) => record,
            Scanned::Lost { at, reason } => {
                salvaged.lost += 1;
                salvaged.first_lost.get_or_insert((at, reason));
                continue;
            }
        };
        if let Some(reason) = scanner.take_left_out() {
            salvaged.lost += 1;
            salvaged.first_lost.get_or_insert((record.place.offset, reason));
        }
        let Some(session) = session else {
            seen.push(record);
            continue;
        };
        let class = class_of(record.objects.iter());
        let writer = &mut writers[class as usize];
        let mut open = match writer.take() {
            Some(open) => open,
            None => PackWriter::new(store.backend(), session, class)?,
        };
        let (codec, raw_length) = (record.place.codec, record.place.raw_length as usize);
        let stored = scanner.stored().to_vec();
        let FrameRecord { objects, bases, .. } = record;
        open.add(PackPart { class, codec, stored, raw_length, objects, bases })?;
        *writer = Some(open);
    }
    for writer in writers.into_iter().flatten() {
        salvaged.packs.push(writer.finish()?);
    }
    if !seen.is_empty() {
        salvaged.packs.push((PackRecord { name, length_bytes: pack.length_bytes() }, seen));
    }
    Ok(salvaged)
}
