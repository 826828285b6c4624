//! The index segments under check: their checksums, and whether they say what footers say.
//!
//! Invariant: a segment is asked only once its bytes were found to be those of its name, and they
//! are read before they are mapped, so that a bad sector is a finding and not a signal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::cursor::Cursor;
use super::report::{Finding, Findings};
use super::table::Marks;
use crate::backend::{Backend, BackendError, Mapped};
use crate::base::id::Id;
use crate::format::index::{Index, Place};
use crate::format::pack::FrameRecord;
use crate::ops::verify_pack::stream::hash_file;
use crate::ops::with_causes;
use crate::repository::RepositoryError;
use crate::store::ReadError;

/// How often segments are listed again because a writer merged some while they were opened.
const TRIES: usize = 5;

/// A segment whose bytes are those of its name.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: String,
    bytes: Mapped,
    /// Objects that footers were found to say as well.
    confirmed: AtomicU64,
    /// Whether the footers of all its packs were compared.
    is_comparable: AtomicBool,
    by_pack: OnceLock<Vec<(u32, u32)>>,
}

/// That a segment covers a pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cover {
    pub(super) segment: usize,
    /// The number of the pack there.
    pub(super) number: u32,
    /// The pack's bytes, as the segment says.
    pub(super) pack_bytes: u64,
}

/// All sound segments.
#[derive(Debug, Default)]
pub(super) struct Segments {
    list: Vec<Segment>,
    covers: BTreeMap<Id, Vec<Cover>>,
    pub(super) bytes_read: u64,
}

impl Segments {
    /// Opens all segments, and reports those that are not sound.
    pub(super) fn open(
        backend: &dyn Backend,
        findings: &Findings<'_>,
    ) -> Result<Self, RepositoryError> {
        for attempt in 1..=TRIES {
            // Reported only once it is whole, so that a second try reports nothing twice.
            if let Some((segments, problems)) = Self::try_open(backend, attempt == TRIES)? {
                for problem in problems {
                    findings.add(problem);
                }
                return Ok(segments);
            }
        }
        Ok(Self::default())
    }

    /// `None` if a listed segment has vanished, unless that is to be taken as it is.
    fn try_open(
        backend: &dyn Backend,
        is_last: bool,
    ) -> Result<Option<(Self, Vec<Finding>)>, RepositoryError> {
        let (mut opened, mut problems) = (Vec::new(), Vec::new());
        let listed = match backend.list("index") {
            Err(error @ BackendError::Damaged { .. }) => {
                problems
                    .push(Finding::damage("damaged_directory", with_causes(&error)).file("index"));
                Vec::new()
            }
            other => other?,
        };
        for listed in listed {
            let file = format!("index/{}", listed.name);
            let name = listed.name.strip_suffix(".idx").and_then(|name| name.parse().ok());
            let Some(name) = name else {
                problems.push(Finding::note("stray_file", "not the name of an index").file(file));
                continue;
            };
            match open_one(backend, &file, &name) {
                Ok(bytes) => opened.push((name, file, bytes)),
                Err(ReadError::Backend(BackendError::Missing { .. })) if !is_last => {
                    return Ok(None);
                }
                Err(error) => {
                    problems.push(Finding::damage("damaged_index", with_causes(&error)).file(file));
                }
            }
        }
        Ok(Some((Self::from_opened(opened), problems)))
    }

    /// Takes those that no other one replaces, as every reader does.
    fn from_opened(opened: Vec<(Id, String, Mapped)>) -> Self {
        let mut replaced = BTreeSet::new();
        for (_, _, bytes) in &opened {
            replaced.extend(Index::open(bytes).iter().flat_map(Index::replaced));
        }
        let mut segments = Self::default();
        for (name, file, bytes) in opened {
            segments.bytes_read += bytes.len() as u64;
            if !replaced.contains(&name) {
                segments.add(file, bytes);
            }
        }
        segments
    }

    fn add(&mut self, file: String, bytes: Mapped) {
        let number = self.list.len();
        let Ok(index) = Index::open(&bytes) else { return };
        for pack in 0..index.pack_count() {
            let Ok(record) = index.pack(pack) else { continue };
            let pack_bytes = record.length_bytes;
            let cover = Cover { segment: number, number: pack, pack_bytes };
            self.covers.entry(record.name).or_default().push(cover);
        }
        self.list.push(Segment {
            file,
            bytes,
            confirmed: AtomicU64::new(0),
            is_comparable: AtomicBool::new(true),
            by_pack: OnceLock::new(),
        });
    }

    /// Sound segments.
    pub(super) fn count(&self) -> u64 {
        self.list.len() as u64
    }

