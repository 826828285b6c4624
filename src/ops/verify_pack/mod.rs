//! Verifying one pack by itself: its name, header, frames, objects, footer and trailer.
//!
//! Invariant: it only reads, holds one frame and the footer, and tells where in the pack each thing
//! is that is not as it should be.

pub(in crate::ops) mod deltas;
pub(in crate::ops) mod frames;
pub(in crate::ops) mod scan;
pub(in crate::ops) mod stream;
pub(in crate::ops) mod window;

use std::io;

use self::deltas::Bases;
use self::frames::{FrameReader, Planned, Visitor, read_planned};
use self::scan::{Scanned, Scanner};
use self::stream::hash_file;
use super::with_causes;
use crate::backend::RandomRead;
use crate::base::id::Id;
use crate::format::delta::Base;
use crate::format::pack::{FrameObject, FramePlace, PackClass, TRAILER_BYTES};
use crate::store::{ReadError, Store, read_frames, read_header, read_trailer};

/// Findings of one pack that are kept one by one; those after it share one record.
const FINDINGS_MAX: u64 = 1000;

/// One thing about a pack that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFinding {
    /// Stable word for programs: `damaged_header`, `damaged_frame`, `damaged_object`,
    /// `damaged_footer`, `damaged_trailer`, `damaged_pack`, `unreadable_file`, `missing_pack`,
    /// `unsupported`.
    pub code: &'static str,
    /// One line for people.
    pub message: String,
    /// Where it is, in bytes from the front of the pack, if that can be told.
    pub offset: Option<u64>,
}

/// An object in a pack.
#[derive(Debug)]
pub struct PackedObject<'a> {
    /// What the pack says of it.
    pub object: &'a FrameObject,
    /// The frame it is in.
    pub frame: &'a FramePlace,
    /// The bytes of the object itself, once it was proved; or why it cannot be.
    pub size_bytes: Result<u64, String>,
}

/// What the verification of a pack found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackReport {
    /// The hash of its bytes, which is its name; `None` if it cannot be read.
    pub hash: Option<Id>,
    /// Its bytes.
    pub length_bytes: u64,
    /// What it is for; `None` if its header is damaged.
    pub class: Option<PackClass>,
    /// Frames in it that were found.
    pub frames: u64,
    /// Objects in those.
    pub objects: u64,
    /// Of the objects, those that were not proved, as they need bases from a repository and there is
    /// none. The hash of the pack vouches for them.
    pub unproved: u64,
    /// What is not as it should be, in the order of places as far as possible.
    pub findings: Vec<PackFinding>,
    more_findings: u64,
}

impl PackReport {
    /// The report of a pack that could not be opened.
    pub fn of_unopened(code: &'static str, message: String) -> Self {
        let mut report = Self::default();
        report.add(code, message, None);
        report
    }

    /// Whether the pack is as it should be.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, code: &'static str, message: String, offset: Option<u64>) {
        if self.findings.len() as u64 <= FINDINGS_MAX {
            self.findings.push(PackFinding { code, message, offset });
            return;
        }
        self.more_findings += 1;
        let message = format!("and {} more findings", self.more_findings + 1);
        if let Some(last) = self.findings.last_mut() {
            *last = PackFinding { code: "damaged_pack", message, offset: None };
        }
    }
}

/// Takes each object of a pack as it is verified.
pub type EachObject<'e> = dyn FnMut(&PackedObject<'_>) -> io::Result<()> + 'e;

/// Verifies a pack that should have this name. Bases are looked for in `store`. What is wrong with it
/// is in the report.
///
/// # Errors
///
/// What `each` returned.
pub fn verify_pack(
    pack: &dyn RandomRead,
    name: Option<&Id>,
    store: Option<&Store>,
    each: &mut EachObject<'_>,
) -> io::Result<PackReport> {
    let report = PackReport { length_bytes: pack.length_bytes(), ..PackReport::default() };
    let mut verifier = Verifier { report, each, failed: None };
    // That a base is missing is not for the pack to answer.
    let bases = |base: &Base| match store.map(|store| store.load_base(base)).transpose() {
        Err(ReadError::Missing { .. }) => Ok(None),
        other => other,
    };
    verifier.verify(pack, name, &bases);
    match verifier.failed {
        Some(error) => Err(error),
        None => Ok(verifier.report),
    }
}

