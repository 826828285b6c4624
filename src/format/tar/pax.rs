//! Extended headers of pax: records of a keyword and a value, which override fields of the header.
//!
//! Invariant: a record is taken by the length it states, and that length must lead to a newline
//! inside the header.

use std::collections::BTreeMap;

use super::TarError;
use super::sparse::{self, Extent, decimal, push};
use crate::base::time::FileTime;

const MALFORMED: TarError = TarError::Malformed("a pax record is not LENGTH KEYWORD=VALUE");

/// Keywords that a global header must not set: each member would take the same bytes or the same
/// path, and readers disagree about whether to obey.
const LOCAL_ONLY: [&[u8]; 3] = [b"size", b"path", b"linkpath"];
const SPARSE_PREFIX: &[u8] = b"GNU.sparse.";

/// The records that bear on a member: the last one of each keyword.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Stretches of pax 0.0, whose keywords stand many times.
    extents: Vec<Extent>,
    offset: Option<u64>,
}

impl Records {
    /// Takes all records of an extended header, over those that came before.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> Result<(), TarError> {
        while !bytes.is_empty() {
            let (keyword, value, rest) = split_record(bytes)?;
            bytes = rest;
            match keyword {
                b"GNU.sparse.offset" => {
                    if self.offset.replace(decimal(value).ok_or(MALFORMED)?).is_some() {
                        return Err(MALFORMED);
                    }
                }
                b"GNU.sparse.numbytes" => {
                    let offset = self.offset.take().ok_or(MALFORMED)?;
                    let length_bytes = decimal(value).ok_or(MALFORMED)?;
                    push(&mut self.extents, Extent { offset, length_bytes })?;
                }
                _ => {
                    self.values.insert(keyword.into(), value.into());
                }
            }
        }
        Ok(())
    }

    /// Takes the records of a global header.
    pub(super) fn add_global(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        self.add(bytes)?;
        let is_refused =
            |keyword: &[u8]| LOCAL_ONLY.contains(&keyword) || keyword.starts_with(SPARSE_PREFIX);
        if self.values.keys().any(|keyword| is_refused(keyword)) || !self.extents.is_empty() {
            let what = "a global header sets the size, path or map of every member";
            return Err(TarError::Malformed(what));
        }
        Ok(())
    }

    /// These records over global ones.
    pub(super) fn over(mut self, global: &Self) -> Self {
        for (keyword, value) in &global.values {
            self.values.entry(keyword.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// A value; an empty one means that the header's field holds.
    pub(super) fn get(&self, keyword: &[u8]) -> Option<&[u8]> {
        self.values.get(keyword).map(|value| &**value).filter(|value| !value.is_empty())
    }

    /// A value that ends up where no NUL can stand.
    pub(super) fn text(&self, keyword: &[u8]) -> Result<Option<&[u8]>, TarError> {
        match self.get(keyword) {
            Some(value) if value.contains(&0) => {
                Err(TarError::Malformed("a pax record has a NUL in a name"))
            }
            other => Ok(other),
        }
    }

    pub(super) fn number(&self, keyword: &[u8]) -> Result<Option<u64>, TarError> {
        let number = |value| {
            decimal(value).ok_or(TarError::Malformed("a number in a pax record is not decimal"))
        };
        self.get(keyword).map(number).transpose()
    }

    pub(super) fn time(&self, keyword: &[u8]) -> Result<Option<FileTime>, TarError> {
        let time =
            |value| time(value).ok_or(TarError::Malformed("a time in a pax record is no number"));
        self.get(keyword).map(time).transpose()
    }

    /// Values whose keywords begin with this, by the rest of the keyword. Here an empty value is
    /// one.
    pub(super) fn below<'a>(
        &'a self,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.values
            .range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .map_while(move |(keyword, value)| Some((keyword.strip_prefix(prefix)?, &**value)))
    }

    /// The stretches of pax 0.0 and 0.1.
    pub(super) fn extents(&self) -> Result<Option<Vec<Extent>>, TarError> {
        if self.offset.is_some() {
            return Err(MALFORMED);
        }
        let extents = match self.values.get(&b"GNU.sparse.map"[..]) {
            Some(map) if map.is_empty() => Some(Vec::new()),
            Some(map) => Some(sparse::comma_map(map)?),
            None if self.get(b"GNU.sparse.size").is_some() => Some(self.extents.clone()),
            None => None,
        };
        let (counted, is_empty) = (self.number(b"GNU.sparse.numblocks")?, self.extents.is_empty());
        match &extents {
            None if !is_empty => Err(TarError::Malformed("a sparse map without a file's size")),
            Some(extents) if counted.is_some_and(|count| count != extents.len() as u64) => {
                Err(TarError::Malformed("a sparse map is not as long as it says"))
            }
            _ => Ok(extents),
        }
    }
}

/// A keyword, its value, and what follows the record.
type Split<'b> = (&'b [u8], &'b [u8], &'b [u8]);

