//! Damaged files, set aside: out of the way of readers, and kept for people.
//!
//! Invariant: a file is moved, never copied or deleted, and takes no name that is in use.

use rustix::io::Errno;

use super::BackendError;
use super::local::{Shared, directory_of};

/// The directory of files that were set aside. Made when it is needed.
pub const LOST_DIRECTORY: &str = "lost";
/// Files of one name that can be set aside.
const NAMES_MAX: u32 = 1000;

/// Moves a file there, under its own last name or that with a number behind it; its new name.
pub(super) fn set_aside(shared: &Shared, name: &str) -> Result<String, BackendError> {
    shared.make_directory(LOST_DIRECTORY)?;
    // A name whose directory could be lost in a power cut would be lost with it.
    shared.sync_directory("")?;
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    for number in 1..=NAMES_MAX {
        let suffix = if number == 1 { String::new() } else { format!(".{number}") };
        let moved = format!("{LOST_DIRECTORY}/{last}{suffix}");
        match shared.rename_new(name, &moved) {
            Ok(()) => {
                shared.sync_directory(LOST_DIRECTORY)?;
                shared.sync_directory(directory_of(name))?;
                return Ok(moved);
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(shared.error("set aside", name, error)),
        }
    }
    Err(shared.error("set aside", name, Errno::EXIST))
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, BackendError, Local};

    #[test]
    fn files_of_one_name_are_kept_side_by_side() {
        let folder = tempfile::tempdir().expect("folder");
        let local = Local::init(&folder.path().join("repository")).expect("init");
        for (bytes, moved) in [(b"one", "lost/a.pack"), (b"two", "lost/a.pack.2")] {
            local.write_new("packs/a.pack", bytes).expect("write");
            assert_eq!(local.set_aside("packs/a.pack").expect("moved"), moved);
            assert_eq!(local.read(moved, 9).expect("read").as_deref(), Some(&bytes[..]));
            assert_eq!(local.length("packs/a.pack").expect("length"), None);
        }
        let missing = local.set_aside("packs/a.pack");
        assert!(matches!(missing, Err(BackendError::Missing { .. })), "{missing:?}");
    }
}
