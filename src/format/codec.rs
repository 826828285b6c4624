//! Bounds-checked little-endian numbers and varints, the alphabet of every binary format.
//!
//! Invariant: each value has exactly one encoding, so that equal values have equal ids.

use crate::base::id::Id;

/// Bytes that are not what their format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct DecodeError {
    /// What is wrong, in a few words.
    pub what: &'static str,
    /// Where, in bytes from the start of what was decoded.
    pub offset: usize,
}

/// Reads values from the front of a byte slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    /// Whether everything has been read.
    pub fn is_at_end(&self) -> bool {
        self.remaining() == 0
    }

    /// An error at the current place.
    pub fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { what, offset: self.offset }
    }

    /// Takes the next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.offset.checked_add(count).ok_or_else(|| self.error("length overflow"))?;
        let taken = self.bytes.get(self.offset..end).ok_or_else(|| self.error("cut short"))?;
        self.offset = end;
        Ok(taken)
    }

    /// Takes the next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let at = self.error("cut short");
        self.take(N)?.try_into().map_err(|_| at)
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Takes a little-endian 16-bit number.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Takes a little-endian 32-bit number.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Takes a little-endian 64-bit number.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Takes an id.
    pub fn id(&mut self) -> Result<Id, DecodeError> {
        Ok(Id::from_bytes(self.array()?))
    }

    /// Takes a varint: seven bits a byte, least significant first; the shortest form only.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.error("varint is not canonical");
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                return Err(start);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(start)
    }

    /// Takes a varint of at most `max`.
    pub fn varint_to(&mut self, max: u64, what: &'static str) -> Result<u64, DecodeError> {
        let at = self.error(what);
        self.varint().and_then(|value| if value <= max { Ok(value) } else { Err(at) })
    }

    /// Takes a varint that counts things of which each takes at least `bytes_each` of what remains.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, DecodeError> {
        let at = self.error("count exceeds what is there");
        let count = usize::try_from(self.varint()?).map_err(|_| at.clone())?;
        match count.checked_mul(bytes_each.max(1)) {
            Some(bytes) if bytes <= self.remaining() => Ok(count),
            _ => Err(at),
        }
    }

    /// Takes a varint length of at most `max` and that many bytes.
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let at = self.error(what);
        let length = usize::try_from(self.varint()?).map_err(|_| at.clone())?;
        if length > max { Err(at) } else { self.take(length) }
    }

    /// Takes a signed varint (zigzag).
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// Bytes are left over.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.is_at_end() { Ok(()) } else { Err(self.error("bytes left over")) }
    }
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a length or count as a varint.
pub fn put_length(out: &mut Vec<u8>, length: usize) {
    put_varint(out, length as u64);
}

/// Appends a varint length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a signed varint (zigzag).
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_signed(&mut out, signed);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn decoded_varints_are_the_only_encoding(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint() {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                prop_assert_eq!(&bytes[..reader.offset()], &out[..]);
            }
        }
    }

    #[test]
    fn overlong_and_overflowing_varints_are_refused() {
        for bad in [&[0x80, 0x00][..], &[0xff; 10], &[0x80; 3], &[]] {
            assert!(Reader::new(bad).varint().is_err());
        }
        assert!(Reader::new(&[200, 1]).count(1).is_err());
    }
}
