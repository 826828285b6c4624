//! Refs: names for stored objects, all of them in one table that is published anew for each change.
//!
//! Invariant: the table with the highest number counts, and is made from the one right before it; so
//! a change applies to all refs at once or not at all, and none is lost to another at the same time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::jobs::numbered_file;
use super::{Repository, RepositoryError};
use crate::backend::BackendError;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::format::codec::DecodeError;
use crate::format::control;
use crate::format::snapshot::is_project_name;

/// What a ref leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefTarget {
    /// The object.
    pub id: Id,
    /// Its kind.
    pub kind: Kind,
}

/// Names and what they lead to.
pub type Refs = BTreeMap<String, RefTarget>;

/// What the file of a table of refs holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefTable {
    /// Its number, so that a file under another's name is known as damage; 0 before the first.
    pub number: u64,
    /// All refs.
    pub refs: Refs,
}

/// Whether a ref may have this name: `tag/` or `pin/` and what could be the name of a project.
pub fn is_ref_name(name: &str) -> bool {
    let rest = name.strip_prefix("tag/").or_else(|| name.strip_prefix("pin/"));
    rest.is_some_and(is_project_name)
}

/// Whether a ref may lead to objects of this kind: pages and parts mean nothing alone.
pub fn may_be_target(kind: Kind) -> bool {
    kind.may_be_list()
}

impl RefTable {
    /// Reads a table.
    ///
    /// # Errors
    ///
    /// It is damaged, or has another number.
    pub fn decode(bytes: &[u8], number: u64) -> Result<Self, DecodeError> {
        let table: Self = control::decode(bytes)?;
        let what = if table.number != number {
            "it is the file of another table of refs"
        } else if !table.refs.keys().all(|name| is_ref_name(name)) {
            "it has a name that no ref may have"
        } else if !table.refs.values().all(|target| may_be_target(target.kind)) {
            "it has a ref to what no ref may lead to"
        } else {
            return Ok(table);
        };
        Err(DecodeError { what, offset: 0 })
    }
}

/// The file of a table of refs.
pub(super) fn table_file(number: u64) -> String {
    numbered_file("refs", number)
}

impl Repository {
    /// The table of refs that counts now.
    ///
    /// # Errors
    ///
    /// It is damaged; the backend fails.
    pub fn ref_table(&self) -> Result<RefTable, RepositoryError> {
        let mut missed = 0;
        loop {
            let number = self.highest_in("refs")?;
            if number == 0 {
                return Ok(RefTable::default());
            }
            let name = table_file(number);
            let file = self.backend.describe(&name);
            // A prune removes tables that a later one has replaced; then there is that one.
            match self.backend.read(&name, CONTROL_FILE_BYTES_MAX)? {
                Some(bytes) => {
                    return RefTable::decode(&bytes, number)
                        .map_err(|source| RepositoryError::Control { file, source });
                }
                None if missed == number => return Err(BackendError::Missing { name: file }.into()),
                None => missed = number,
            }
        }
    }

    /// A table of refs, if it is not older than the one that was known when a job was published.
    ///
    /// # Errors
    ///
    /// It is: the newest table is gone.
    pub fn not_older(&self, table: RefTable, known: u64) -> Result<RefTable, RepositoryError> {
        if table.number < known {
            let name = self.backend.describe(&table_file(known));
            return Err(RepositoryError::LostRefs { name });
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_two_sorts() {
        for good in ["tag/v1", "pin/keep-me", "tag/2026.11", "pin/pin"] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in ["v1", "tag/", "tag/-a", "tag/a/b", "tag/.a", "project/app", "Tag/a", "tag/a b"]
        {
            assert!(!is_ref_name(bad), "{bad}");
        }
    }

    #[test]
    fn tables_are_strict() {
        let target = RefTarget { id: Id::from_bytes([7; 32]), kind: Kind::Tree };
        let table = |number, name: &str, kind| RefTable {
            number,
            refs: Refs::from([(name.to_owned(), RefTarget { kind, ..target })]),
        };
        let good = table(3, "tag/v1", Kind::Tree);
        assert_eq!(RefTable::decode(&control::encode(&good), 3), Ok(good));
        for bad in [
            table(4, "tag/v1", Kind::Tree),
            table(3, "../v1", Kind::Tree),
            table(3, "tag/v1", Kind::Part),
        ] {
            assert!(RefTable::decode(&control::encode(&bad), 3).is_err(), "{bad:?}");
        }
    }
}