    /// Their tables, in the order by which covers number them.
    pub(super) fn indexes(&self) -> impl Iterator<Item = Index<'_>> {
        self.list.iter().filter_map(|segment| Index::open(&segment.bytes).ok())
    }

    /// Names of all packs that are covered.
    pub(super) fn packs(&self) -> impl Iterator<Item = Id> {
        self.covers.keys().copied()
    }

    /// How a pack is covered; empty if it is not.
    pub(super) fn covers(&self, pack: &Id) -> &[Cover] {
        self.covers.get(pack).map(Vec::as_slice).unwrap_or_default()
    }

    fn index(&self, cover: &Cover) -> Option<(&Segment, Index<'_>)> {
        let segment = self.list.get(cover.segment)?;
        Some((segment, Index::open(&segment.bytes).ok()?))
    }

    /// Whether a segment has exactly the objects of this footer for the pack, as far as they go;
    /// those are marked as usable.
    pub(super) fn agrees(&self, cover: &Cover, frames: &[FrameRecord], marks: &Marks<'_>) -> bool {
        let Some((segment, index)) = self.index(cover) else { return false };
        let mut objects: Vec<_> = frames
            .iter()
            .flat_map(|frame| {
                let objects = frame.object_offsets().enumerate();
                objects.map(move |(number, (offset, object))| {
                    (object.id.head(), &frame.place, frame.base(number), offset, object)
                })
            })
            .collect();
        // In the order of the index, so that what one look-up fetches serves the next.
        objects.sort_unstable_by_key(|(head, ..)| *head);
        let (mut confirmed, mut cursor) = (0, Cursor::new(index, objects.len()));
        for (_, place, base, offset, object) in objects {
            let expected = Place {
                pack: cover.number,
                frame: *place,
                offset,
                length: object.length,
                kind: object.kind,
                is_list: object.is_list,
                base,
            };
            let mut numbers = cursor.find(&object.id);
            let number = numbers.find(|number| index.place(*number) == Ok(expected));
            let Some(number) = number else { return false };
            // An index names an empty object that stands twice in a frame once.
            confirmed += u64::from(marks.keep(cover, number));
        }
        segment.confirmed.fetch_add(confirmed, Ordering::Relaxed);
        true
    }

    /// The file of the segment of a cover.
    pub(super) fn file(&self, cover: &Cover) -> &str {
        self.list.get(cover.segment).map_or("index", |segment| &segment.file)
    }

    /// Notes that a pack cannot be compared with the segments that cover it.
    pub(super) fn give_up(&self, covers: &[Cover]) {
        for segment in covers.iter().filter_map(|cover| self.list.get(cover.segment)) {
            segment.is_comparable.store(false, Ordering::Relaxed);
        }
    }

    /// The objects that a segment names for a pack, in the order of their places.
    pub(super) fn objects(&self, cover: &Cover) -> Vec<(Id, Place)> {
        let Some((segment, index)) = self.index(cover) else { return Vec::new() };
        let by_pack = segment.by_pack.get_or_init(|| {
            let count = u32::try_from(index.object_count()).unwrap_or(u32::MAX);
            let pack = |number: u32| Some((index.place(u64::from(number)).ok()?.pack, number));
            let mut by_pack: Vec<_> = (0..count).filter_map(pack).collect();
            by_pack.sort_unstable();
            by_pack
        });
        let from = by_pack.partition_point(|(pack, _)| *pack < cover.number);
        let numbers = by_pack.get(from..).unwrap_or_default().iter();
        let mut objects: Vec<(Id, Place)> = numbers
            .take_while(|(pack, _)| *pack == cover.number)
            .filter_map(|(_, number)| {
                let number = u64::from(*number);
                Some((index.id(number)?, index.place(number).ok()?))
            })
            .collect();
        objects.sort_unstable_by_key(|(_, place)| (place.frame.offset, place.offset));
        objects
    }

    /// Reports segments that name objects which their packs do not hold. Asked after all packs.
    pub(super) fn report_excess(&self, findings: &Findings<'_>) {
        for segment in &self.list {
            let Ok(index) = Index::open(&segment.bytes) else { continue };
            let confirmed = segment.confirmed.load(Ordering::Relaxed);
            if segment.is_comparable.load(Ordering::Relaxed) && confirmed != index.object_count() {
                let count = index.object_count();
                let message =
                    format!("it names {count} objects, its packs hold {confirmed} of them");
                findings.add(Finding::damage("damaged_index", message).file(&segment.file));
            }
        }
    }
}

fn open_one(backend: &dyn Backend, file: &str, name: &Id) -> Result<Mapped, ReadError> {
    let opened = backend.open(file)?;
    let damaged = |what| ReadError::File {
        file: file.to_owned(),
        source: crate::format::codec::DecodeError { what, offset: 0 },
    };
    if hash_file(&*opened)? != *name.as_bytes() {
        return Err(damaged("its bytes are not those of its name"));
    }
    let bytes = backend.map(file)?;
    match Index::open(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(damaged("not an index of this version")),
    }
}
