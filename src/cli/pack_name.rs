//! How packs are named on a command line: by id, by its first digits, or by path.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::input;
use crate::base::id::Id;
use crate::repository::Repository;

/// Fewest digits that abbreviate the id of a pack.
const PREFIX_DIGITS_MIN: usize = 4;

/// What names a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PackName {
    /// Digits of its id.
    Digits(String),
    /// The path of a file.
    Path(PathBuf),
}

#[derive(serde::Deserialize)]
struct Fields {
    pack: Option<String>,
    id: Option<String>,
    file: Option<String>,
}

impl PackName {
    /// What stands on a command line. A file whose name is nothing but digits needs a `./`.
    pub(super) fn new(text: &std::ffi::OsStr) -> Self {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = text.to_str().filter(|text| {
            (PREFIX_DIGITS_MIN..=64).contains(&text.len()) && text.bytes().all(is_digit)
        });
        match digits {
            Some(digits) => Self::Digits(digits.to_owned()),
            None => Self::Path(text.into()),
        }
    }

    /// What an item of standard input names: the `pack` of a record, else its `id`, else its
    /// `file`; or the item itself.
    pub(super) fn from_item(item: &[u8]) -> Result<Self, Failure> {
        use std::os::unix::ffi::OsStrExt;
        if !input::is_record(item) {
            return Ok(Self::new(std::ffi::OsStr::from_bytes(item)));
        }
        let Fields { pack, id, file } = input::record(item)?;
        let named = pack.or(id).or(file);
        let named = named.ok_or_else(|| Failure::usage("a record without a `pack`"))?;
        Ok(Self::new(named.as_ref()))
    }

    /// The pack of a repository that is meant.
    pub(super) fn resolve(digits: &str, repository: &Repository) -> Result<Id, Failure> {
        if let Ok(id) = digits.parse() {
            return Ok(id);
        }
        let mut matching = Vec::new();
        for listed in repository.backend().list("packs")? {
            let name = listed.name.strip_suffix(".pack").filter(|name| name.starts_with(digits));
            matching.extend(name.and_then(|name| name.parse::<Id>().ok()));
        }
        match matching[..] {
            [id] => Ok(id),
            [] => Err(Failure::usage(format!("no pack has a name that begins with {digits}"))),
            _ => {
                let count = matching.len();
                Err(Failure::usage(format!("{count} packs have names that begin with {digits}")))
            }
        }
    }
}

/// The id that the name of a file says it has.
pub(super) fn id_in_file_name(path: &Path) -> Option<Id> {
    let name = path.file_name()?.to_str()?;
    // What was set aside may have a number behind its name.
    name.split_once(".pack").and_then(|(digits, _)| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_named_by_digits_or_path() {
        let digits = |text: &str| PackName::Digits(text.into());
        assert_eq!(PackName::new("abcd".as_ref()), digits("abcd"));
        for path in ["abc", "./abcd", "packs/abcd.pack", "ABCD"] {
            assert_eq!(PackName::new(path.as_ref()), PackName::Path(path.into()));
        }
        let item = |item: &str| PackName::from_item(item.as_bytes());
        assert!(
            matches!(item(r#"{"pack":"abcd","file":"x"}"#), Ok(name) if name == digits("abcd"))
        );
        assert!(matches!(item(r#"{"file":"x"}"#), Ok(PackName::Path(_))));
        assert!(item("{}").is_err());
        let id = "ab".repeat(32);
        for name in [format!("a/{id}.pack"), format!("{id}.pack.2")] {
            assert_eq!(id_in_file_name(name.as_ref()).map(|id| id.to_hex()), Some(id.clone()));
        }
        assert_eq!(id_in_file_name("other.pack".as_ref()), None);
    }
}
