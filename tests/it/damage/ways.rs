//! The ways to damage a file.
//!
//! Invariant: only the file itself changes, or in a swap one other of its directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use super::fixture::size;

/// One way to damage a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    TruncateTo(u64),
    Extend,
    Flip { at: u64, bit: u8 },
    Zero { at: u64 },
    Delete,
    Swap,
    Symlink,
    Fifo,
    Directory,
}

impl Damage {
    /// All that make sense for a file of this length.
    pub(super) fn all(length: u64) -> Vec<Self> {
        use Damage::{Delete, Directory, Extend, Fifo, Flip, Swap, Symlink, TruncateTo, Zero};
        let mut all = vec![Delete, Swap, Symlink, Fifo, Directory, Extend];
        if length == 0 {
            return all;
        }
        let mut lengths = vec![0, length / 2, length - 1];
        lengths.dedup();
        all.extend(lengths.into_iter().map(TruncateTo));
        let step = if length < 1024 { 7 } else { length / 13 };
        let spread = (0..length).step_by(size(step));
        // Headers, footers and checksums stand at the ends.
        let ends = (0..64)
            .step_by(11)
            .chain((1..96).step_by(13).filter_map(|back| length.checked_sub(back)));
        let offsets: BTreeSet<u64> = spread.chain(ends).filter(|at| *at < length).collect();
        all.extend(offsets.into_iter().map(|at| Flip { at, bit: (at * 5 % 8) as u8 }));
        all.extend([0, length / 3, length.saturating_sub(4096)].map(|at| Zero { at }));
        all
    }

    /// Damages a file; whether that changed anything.
    pub(super) fn apply(self, root: &Path, file: &str, all: &[String]) -> bool {
        let path = root.join(file);
        let before = fs::read(&path).expect("read");
        let open = || fs::OpenOptions::new().write(true).open(&path).expect("open");
        match self {
            Self::TruncateTo(length) => open().set_len(length).expect("truncate"),
            Self::Extend => open().write_all_at(&[0], before.len() as u64).expect("extend"),
            Self::Flip { at, bit } => {
                let byte = before[size(at)] ^ 1 << bit;
                open().write_all_at(&[byte], at).expect("flip");
            }
            Self::Zero { at } => {
                let zeros = vec![0; (before.len() - size(at)).min(4096)];
                open().write_all_at(&zeros, at).expect("zero");
            }
            Self::Delete => fs::remove_file(&path).expect("delete"),
            Self::Swap => {
                let directory =
                    |file: &str| file.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
                // Loose objects stand in a directory each; those are taken for one.
                let is_near = |other: &&String| {
                    **other != *file
                        && (directory(other) == directory(file)
                            || (other.starts_with("objects/") && file.starts_with("objects/")))
                };
                let Some(other) = all.iter().find(is_near) else { return false };
                let other = root.join(other);
                let (aside, same) = (root.join("aside"), fs::read(&other).expect("read") == before);
                fs::rename(&path, &aside).expect("rename");
                fs::rename(&other, &path).expect("rename");
                fs::rename(&aside, &other).expect("rename");
                return !same;
            }
            Self::Symlink => {
                // What it points to is all that should be there: it must not be followed even so.
                let target = root.with_extension("target");
                fs::rename(&path, &target).expect("rename");
                symlink(&target, &path).expect("symlink");
                return true;
            }
            Self::Fifo => {
                fs::remove_file(&path).expect("delete");
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).expect("mkfifo");
                return true;
            }
            Self::Directory => {
                fs::remove_file(&path).expect("delete");
                fs::create_dir(&path).expect("directory");
                return true;
            }
        }
        fs::read(&path).ok().as_ref() != Some(&before)
    }
}
