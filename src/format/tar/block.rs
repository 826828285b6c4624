//! The header block: fixed fields of text and numbers, and their checksum.
//!
//! Invariant: a number that is not wholly digits, or does not fit, is an error; it is never cut.

use std::ops::Range;

use super::{BLOCK_BYTES, Block, TarError};

/// A field of a header block.
pub(super) type Field = Range<usize>;

pub(super) const NAME: Field = 0..100;
pub(super) const MODE: Field = 100..108;
pub(super) const UID: Field = 108..116;
pub(super) const GID: Field = 116..124;
pub(super) const SIZE: Field = 124..136;
pub(super) const MTIME: Field = 136..148;
pub(super) const CHECKSUM: Field = 148..156;
pub(super) const TYPEFLAG: Field = 156..157;
pub(super) const LINK_NAME: Field = 157..257;
pub(super) const MAGIC: Field = 257..265;
pub(super) const USER: Field = 265..297;
pub(super) const GROUP: Field = 297..329;
pub(super) const MAJOR: Field = 329..337;
pub(super) const MINOR: Field = 337..345;
pub(super) const PREFIX: Field = 345..500;
/// Where GNU headers of sparse files hold the first stretches.
pub(super) const GNU_EXTENTS: Field = 386..482;
/// Whether more stretches follow in blocks of their own.
pub(super) const GNU_HAS_MORE: Field = 482..483;
/// Bytes of the sparse file itself.
pub(super) const GNU_REAL_SIZE: Field = 483..495;

pub(super) const USTAR_MAGIC: &[u8] = b"ustar\x0000";
pub(super) const GNU_MAGIC: &[u8] = b"ustar  \0";

/// Which fields after the link name mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// None of them.
    V7,
    /// Owners, devices and a prefix of the name.
    Ustar,
    /// Owners and devices; what stands in place of the prefix depends on the type.
    Gnu,
}

/// The bytes of a field.
pub(super) fn bytes_of<'b>(block: &'b Block, field: &Field) -> &'b [u8] {
    block.get(field.clone()).unwrap_or_default()
}

/// The bytes of a field up to the first NUL.
pub(super) fn text<'b>(block: &'b Block, field: &Field) -> &'b [u8] {
    let bytes = bytes_of(block, field);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

pub(super) fn typeflag(block: &Block) -> u8 {
    bytes_of(block, &TYPEFLAG).first().copied().unwrap_or_default()
}

pub(super) fn dialect(block: &Block) -> Dialect {
    let magic = bytes_of(block, &MAGIC);
    if magic == GNU_MAGIC {
        Dialect::Gnu
    } else if magic.starts_with(b"ustar") {
        Dialect::Ustar
    } else {
        Dialect::V7
    }
}

/// Whether a block is nothing but zeros, as at the end of an archive.
pub(super) fn is_zero(block: &Block) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Whether the checksum is that of the block. Some old tars added signed bytes.
pub(super) fn has_right_checksum(block: &Block) -> bool {
    let Ok(expected) = number(bytes_of(block, &CHECKSUM)) else { return false };
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = if CHECKSUM.contains(&at) { b' ' } else { *byte };
        unsigned = unsigned.saturating_add(i64::from(byte));
        signed = signed.saturating_add(i64::from(byte.cast_signed()));
    }
    expected == unsigned || expected == signed
}

/// A number: octal digits, with spaces before and spaces or NULs after; or, where the first bit is
/// set, big-endian in two's complement (GNU). An empty field is zero.
pub(super) fn number(field: &[u8]) -> Result<i64, TarError> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        return binary(field);
    }
    let malformed = TarError::Malformed("a number in the header is not octal");
    let start = field.iter().take_while(|byte| **byte == b' ').count();
    let rest = field.get(start..).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let (digits, tail) = rest.split_at_checked(digits).unwrap_or_default();
    if tail.iter().any(|byte| !matches!(byte, b' ' | 0)) {
        return Err(malformed);
    }
    let shift = |value: i64, digit: &u8| {
        value.checked_mul(8)?.checked_add(i64::from(digit.wrapping_sub(b'0')))
    };
    digits.iter().try_fold(0, shift).ok_or(malformed)
}

