//! Content-defined chunks and zero runs: where a long object is cut.
//!
//! Invariant: the cuts depend on the bytes and the parameters alone, never on how the bytes arrive.
//! Algorithm: gear hash with normalised chunking, after Xia and others, "`FastCDC`" (USENIX ATC 2016).
//! Format: runup-repository(5), CHUNKS.

use serde::{Deserialize, Serialize};

use crate::base::limits::{HOLE_ALIGN_BYTES, HOLE_BYTES_MIN, PIECE_BYTES};
use crate::base::zeros::zeros;

/// Where cuts may fall. Stored in the repository's `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkerParameters {
    /// Shortest chunk, in bytes; only the last of a stretch may be shorter.
    pub min_bytes: u32,
    /// Length at which cuts become likelier; a power of two.
    pub normal_bytes: u32,
    /// Longest chunk, in bytes; an object up to this long is never cut.
    pub max_bytes: u32,
}

impl Default for ChunkerParameters {
    fn default() -> Self {
        Self { min_bytes: 256 << 10, normal_bytes: 1 << 20, max_bytes: 2 << 20 }
    }
}

impl ChunkerParameters {
    /// Whether the parameters are ones that this version can work with.
    pub fn is_valid(&self) -> bool {
        self.min_bytes >= 4 << 10
            && self.min_bytes <= self.normal_bytes
            && self.normal_bytes <= self.max_bytes
            && self.normal_bytes.is_power_of_two()
            && self.max_bytes as usize >= PIECE_BYTES
            && self.max_bytes <= 32 << 20
    }
}

/// Finds cuts by a rolling gear hash.
#[derive(Clone)]
pub struct Chunker {
    parameters: ChunkerParameters,
    gear: std::sync::Arc<[u64; 256]>,
    mask_before: u64,
    mask_after: u64,
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunker").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl Chunker {
    /// Prepares a chunker. The gear table is BLAKE3 output, the same in every unencrypted repository.
    pub fn new(parameters: ChunkerParameters) -> Self {
        let mut gear = [0; 256];
        let mut stream =
            blake3::Hasher::new_derive_key("RunUp 2026-11-22 gear table").finalize_xof();
        for value in &mut gear {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            *value = u64::from_le_bytes(bytes);
        }
        // Two bits more than the average wants before the normal length, two fewer after it. The
        // high bits of a gear hash depend on the most bytes, so the masks take those.
        let bits = parameters.normal_bytes.max(8).ilog2();
        Self {
            parameters,
            gear: std::sync::Arc::new(gear),
            mask_before: high_bits(bits + 2),
            mask_after: high_bits(bits.saturating_sub(2)),
        }
    }

    /// The parameters it was made with.
    pub fn parameters(&self) -> &ChunkerParameters {
        &self.parameters
    }

    /// Longest chunk, in bytes.
    pub fn max_bytes(&self) -> usize {
        self.parameters.max_bytes as usize
    }

    /// The length of the first chunk of `bytes`, which is the longest that may be, or all there is.
    fn cut(&self, bytes: &[u8]) -> usize {
        let [min, normal, max] =
            [self.parameters.min_bytes, self.parameters.normal_bytes, self.parameters.max_bytes]
                .map(|length| bytes.len().min(length as usize));
        let mut hash = 0_u64;
        let mut scan = |from: usize, to: usize, mask: u64| {
            bytes.get(from..to)?.iter().position(|byte| {
                hash = (hash << 1).wrapping_add(self.gear[usize::from(*byte)]);
                hash & mask == 0
            })
        };
        if let Some(at) = scan(min, normal, self.mask_before) {
            return min + at + 1;
        }
        scan(normal, max, self.mask_after).map_or(max, |at| normal + at + 1)
    }
}

const fn high_bits(count: u32) -> u64 {
    u64::MAX << (64 - if count > 63 { 63 } else { count })
}

/// One stretch of a long object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch<'a> {
    /// A chunk to store.
    Chunk(&'a [u8]),
    /// This many zero bytes.
    Zeros(u64),
}

/// Cuts a stream into chunks and zero runs.
///
/// A zero run is a longest run of zero bytes that begins at a multiple of 4 KiB, ends at one or at
/// the end, and has at least 64 KiB. What lies between runs is cut by the [`Chunker`], afresh after
/// each run.
#[derive(Debug)]
pub struct Segmenter {
    chunker: Chunker,
    /// Bytes that wait for a cut, behind some that were cut off.
    waiting: Vec<u8>,
    /// Where those begin that wait.
    cut: usize,
    /// Start of an aligned block whose rest has not come yet.
    block: Vec<u8>,
    /// Zero bytes seen since the last other block, not in `waiting` yet.
    zeros: u64,
}

