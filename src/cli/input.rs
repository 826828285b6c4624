//! Standard input: what other programs printed, or bare text, one item a line or NUL-terminated.
//!
//! Invariant: an item that begins as a JSON object is a record and nothing else; fields that are not
//! asked for are ignored, so a program reads the records of every other, today's and later ones.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::exit::Exit;
use super::failure::Failure;
use super::json::PathText;
use crate::base::id::Id;
use crate::format::snapshot::BytesText;

/// Longest record read from standard input, in bytes.
const RECORD_BYTES_MAX: u64 = 64 << 20;
/// Longest path or revision read from standard input, in bytes.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Calls `each` with every item of standard input, without its terminator.
pub(super) fn for_each_item(
    ends_with_nul: bool,
    each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for_each_item_of(io::stdin().lock(), ends_with_nul, each)
}

/// As [`for_each_item`], of any input.
pub(super) fn for_each_item_of(
    mut reader: impl BufRead,
    ends_with_nul: bool,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let end = if ends_with_nul { 0 } else { b'\n' };
    let mut item = Vec::new();
    loop {
        item.clear();
        let got = reader.by_ref().take(RECORD_BYTES_MAX + 1).read_until(end, &mut item)?;
        if got == 0 {
            return Ok(());
        }
        if item.last() == Some(&end) {
            item.pop();
        }
        let (what, most) = match is_record(&item) {
            true => ("a record", RECORD_BYTES_MAX),
            false => ("an item", TEXT_BYTES_MAX),
        };
        if item.len() as u64 > most {
            return Err(Failure::usage(format!("{what} on standard input is over {most} bytes")));
        }
        each(&item)?;
    }
}

/// Reads all of standard input, up to a limit in bytes.
pub(super) fn read_all(limit_bytes: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Failure::usage(format!("standard input is over {limit_bytes} bytes")));
    }
    Ok(bytes)
}

/// Whether an item is a record. A path that looks like one can be written as `./{"…}`.
pub(super) fn is_record(item: &[u8]) -> bool {
    let item = item.trim_ascii_end();
    (item.starts_with(b"{\"") && item.ends_with(b"}")) || item == b"{}"
}

/// A path as one of the bare items that this or another program takes for a path.
pub(super) fn bare_path(path: &[u8]) -> Cow<'_, [u8]> {
    if is_record(path) { [b"./", path].concat().into() } else { path.into() }
}

/// The record in an item, as the fields of it that a program wants.
pub(super) fn record<T: DeserializeOwned>(item: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(item).map_err(|error| {
        let start: String = String::from_utf8_lossy(item).chars().take(80).collect();
        Failure::usage(format!("not a record that can be read here: {start}: {error}"))
    })
}

#[derive(Deserialize)]
struct ObjectFields {
    id: Option<String>,
    tree: Option<String>,
    object: Option<String>,
    error: Option<IgnoredAny>,
}

/// The object that an item names: the `id` of a record, else its `tree`, else its `object`; or the
/// item itself, which is a revision then. `None` for the record of what has no object, such as a
/// symbolic link, or could not be read.
pub(super) fn object(item: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Failure> {
    if !is_record(item) {
        return Ok(Some(item.into()));
    }
    let ObjectFields { id, tree, object, .. } = record(item)?;
    Ok(id.or(tree).or(object).map(|text| text.into_bytes().into()))
}

/// As [`object`]; the record of a failure is refused, for programs that must not go on without it.
pub(super) fn sound_object(item: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Failure> {
    if is_record(item) && record::<ObjectFields>(item)?.error.is_some() {
        let start: String = String::from_utf8_lossy(item).chars().take(80).collect();
        let message = format!("the record of a failure: {start}");
        return Err(Failure::new(Exit::Failed, "failed_record", message));
    }
    object(item)
}

/// The path that the record in an item has, for the record that answers it.
pub(super) fn path_of_record(item: &[u8]) -> Result<Option<PathText>, Failure> {
    if !is_record(item) {
        return Ok(None);
    }
    let PathFields { path, path_b64 } = record(item)?;
    Ok(path.map(|path| PathText { path, path_b64 }))
}

/// The id that an item names, which must be a whole one; `None` for what has no object.
pub(super) fn id(item: &[u8]) -> Result<Option<Id>, Failure> {
    let Some(text) = sound_object(item)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    text.parse().map(Some).map_err(|error| Failure::usage(format!("{error}")))
}

#[derive(Deserialize)]
struct PathFields {
    path: Option<String>,
    path_b64: Option<String>,
}

/// The path that an item names on this machine: a name that stands there as it is, whatever it looks
/// like, is no record, as whoever gives names to files could otherwise choose what is read.
pub(super) fn local_path(item: &[u8]) -> Result<Cow<'_, [u8]>, Failure> {
    if is_record(item) && std::fs::symlink_metadata(OsStr::from_bytes(item)).is_ok() {
        return Ok(item.into());
    }
    path(item)
}

/// The path that an item names: the `path` and `path_b64` of a record, or the item itself.
pub(super) fn path(item: &[u8]) -> Result<Cow<'_, [u8]>, Failure> {
    if !is_record(item) {
        return Ok(item.into());
    }
    let PathFields { path, path_b64 } = record(item)?;
    let path = path.ok_or_else(|| none_of(item, "a `path`"))?;
    path_bytes(path, path_b64).map(Cow::Owned)
}

/// The exact bytes of a path in a record.
pub(super) fn path_bytes(path: String, path_b64: Option<String>) -> Result<Vec<u8>, Failure> {
    let text = BytesText { path, path_b64 };
    text.bytes().ok_or_else(|| {
        Failure::usage(format!("`path` {:?} and its `path_b64` disagree", text.path))
    })
}

fn none_of(item: &[u8], wanted: &str) -> Failure {
    let start: String = String::from_utf8_lossy(item).chars().take(80).collect();
    Failure::usage(format!("a record without {wanted}: {start}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_records_or_text() {
        let object = |item| object(item).ok().map(|object| object.map(Cow::into_owned));
        assert_eq!(object(b"app@3"), Some(Some(b"app@3".to_vec())));
        assert_eq!(object(br#"{"id":"ab","tree":"cd","x":[1]}"#), Some(Some(b"ab".to_vec())));
        assert_eq!(object(br#"{"id":null,"tree":"cd"}"#), Some(Some(b"cd".to_vec())));
        assert_eq!(object(br#"{"path":"a"}"#), Some(None));
        assert!(sound_object(br#"{"path":"a","error":{"code":"x"}}"#).is_err());
        assert!(sound_object(br#"{"path":"a","error":null}"#).is_ok());
        assert_eq!(&*path(br#"{"path":"a","id":"b"}"#).unwrap_or_default(), b"a");
        assert_eq!(&*path(b"{a}").unwrap_or_default(), b"{a}");
        let exact = path("{\"path\":\"a\u{fffd}\",\"path_b64\":\"Yf8=\"}".as_bytes());
        assert_eq!(&*exact.unwrap_or_default(), b"a\xff");
        assert!(path(br#"{"path":"b","path_b64":"Yf8="}"#).is_err());
        assert!(path(b"{\"path\":}").is_err());
        assert_eq!(&*path(b"{\"y").unwrap_or_default(), b"{\"y");
        assert_eq!(&*bare_path(b"{\"y}"), b"./{\"y}");
    }
}
