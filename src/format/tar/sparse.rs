//! Sparse files: which stretches an archive holds, in the four ways that GNU tar has told it.
//!
//! Invariant: stretches that are handed on are in order, do not overlap, end inside the file, and
//! add up to what the archive holds.

use super::block::{self, BlockWriter, bytes_of, count};
use super::{BLOCK_BYTES, Block, TarError};

/// A stretch of a file that an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes.
    pub length_bytes: u64,
}

/// Most stretches of one file: 64 MiB of them in memory.
pub const EXTENTS_MAX: usize = 4 << 20;

const TOO_MANY: TarError = TarError::OverLimit("a sparse file has over 4,194,304 stretches");
const NOT_DECIMAL: TarError = TarError::Malformed("a number in a sparse map is not decimal");

/// Bytes of one stretch in a GNU block: two numbers of twelve.
const GNU_EXTENT_BYTES: usize = 24;
/// Where the flag for more blocks stands in a block of stretches.
const MORE_FLAG_AT: usize = 504;
/// Digits of the longest number in a map of text.
const DIGITS_MAX: usize = 20;

/// Adds a stretch to a map.
pub(super) fn push(extents: &mut Vec<Extent>, extent: Extent) -> Result<(), TarError> {
    if extents.len() >= EXTENTS_MAX {
        return Err(TOO_MANY);
    }
    extents.push(extent);
    Ok(())
}

/// Takes the stretches of a GNU header; whether more follow in a block of their own.
pub(super) fn gnu_header(header: &Block, extents: &mut Vec<Extent>) -> Result<bool, TarError> {
    gnu_extents(bytes_of(header, &block::GNU_EXTENTS), extents)?;
    Ok(bytes_of(header, &block::GNU_HAS_MORE) != [0])
}

/// Takes the stretches of a block that follows a GNU header; whether another one follows.
///
/// # Errors
///
/// A number is not one; there are too many stretches.
pub fn gnu_block(block: &Block, extents: &mut Vec<Extent>) -> Result<bool, TarError> {
    gnu_extents(block.get(..MORE_FLAG_AT).unwrap_or_default(), extents)?;
    Ok(block.get(MORE_FLAG_AT).is_some_and(|flag| *flag != 0))
}

fn gnu_extents(bytes: &[u8], extents: &mut Vec<Extent>) -> Result<(), TarError> {
    for pair in bytes.chunks_exact(GNU_EXTENT_BYTES) {
        let (offset, length) = pair.split_at_checked(12).unwrap_or_default();
        if length.first() == Some(&0) {
            break;
        }
        push(extents, Extent { offset: count(offset)?, length_bytes: count(length)? })?;
    }
    Ok(())
}

/// Checks a whole map, and leaves out stretches without bytes.
///
/// # Errors
///
/// Stretches overlap, are out of order, end after the file or do not add up to `stored_bytes`.
pub fn check(
    mut extents: Vec<Extent>,
    size_bytes: u64,
    stored_bytes: u64,
) -> Result<Vec<Extent>, TarError> {
    let (mut end, mut total) = (0_u64, 0_u64);
    for extent in &extents {
        if extent.offset < end {
            return Err(TarError::Malformed("stretches of a sparse file overlap"));
        }
        let past = TarError::Malformed("a sparse file has bytes after its end");
        end = extent.offset.checked_add(extent.length_bytes).ok_or(past)?;
        if end > size_bytes {
            return Err(past);
        }
        // Stretches that do not overlap cannot add up to more than the last one's end.
        total = total.saturating_add(extent.length_bytes);
    }
    if total != stored_bytes {
        return Err(TarError::Malformed("a sparse map does not add up to the member's size"));
    }
    extents.retain(|extent| extent.length_bytes > 0);
    Ok(extents)
}

/// Decimal digits and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let step = |value: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit.wrapping_sub(b'0')))?;
        value.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, step) }
}

/// The map of pax 0.1: offsets and lengths in turn, with commas between.
pub(super) fn comma_map(text: &[u8]) -> Result<Vec<Extent>, TarError> {
    let mut extents = Vec::new();
    let mut numbers = text.split(|byte| *byte == b',').map(decimal);
    while let Some(offset) = numbers.next() {
        let length_bytes = numbers.next().flatten().ok_or(NOT_DECIMAL)?;
        push(&mut extents, Extent { offset: offset.ok_or(NOT_DECIMAL)?, length_bytes })?;
    }
    Ok(extents)
}

/// The map of pax 1.0: lines of text at the start of the content, fed block by block.
#[derive(Debug, Default)]
pub struct TextMap {
    line: Vec<u8>,
    expected: Option<u64>,
    offset: Option<u64>,
    extents: Vec<Extent>,
}

impl TextMap {
    /// Takes the next block; the stretches once the map is whole.
    ///
    /// # Errors
    ///
    /// A line is no number; there are too many stretches.
    pub fn block(&mut self, block: &Block) -> Result<Option<Vec<Extent>>, TarError> {
        for byte in block {
            if *byte != b'\n' {
                if self.line.len() >= DIGITS_MAX {
                    return Err(NOT_DECIMAL);
                }
                self.line.push(*byte);
                continue;
            }
            let number = decimal(&std::mem::take(&mut self.line)).ok_or(NOT_DECIMAL)?;
            self.number(number)?;
            if self.expected == Some(self.extents.len() as u64) {
                return Ok(Some(std::mem::take(&mut self.extents)));
            }
        }
        Ok(None)
    }