impl Segmenter {
    /// Starts at the front of an object.
    pub fn new(chunker: Chunker) -> Self {
        Self { chunker, waiting: Vec::new(), cut: 0, block: Vec::new(), zeros: 0 }
    }

    /// Takes the next bytes, and hands on what can be cut.
    ///
    /// # Errors
    ///
    /// Whatever `sink` returns.
    pub fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(Stretch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.block.is_empty() {
            let take = bytes.len().min(HOLE_ALIGN_BYTES - self.block.len());
            let (head, rest) = bytes.split_at(take);
            self.block.extend_from_slice(head);
            bytes = rest;
            if self.block.len() < HOLE_ALIGN_BYTES {
                return Ok(());
            }
            let mut block = std::mem::take(&mut self.block);
            self.whole_blocks(&block, sink)?;
            block.clear();
            self.block = block;
        }
        let whole = bytes.len() - bytes.len() % HOLE_ALIGN_BYTES;
        let (blocks, rest) = bytes.split_at(whole);
        self.whole_blocks(blocks, sink)?;
        self.block.extend_from_slice(rest);
        Ok(())
    }

    /// Takes a hole: zero bytes that nobody had to read.
    ///
    /// # Errors
    ///
    /// Whatever `sink` returns.
    pub fn feed_zeros<E>(
        &mut self,
        mut count: u64,
        sink: &mut impl FnMut(Stretch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let block = HOLE_ALIGN_BYTES as u64;
        if !self.block.is_empty() {
            let take = count.min(block - self.block.len() as u64);
            self.feed(&zeros()[..take as usize], sink)?;
            count -= take;
        }
        self.zeros += count - count % block;
        self.feed(&zeros()[..(count % block) as usize], sink)
    }

    fn whole_blocks<E>(
        &mut self,
        blocks: &[u8],
        sink: &mut impl FnMut(Stretch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = 0;
        for (number, block) in blocks.chunks(HOLE_ALIGN_BYTES).enumerate() {
            let at = number * HOLE_ALIGN_BYTES;
            if is_zero(block) {
                self.take_waiting(&blocks[from..at], sink)?;
                self.zeros += block.len() as u64;
                from = at + block.len();
            } else if self.zeros > 0 {
                self.end_zeros(sink)?;
            }
        }
        self.take_waiting(&blocks[from..], sink)
    }

    fn take_waiting<E>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(Stretch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let room = self.chunker.max_bytes() - (self.waiting.len() - self.cut);
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            self.waiting.extend_from_slice(head);
            bytes = rest;
            if head.len() == room {
                self.cut_one(sink)?;
            }
        }
        Ok(())
    }

    fn cut_one<E>(&mut self, sink: &mut impl FnMut(Stretch<'_>) -> Result<(), E>) -> Result<(), E> {
        let waiting = &self.waiting[self.cut..];
        let length = self.chunker.cut(waiting);
        sink(Stretch::Chunk(&waiting[..length]))?;
        self.cut += length;
        // Seldom, as what waits is moved to the front.
        if self.cut >= 2 * self.chunker.max_bytes() || self.cut == self.waiting.len() {
            self.waiting.drain(..self.cut);
            self.cut = 0;
        }
        Ok(())
    }

    fn cut_all<E>(&mut self, sink: &mut impl FnMut(Stretch<'_>) -> Result<(), E>) -> Result<(), E> {
        while !self.waiting.is_empty() {
            self.cut_one(sink)?;
        }
        Ok(())
    }

    /// Ends a run of zero bytes: a hole if it is long enough, else bytes like any other.
    fn end_zeros<E>(
        &mut self,
        sink: &mut impl FnMut(Stretch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let count = std::mem::take(&mut self.zeros);
        if count >= HOLE_BYTES_MIN {
            self.cut_all(sink)?;
            return sink(Stretch::Zeros(count));
        }
        self.take_waiting(&zeros()[..count as usize], sink)
    }

    /// Ends the object. The segmenter is ready for another one then.
    ///
    /// # Errors
    ///
    /// Whatever `sink` returns.
    pub fn finish<E>(
        &mut self,
        sink: &mut impl FnMut(Stretch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let block = std::mem::take(&mut self.block);
        self.whole_blocks(&block, sink)?;
        self.end_zeros(sink)?;
        self.cut_all(sink)
    }
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_le_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn parameters() -> ChunkerParameters {
        ChunkerParameters { min_bytes: 4 << 10, normal_bytes: 16 << 10, max_bytes: 1 << 20 }
    }

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Cuts `bytes`, fed in steps of the given lengths, into (length, is hole) and the bytes back.
    fn cut(chunker: &Chunker, bytes: &[u8], steps: &[usize]) -> (Vec<(u64, bool)>, Vec<u8>) {
        let (mut cuts, mut back) = (Vec::new(), Vec::new());
        let mut sink = |stretch: Stretch<'_>| -> Result<(), Infallible> {
            match stretch {
                Stretch::Chunk(chunk) => {
                    cuts.push((chunk.len() as u64, false));
                    back.extend_from_slice(chunk);
                }
                Stretch::Zeros(count) => {
                    cuts.push((count, true));
                    back.resize(back.len() + count as usize, 0);
                }
            }
            Ok(())
        };
        let mut segmenter = Segmenter::new(chunker.clone());
        let mut rest = bytes;
        for step in steps.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (head, tail) = rest.split_at(rest.len().min(*step));
            match is_zero(head) && step % 2 == 0 {
                true => segmenter.feed_zeros(head.len() as u64, &mut sink),
                false => segmenter.feed(head, &mut sink),
            }
            .unwrap_or_else(|never| match never {});
            rest = tail;
        }
        segmenter.finish(&mut sink).unwrap_or_else(|never| match never {});
        (cuts, back)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn cuts_do_not_depend_on_how_bytes_arrive(
            runs in proptest::collection::vec((0_usize..200_000, 0_usize..200_000), 1..6),
            steps in proptest::collection::vec(1_usize..70_000, 1..5),
            seed: u64,
        ) {
            let mut bytes = Vec::new();
            for (data, zeros) in runs {
                bytes.extend(noise(data, seed));
                bytes.resize(bytes.len() + zeros, 0);
            }
            let chunker = Chunker::new(parameters());
            let (cuts, back) = cut(&chunker, &bytes, &[bytes.len().max(1)]);
            prop_assert_eq!(&back, &bytes);
            prop_assert_eq!(&cut(&chunker, &bytes, &steps).0, &cuts);
            for (length, is_hole) in cuts {
                prop_assert!(!is_hole || length >= HOLE_BYTES_MIN);
                prop_assert!(is_hole || length <= 1 << 20);
            }
        }
    }

    proptest! {
        #[test]
        fn a_cut_is_where_the_mask_of_its_stretch_says(
            (min, normal, max) in (0_u32..40, 0_u32..40, 0_u32..400)
                .prop_map(|(a, b, c)| (a, a + b, a + b + c)),
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let parameters =
                ChunkerParameters { min_bytes: min, normal_bytes: normal, max_bytes: max };
            let chunker = Chunker::new(parameters);
            let bounded = |length: u32| bytes.len().min(length as usize);
            let mut hash = 0_u64;
            let cut = (bounded(min)..bounded(max)).find(|at| {
                hash = (hash << 1).wrapping_add(chunker.gear[usize::from(bytes[*at])]);
                let is_before = *at < bounded(normal);
                hash & if is_before { chunker.mask_before } else { chunker.mask_after } == 0
            });
            prop_assert_eq!(chunker.cut(&bytes), cut.map_or(bounded(max), |at| at + 1));
        }
    }

    #[test]
    fn an_insertion_moves_few_cuts() {
        let chunker = Chunker::new(ChunkerParameters::default());
        let bytes = noise(40 << 20, 7);
        let longer = [&noise(1000, 8)[..], &bytes].concat();
        let chunks = |bytes: &[u8]| -> std::collections::BTreeSet<[u8; 32]> {
            let mut ids = std::collections::BTreeSet::new();
            let mut sink = |stretch: Stretch<'_>| -> Result<(), Infallible> {
                if let Stretch::Chunk(chunk) = stretch {
                    ids.insert(crate::base::hash::plain(chunk));
                }
                Ok(())
            };
            let mut segmenter = Segmenter::new(chunker.clone());
            segmenter.feed(bytes, &mut sink).unwrap_or_else(|never| match never {});
            segmenter.finish(&mut sink).unwrap_or_else(|never| match never {});
            ids
        };
        let (before, after) = (chunks(&bytes), chunks(&longer));
        assert!((20..=80).contains(&before.len()), "{} chunks of 40 MiB", before.len());
        assert!(after.difference(&before).count() <= 2);
    }

    #[test]
    fn holes_are_aligned_and_long_enough() {
        let chunker = Chunker::new(parameters());
        let mut bytes = noise(5000, 1);
        bytes.resize(5000 + (64 << 10) + 8192, 0);
        let end = bytes.len() as u64;
        bytes.extend(noise(10, 2));
        let (cuts, _) = cut(&chunker, &bytes, &[1 << 20]);
        let last_block = end - end % 4096;
        assert_eq!(cuts[cuts.len() - 2], (last_block - 8192, true));
        let short = vec![0; HOLE_BYTES_MIN as usize - 1];
        assert!(cut(&chunker, &short, &[1 << 20]).0.iter().all(|(_, is_hole)| !is_hole));
    }
}