fn binary(field: &[u8]) -> Result<i64, TarError> {
    let first = field.first().copied().unwrap_or_default();
    // The first bit only marks the form; the second is the sign.
    let is_negative = first & 0x40 != 0;
    let first = if is_negative { first } else { first & 0x7f };
    let start = if is_negative { -1_i64 } else { 0 };
    let too_large = TarError::OverLimit("a number in the header is over 63 bits");
    let shift = |value: i64, byte: &u8| value.checked_mul(256)?.checked_add(i64::from(*byte));
    let rest = field.get(1..).unwrap_or_default();
    std::iter::once(&first).chain(rest).try_fold(start, shift).ok_or(too_large)
}

/// A number that counts something.
pub(super) fn count(field: &[u8]) -> Result<u64, TarError> {
    u64::try_from(number(field)?).map_err(|_| TarError::Malformed("a size is below zero"))
}

/// A header block that is being made.
#[derive(Debug)]
pub(super) struct BlockWriter(Block);

impl BlockWriter {
    pub(super) fn new() -> Self {
        Self([0; BLOCK_BYTES])
    }

    /// Writes as many bytes as the field holds; no NUL need follow.
    pub(super) fn text(&mut self, field: &Field, bytes: &[u8]) {
        if let Some(room) = self.0.get_mut(field.clone()) {
            room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
    }

    /// Writes a number in octal, or the largest that fits.
    pub(super) fn octal(&mut self, field: &Field, value: u64) {
        let digits = field.len().saturating_sub(1);
        let value = value.min(octal_max(field));
        self.text(field, format!("{value:0digits$o}").as_bytes());
    }

    /// Writes a number in octal, or in binary where that does not fit.
    pub(super) fn octal_or_binary(&mut self, field: &Field, value: i64) {
        match u64::try_from(value) {
            Ok(value) if value <= octal_max(field) => self.octal(field, value),
            _ => {
                let sign: u8 = if value < 0 { 0xff } else { 0 };
                let mut bytes = vec![sign; field.len().saturating_sub(8)];
                bytes.extend_from_slice(&value.to_be_bytes());
                // Fields of eight bytes hold numbers of 32 bits only.
                if let Some(first) = bytes.first_mut() {
                    *first = if value < 0 { 0xff } else { *first | 0x80 };
                }
                self.text(field, &bytes);
            }
        }
    }

    /// The block as it is, which follows a header and has no checksum.
    pub(super) fn without_checksum(self) -> Block {
        self.0
    }

    /// The block with its checksum.
    pub(super) fn finish(mut self) -> Block {
        self.text(&CHECKSUM, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.text(&CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// The largest number that a field holds in octal, with a NUL after it.
pub(super) fn octal_max(field: &Field) -> u64 {
    let digits = u32::try_from(field.len().saturating_sub(1)).unwrap_or(0);
    8_u64.saturating_pow(digits).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(value: i64, small in 0_u32.., size: bool) {
            let field = if size { SIZE } else { UID };
            let value = if size { value } else { i64::from(small) };
            let mut writer = BlockWriter::new();
            writer.octal_or_binary(&field, value);
            prop_assert_eq!(number(bytes_of(&writer.finish(), &field)), Ok(value));
        }
    }

    #[test]
    fn numbers_are_read_as_tars_write_them() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"77777777", 0o77_777_777),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"\x80\0\0\0\0\x20\0\0", 1 << 21),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
        ] {
            assert_eq!(number(field), Ok(value), "{field:?}");
        }
        for bad in [&b"00008\0"[..], b"-1", b"12x", b"1 2", b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert!(number(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn checksums_are_those_of_both_sorts() {
        let mut writer = BlockWriter::new();
        writer.text(&NAME, b"caf\xe9");
        let mut block = writer.finish();
        assert!(has_right_checksum(&block));
        let signed: i64 = block
            .iter()
            .enumerate()
            .map(
                |(at, byte)| {
                    if CHECKSUM.contains(&at) { 32 } else { i64::from(byte.cast_signed()) }
                },
            )
            .sum();
        block[CHECKSUM].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
        assert!(has_right_checksum(&block));
        block[0] ^= 1;
        assert!(!has_right_checksum(&block));
    }
}
