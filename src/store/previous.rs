//! The previous version of a long object, walked beside the new one to tell what resembles what.
//!
//! Invariant: it only advises. What cannot be read of it costs space, never an error; a window of
//! its chunks and one page more are held, however long it is.

use std::collections::VecDeque;

use super::read::Stored;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::list::{List, Section, Segment, decode_segment_page};

/// Bytes before and after the place at hand in which a chunk is looked for that both versions have.
const WINDOW_BYTES: u64 = 64 << 20;

/// Loads what is stored under an id; `None` if that cannot be done.
pub(super) type Load<'l> = dyn Fn(&Id, Kind) -> Option<Stored> + 'l;

/// A chunk, and where it stands in its object.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    id: Id,
    start: u64,
    end: u64,
}

/// Where one walks through the chunks and pages of a previous version.
#[derive(Debug)]
pub(super) struct Previous {
    chunks: VecDeque<Chunk>,
    /// Where the segment begins that is loaded next.
    loaded_to: u64,
    unread_pages: VecDeque<Id>,
    /// Where the next chunk of the new version begins.
    at: u64,
    /// How much further than there what resembles it begins.
    shift: i64,
    pub(super) segment_pages: Pages,
    pub(super) value_pages: Pages,
}

impl Previous {
    /// Prepares for a walk beside the version that has this id; `None` if that is not at hand.
    pub(super) fn new(id: &Id, kind: Kind, load: &Load<'_>) -> Option<Self> {
        let mut previous = Self {
            chunks: VecDeque::new(),
            loaded_to: 0,
            unread_pages: VecDeque::new(),
            at: 0,
            shift: 0,
            segment_pages: Pages::default(),
            value_pages: Pages::default(),
        };
        match load(id, kind)? {
            Stored::Whole(bytes) => {
                let chunk = Chunk { id: *id, start: 0, end: bytes.len() as u64 };
                previous.chunks.push_back(chunk);
            }
            Stored::List(List { segments, values, .. }) => {
                match segments {
                    Section::Inline(segments) => previous.append(segments),
                    Section::Paged(pages) => {
                        previous.unread_pages = pages.iter().copied().collect();
                        previous.segment_pages = Pages::new(pages);
                    }
                }
                if let Section::Paged(pages) = values {
                    previous.value_pages = Pages::new(pages);
                }
            }
        }
        Some(previous)
    }

    fn append(&mut self, segments: Vec<Segment>) {
        for segment in segments {
            let (start, end) = (self.loaded_to, self.loaded_to + segment.length_bytes());
            if let Segment::Chunk { id, .. } = segment {
                self.chunks.push_back(Chunk { id, start, end });
            }
            self.loaded_to = end;
        }
    }

    /// Where what resembles the next byte of the new version stands.
    fn place(&self) -> u64 {
        self.at.saturating_add_signed(self.shift)
    }

    /// The chunk that stands where the next chunk of the new version, of this length, would.
    pub(super) fn like(&mut self, length: u64, load: &Load<'_>) -> Option<Id> {
        let from = self.place();
        let to = from.saturating_add(length);
        while self.loaded_to < to.saturating_add(WINDOW_BYTES) {
            let Some(page) = self.unread_pages.pop_front() else { break };
            let Some(Stored::Whole(bytes)) = load(&page, Kind::Page) else { break };
            self.append(decode_segment_page(&bytes).unwrap_or_default());
        }
        let behind = from.saturating_sub(WINDOW_BYTES);
        while self.chunks.front().is_some_and(|chunk| chunk.end < behind) {
            self.chunks.pop_front();
        }
        let common = |chunk: &Chunk| chunk.end.min(to).saturating_sub(chunk.start.max(from));
        let nearest = self.chunks.iter().max_by_key(|chunk| common(chunk))?;
        Some(nearest.id).filter(|_| common(nearest) > 0)
    }

    /// Goes on behind a chunk of the new version. One that the previous version has nearby tells
    /// how far the two have shifted.
    pub(super) fn pass(&mut self, id: &Id, length: u64) {
        let place = self.place();
        let same = self.chunks.iter().filter(|chunk| chunk.id == *id);
        if let Some(chunk) = same.min_by_key(|chunk| chunk.start.abs_diff(place)) {
            self.shift = chunk.start.wrapping_sub(self.at).cast_signed();
        }
        self.at = self.at.saturating_add(length);
    }

    /// Goes on behind zeros of the new version.
    pub(super) fn pass_zeros(&mut self, length: u64) {
        self.at = self.at.saturating_add(length);
    }
}

/// Pages of one sort, gone through in order.
#[derive(Debug, Default)]
pub(super) struct Pages {
    ids: Vec<Id>,
    next: usize,
}

impl Pages {
    fn new(ids: Vec<Id>) -> Self {
        Self { ids, next: 0 }
    }

    /// The page that the next one resembles, as far as can be told.
    pub(super) fn like(&self) -> Option<Id> {
        self.ids.get(self.next).copied()
    }

    /// Goes on behind a page of the new version.
    pub(super) fn pass(&mut self, id: &Id) {
        let same = self.ids.iter().position(|page| page == id);
        self.next = same.unwrap_or(self.next) + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::object_id;

    const CHUNK: u64 = 1 << 20;

    fn id(number: u64) -> Id {
        object_id(Kind::Blob, &number.to_le_bytes())
    }

    fn previous(count: u64) -> Previous {
        let chunk = |number| Segment::Chunk { id: id(number), length_bytes: CHUNK };
        let segments = Section::Inline((0..count).map(chunk).collect());
        let list = List { length_bytes: count * CHUNK, segments, values: Section::Inline(vec![]) };
        let load = |_: &Id, _| Some(Stored::List(list.clone()));
        Previous::new(&id(0), Kind::Blob, &load).expect("a list")
    }

    fn nothing(_: &Id, _: Kind) -> Option<Stored> {
        None
    }

    #[test]
    fn a_changed_chunk_resembles_the_one_that_stood_there() {
        let mut previous = previous(10);
        for number in 0..10 {
            assert_eq!(previous.like(CHUNK, &nothing), Some(id(number)));
            let is_changed = number % 3 == 0;
            previous.pass(&id(if is_changed { 100 + number } else { number }), CHUNK);
        }
        assert_eq!(previous.like(CHUNK, &nothing), None);
    }

    #[test]
    fn after_a_shift_the_first_chunk_that_both_have_brings_them_into_step() {
        // So much was inserted after the second chunk, and so much was taken out.
        for (inserted, taken) in
            [(13, 0), (10 * CHUNK, 0), (0, 7 * CHUNK), (5 * CHUNK + 7, 3 * CHUNK)]
        {
            let mut previous = previous(100);
            previous.pass(&id(0), CHUNK);
            previous.pass(&id(1), CHUNK);
            previous.pass(&id(1000), CHUNK.max(inserted));
            let first = 3 + taken / CHUNK;
            previous.like(CHUNK, &nothing);
            previous.pass(&id(first), CHUNK);
            for number in first + 1..90 {
                assert_eq!(previous.like(CHUNK, &nothing), Some(id(number)), "{inserted} {taken}");
                previous.pass(&id(1000 + number), CHUNK);
            }
        }
    }

    #[test]
    fn the_window_is_bounded() {
        let mut previous = previous(1000);
        for number in 0..900 {
            previous.like(CHUNK, &nothing);
            previous.pass(&id(number), CHUNK);
        }
        assert!(previous.chunks.len() as u64 <= 100 + WINDOW_BYTES / CHUNK + 2);
    }
}