    fn number(&mut self, number: u64) -> Result<(), TarError> {
        if self.expected.is_none() {
            self.expected = Some(number);
            return if number > EXTENTS_MAX as u64 { Err(TOO_MANY) } else { Ok(()) };
        }
        match self.offset.take() {
            None => self.offset = Some(number),
            Some(offset) => push(&mut self.extents, Extent { offset, length_bytes: number })?,
        }
        Ok(())
    }
}

/// The stretches as they are written: with an empty one at the end where the file ends in a hole.
fn with_end(extents: &[Extent], size_bytes: u64) -> Vec<Extent> {
    let mut all = extents.to_vec();
    let end = all.last().map_or(0, |last| last.offset.saturating_add(last.length_bytes));
    if end < size_bytes {
        all.push(Extent { offset: size_bytes, length_bytes: 0 });
    }
    all
}

/// The map of pax 1.0 as text, filled up to whole blocks.
pub(super) fn encode_text(extents: &[Extent], size_bytes: u64) -> Vec<u8> {
    let all = with_end(extents, size_bytes);
    let mut text = format!("{}\n", all.len()).into_bytes();
    for extent in all {
        text.extend(format!("{}\n{}\n", extent.offset, extent.length_bytes).into_bytes());
    }
    text.resize(text.len().next_multiple_of(BLOCK_BYTES), 0);
    text
}

/// Writes the first stretches into a GNU header, and the others into blocks that follow it.
pub(super) fn encode_gnu(
    header: &mut BlockWriter,
    extents: &[Extent],
    size_bytes: u64,
) -> Vec<Block> {
    let all = with_end(extents, size_bytes);
    let first = block::GNU_EXTENTS.len() / GNU_EXTENT_BYTES;
    let (here, later) = all.split_at_checked(first).unwrap_or((&all, &[]));
    put_extents(header, block::GNU_EXTENTS.start, here);
    header.octal_or_binary(&block::GNU_REAL_SIZE, size_bytes.cast_signed());
    if !later.is_empty() {
        header.text(&block::GNU_HAS_MORE, &[1]);
    }
    let groups = later.chunks(MORE_FLAG_AT / GNU_EXTENT_BYTES);
    let last = groups.len();
    let block_of = |(number, group): (usize, &[Extent])| {
        let mut writer = BlockWriter::new();
        put_extents(&mut writer, 0, group);
        if number.saturating_add(1) < last {
            writer.text(&(MORE_FLAG_AT..BLOCK_BYTES), &[1]);
        }
        writer.without_checksum()
    };
    groups.enumerate().map(block_of).collect()
}

fn put_extents(writer: &mut BlockWriter, start: usize, extents: &[Extent]) {
    for (number, extent) in extents.iter().enumerate() {
        let at = start.saturating_add(number.saturating_mul(GNU_EXTENT_BYTES));
        let (middle, end) = (at.saturating_add(12), at.saturating_add(GNU_EXTENT_BYTES));
        writer.octal_or_binary(&(at..middle), extent.offset.cast_signed());
        writer.octal_or_binary(&(middle..end), extent.length_bytes.cast_signed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: [Extent; 2] =
        [Extent { offset: 512, length_bytes: 10 }, Extent { offset: 4096, length_bytes: 1 }];

    #[test]
    fn maps_of_text_are_read_across_blocks() {
        let many: Vec<Extent> =
            (0..300).map(|n| Extent { offset: n * 8192, length_bytes: 4096 }).collect();
        let text = encode_text(&many, 300 * 8192);
        let mut map = TextMap::default();
        let mut read = None;
        for block in text.as_chunks().0 {
            assert_eq!(read, None);
            read = map.block(block).unwrap();
        }
        let mut expected = many;
        expected.push(Extent { offset: 300 * 8192, length_bytes: 0 });
        assert_eq!(read, Some(expected));
        for bad in ["x\n", "1\n-1\n2\n", "9999999\n", "123456789012345678901\n"] {
            let mut block = [0; BLOCK_BYTES];
            block[..bad.len()].copy_from_slice(bad.as_bytes());
            assert!(TextMap::default().block(&block).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn maps_of_commas_are_pairs() {
        assert_eq!(comma_map(b"512,10,4096,1"), Ok(MAP.to_vec()));
        for bad in [&b"1"[..], b"1,2,", b"", b"1,x", b"1,99999999999999999999"] {
            assert!(comma_map(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn maps_must_fit_the_file_and_the_archive() {
        assert_eq!(check(MAP.to_vec(), 4097, 11), Ok(MAP.to_vec()));
        assert!(check(MAP.to_vec(), 4096, 11).is_err());
        assert!(check(MAP.to_vec(), 4097, 12).is_err());
        let reversed = MAP.iter().rev().copied().collect();
        assert!(check(reversed, 4097, 11).is_err());
        let endless = vec![Extent { offset: u64::MAX, length_bytes: 2 }];
        assert!(check(endless, u64::MAX, 2).is_err());
    }
}