/// Takes the first record apart.
fn split_record(bytes: &[u8]) -> Result<Split<'_>, TarError> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = bytes.get(..digits).and_then(decimal).ok_or(MALFORMED)?;
    let length = usize::try_from(length).map_err(|_| MALFORMED)?;
    let (record, rest) = bytes.split_at_checked(length).ok_or(MALFORMED)?;
    let body = record.get(digits..).and_then(|body| body.strip_prefix(b" ")).ok_or(MALFORMED)?;
    let body = body.strip_suffix(b"\n").ok_or(MALFORMED)?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or(MALFORMED)?;
    let (keyword, value) = body.split_at_checked(equals).ok_or(MALFORMED)?;
    let value = value.get(1..).unwrap_or_default();
    if keyword.is_empty() || keyword.contains(&0) {
        return Err(MALFORMED);
    }
    Ok((keyword, value, rest))
}

/// Seconds with any number of decimals, rounded down to nanoseconds.
fn time(text: &[u8]) -> Option<FileTime> {
    let (is_negative, digits) =
        text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(at) => {
            digits.split_at_checked(at).map(|(w, f)| (w, f.get(1..).unwrap_or_default()))?
        }
        None => (digits, &b""[..]),
    };
    let (kept, dropped) = fraction.split_at_checked(9).unwrap_or((fraction, b""));
    if !kept.iter().chain(dropped).all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i128::from(decimal(whole)?);
    let mut nanoseconds = kept.to_vec();
    nanoseconds.resize(9, b'0');
    let nanoseconds = i128::from(decimal(&nanoseconds)?);
    let billion = i128::from(FileTime::NANOSECONDS_PER_SECOND);
    let mut total = whole.checked_mul(billion)?.checked_add(nanoseconds)?;
    if is_negative {
        let is_cut = dropped.iter().any(|byte| *byte != b'0');
        total = total.checked_neg()?.checked_sub(i128::from(is_cut))?;
    }
    let seconds = i64::try_from(total.div_euclid(billion)).ok()?;
    Some(FileTime { seconds, nanoseconds: u32::try_from(total.rem_euclid(billion)).ok()? })
}

/// Appends a record.
pub(super) fn put(out: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    // The space, the equals sign and the newline.
    let rest = keyword.len().saturating_add(value.len()).saturating_add(3);
    let mut length = rest;
    // The length counts its own digits; it settles at once or after one more digit.
    while length != rest.saturating_add(length.to_string().len()) {
        length = rest.saturating_add(length.to_string().len());
    }
    out.extend(length.to_string().into_bytes());
    out.push(b' ');
    out.extend_from_slice(keyword);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A time as pax writes it: no more decimals than are needed.
pub(super) fn time_text(time: FileTime) -> String {
    let text = time.to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_round_trip(values: BTreeMap<u16, Vec<u8>>) {
            let mut bytes = Vec::new();
            for (keyword, value) in &values {
                put(&mut bytes, format!("K.{keyword:05}").as_bytes(), value);
            }
            let mut records = Records::default();
            prop_assert_eq!(records.add(&bytes), Ok(()));
            let read: Vec<Vec<u8>> = records.below(b"K.").map(|(_, v)| v.to_vec()).collect();
            prop_assert_eq!(read, values.into_values().collect::<Vec<_>>());
        }

        #[test]
        fn times_round_trip(seconds: i64, nanoseconds in 0..1_000_000_000_u32) {
            let at = FileTime { seconds, nanoseconds };
            prop_assert_eq!(time(time_text(at).as_bytes()), Some(at));
        }

        #[test]
        fn noise_never_panics(bytes: Vec<u8>) {
            let mut records = Records::default();
            if records.add(&bytes).is_ok() {
                let _map = records.extents();
            }
        }
    }

    #[test]
    fn lengths_count_their_own_digits() {
        for (value, start) in
            [(3, "8 a="), (4, "9 a="), (5, "11 a="), (93, "99 a="), (94, "101 a=")]
        {
            let mut out = Vec::new();
            put(&mut out, b"a", &vec![b'v'; value]);
            assert!(out.starts_with(start.as_bytes()), "{value}");
            assert_eq!(split_record(&out).map(|(_, value, _)| value.len()), Ok(value));
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"9 a=vvv"[..],
            b"7 a=vvv\n",
            b"x a=v\n",
            b" 6 a=v\n",
            b"6 avv\n",
            b"5 =v\n",
            b"99999999999999999999 a=v\n",
            b"0 a=v\n",
            b"\0\0",
        ] {
            assert!(Records::default().add(bad).is_err(), "{:?}", bad.escape_ascii().to_string());
        }
    }

    #[test]
    fn times_are_rounded_down() {
        let at = |seconds, nanoseconds| Some(FileTime { seconds, nanoseconds });
        assert_eq!(time(b"1.0000000019"), at(1, 1));
        assert_eq!(time(b"-1.0000000019"), at(-2, 999_999_998));
        assert_eq!(time(b"-0.25"), at(-1, 750_000_000));
        assert_eq!(time(b"1."), at(1, 0));
        for bad in [&b""[..], b"-", b".5", b"1e3", b"+1", b"1.2.3", b"99999999999999999999"] {
            assert_eq!(time(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn global_headers_cannot_set_what_differs_by_member() {
        let set = |record: &[u8]| Records::default().add_global(record);
        assert_eq!(set(b"7 uid=0\n"), Err(MALFORMED));
        assert_eq!(set(b"8 uid=0\n"), Ok(()));
        for bad in [&b"9 size=1\n"[..], b"9 path=a\n", b"21 GNU.sparse.size=1\n"] {
            assert!(set(bad).is_err(), "{bad:?}");
        }
    }
}