struct Verifier<'v, 'e> {
    report: PackReport,
    each: &'v mut EachObject<'e>,
    /// Why objects cannot be handed on any more.
    failed: Option<io::Error>,
}

impl Verifier<'_, '_> {
    fn verify(&mut self, pack: &dyn RandomRead, name: Option<&Id>, bases: &Bases<'_>) {
        match read_header(pack, "") {
            Ok(header) => self.report.class = Some(header.class),
            Err(ReadError::Unsupported { what, .. }) => {
                let hash = hash_file(pack).ok().map(Id::from_bytes);
                // A flipped bit must not pass for a later version.
                if name.is_none() || hash.as_ref() == name {
                    self.report.hash = hash;
                    return self.report.add("unsupported", what.to_owned(), Some(0));
                }
                self.report.add("damaged_header", what.to_owned(), Some(0));
            }
            Err(error) => self.add_error("damaged_header", &error, 0),
        }
        let hash = if let Some(plan) = self.plan(pack) {
            self.report.frames = plan.len() as u64;
            read_planned(pack, &plan, &mut FrameReader::default(), bases, self)
        } else {
            self.scan(pack, bases);
            hash_file(pack).map(Id::from_bytes)
        };
        match hash {
            Ok(hash) => self.report.hash = Some(hash),
            Err(error) => self.report.add("unreadable_file", with_causes(&error), None),
        }
        if name.is_some() && self.report.hash.is_some() && self.report.hash.as_ref() != name {
            let (message, offset) = match self.report.is_sound() {
                true => ("its name is wrong, or its header: all else in it proves itself", Some(0)),
                false => ("its bytes are not those of its name", None),
            };
            self.report.add("damaged_pack", message.to_owned(), offset);
        }
    }

    fn add_error(&mut self, code: &'static str, error: &ReadError, offset: u64) {
        let (code, message) = match error {
            ReadError::File { source, .. } => (code, source.to_string()),
            other => ("unreadable_file", with_causes(other)),
        };
        self.report.add(code, message, Some(offset));
    }

    /// What the footer says; `None` if it cannot be believed.
    fn plan(&mut self, pack: &dyn RandomRead) -> Option<Vec<Planned>> {
        let trailer = match read_trailer(pack, "") {
            Ok(trailer) => trailer,
            Err(error) => {
                let at = pack.length_bytes().saturating_sub(TRAILER_BYTES as u64);
                self.add_error("damaged_trailer", &error, at);
                return None;
            }
        };
        match read_frames(pack, "", &trailer) {
            Ok(frames) => Some(frames.iter().map(Planned::from).collect()),
            Err(error) => {
                self.add_error("damaged_footer", &error, trailer.offset);
                None
            }
        }
    }

    fn scan(&mut self, pack: &dyn RandomRead, bases: &Bases<'_>) {
        let frames_end = read_trailer(pack, "").ok().map(|trailer| trailer.offset);
        let mut scanner = Scanner::new(pack, frames_end, bases);
        while self.failed.is_none() {
            match scanner.next() {
                Ok(None) => return,
                Ok(Some(Scanned::Lost { at, reason })) => {
                    self.report.add("damaged_frame", reason, Some(at));
                }
                Ok(Some(Scanned::Frame(record))) => {
                    self.report.frames += 1;
                    for (object, size_bytes) in record.objects.iter().zip(scanner.sizes()) {
                        self.object(&record.place, object, Ok(size_bytes));
                    }
                }
                Err(error) => return self.report.add("unreadable_file", with_causes(&error), None),
            }
        }
    }
}

impl Visitor for Verifier<'_, '_> {
    fn object(&mut self, frame: &FramePlace, object: &FrameObject, proved: Result<u64, String>) {
        self.report.objects += 1;
        if let Err(message) = &proved {
            let message = format!("{} {}: {message}", object.kind, object.id);
            self.report.add("damaged_object", message, Some(frame.offset));
        }
        if self.failed.is_none() {
            let handed = (self.each)(&PackedObject { object, frame, size_bytes: proved });
            self.failed = handed.err();
        }
    }

    fn unproved(&mut self) {
        self.report.unproved += 1;
    }

    fn lost(&mut self, frame: &Planned, at: u64, reason: String) {
        self.report.objects += frame.objects.len() as u64;
        self.report.add("damaged_frame", reason, Some(at));
    }
}
