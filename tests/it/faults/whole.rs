//! Whether every file of a repository that has its name is whole, told without RunUp's own check.
//!
//! Invariant: only files below `tmp` and `sessions` may be half written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runup::base::hash::{object_id, plain};
use runup::base::id::hex;
use runup::format::{control, loose};

/// The files of a repository that have their names for good, with what they hold.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Reads them.
pub(super) fn files(repository: &Path) -> Files {
    let mut found = Files::new();
    collect(repository, Path::new(""), &mut found);
    found
}

fn collect(root: &Path, below: &Path, found: &mut Files) {
    let Ok(entries) = std::fs::read_dir(root.join(below)) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if path != Path::new("tmp") && path != Path::new("sessions") {
                collect(root, &path, found);
            }
        } else {
            found.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}

/// Asserts that each file holds what its name says.
///
/// # Errors
///
/// One does not, or has a name that no file should have.
pub(super) fn are_whole(files: &Files) -> Result<(), String> {
    for (path, bytes) in files {
        let broken = |why: &str| Err(format!("{} is {why}", path.display()));
        let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
        let is_whole = match parts[..] {
            ["packs", name] => name.strip_suffix(".pack") == Some(&hex(&plain(bytes))),
            ["index", name] => name.strip_suffix(".idx") == Some(&hex(&plain(bytes))),
            ["objects", first, rest] => match loose::decode(bytes) {
                // What a list proves is a matter of the check.
                Ok(object) if object.is_list => true,
                Ok(object) => {
                    object_id(object.kind, &object.bytes).to_hex() == format!("{first}{rest}")
                }
                Err(_) => false,
            },
            ["config"] | ["jobs" | "refs" | "gc", _] => control::checked(bytes).is_ok(),
            ["forgotten" | "pruned", _, _] | ["publication.lock" | "maintenance.lock"] => {
                bytes.is_empty()
            }
            ["lost" | "fenced", _] | ["reserve"] => true,
            _ => return broken("no file of a repository"),
        };
        if !is_whole {
            return broken("not whole");
        }
    }
    Ok(())
}

/// Asserts that no file was changed that stood there before under the same name.
///
/// # Errors
///
/// One was.
pub(super) fn are_unchanged(before: &Files, after: &Files) -> Result<(), String> {
    for (path, bytes) in before {
        if after.get(path).is_some_and(|now| now != bytes) {
            return Err(format!("{} was changed in place", path.display()));
        }
    }
    Ok(())
}
