//! The ways to damage a file or a directory.
//!
//! Invariant: only the file itself changes, or in a swap one other of its kind.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use super::classes::{classes, places};
use super::fixture::size;

/// One way to damage a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    TruncateTo(u64),
    Extend(u64),
    Flip {
        at: u64,
        bit: u8,
        class: &'static str,
    },
    Zero {
        at: u64,
    },
    Delete,
    /// With the n-th other file of its kind.
    Swap(usize),
    /// A copy of the n-th other file of its kind.
    Copy(usize),
    /// To a name that another file of its kind could have.
    Rename,
    Symlink,
    Fifo,
    Directory,
}

impl Damage {
    /// All that make sense for this file; `places` is how many bytes of each class are flipped.
    pub(super) fn all(root: &Path, file: &str, flips: usize) -> Vec<Self> {
        use Damage::{
            Copy, Delete, Directory, Extend, Fifo, Flip, Rename, Swap, Symlink, TruncateTo, Zero,
        };
        let bytes = fs::read(root.join(file)).expect("read");
        let length = bytes.len() as u64;
        let mut all = vec![Delete, Swap(0), Copy(0), Rename, Symlink, Fifo, Directory, Extend(1)];
        if flips > 1 {
            all.extend([Swap(1), Copy(1), Extend(4096), Extend(65_536)]);
        }
        if length == 0 {
            return all;
        }
        let mut lengths = vec![0, length / 2, length - 1];
        if flips > 1 {
            lengths.extend([1, 63, 64, 65, length / 3, length - length.min(64), length - 2]);
            lengths.extend((1..12).map(|part| length * part / 12));
        }
        lengths.retain(|to| *to < length);
        lengths.sort_unstable();
        lengths.dedup();
        all.extend(lengths.into_iter().map(TruncateTo));
        let mut blocks = vec![0, length / 3, length.saturating_sub(4096)];
        if flips > 1 {
            blocks.extend((0..length).step_by(4096).step_by(1 + size(length / 4096 / 24)));
        }
        blocks.sort_unstable();
        blocks.dedup();
        all.extend(blocks.into_iter().map(|at| Zero { at }));
        let mut classes = classes(file, &bytes);
        if flips == 1 {
            // The second frame of a pack and those behind it are as the first.
            let mut names = Vec::new();
            classes.retain(|(name, _)| {
                let is_new = !names.contains(name);
                names.push(name);
                is_new
            });
        }
        for (class, range) in classes {
            for at in places(&range, flips.min(range.len())) {
                all.push(Flip { at: at as u64, bit: (at * 5 % 8) as u8, class });
            }
        }
        all
    }

    /// What it is, without where.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::TruncateTo(_) => "truncated",
            Self::Extend(_) => "extended",
            Self::Flip { .. } => "one bit flipped",
            Self::Zero { .. } => "4 KiB zeroed",
            Self::Delete => "deleted",
            Self::Swap(_) => "swapped with another",
            Self::Copy(_) => "copy of another",
            Self::Rename => "renamed",
            Self::Symlink => "link in its place",
            Self::Fifo => "FIFO in its place",
            Self::Directory => "directory in its place",
        }
    }

    /// Damages a file; whether that changed anything.
    pub(super) fn apply(self, root: &Path, file: &str, all: &[String]) -> bool {
        let path = root.join(file);
        let before = fs::read(&path).expect("read");
        let open = || fs::OpenOptions::new().write(true).open(&path).expect("open");
        match self {
            Self::TruncateTo(length) => open().set_len(length).expect("truncate"),
            Self::Extend(by) => {
                let more = vec![0; size(by)];
                open().write_all_at(&more, before.len() as u64).expect("extend");
            }
            Self::Flip { at, bit, .. } => {
                let byte = before[size(at)] ^ 1 << bit;
                open().write_all_at(&[byte], at).expect("flip");
            }
            Self::Zero { at } => {
                let zeros = vec![0; (before.len() - size(at)).min(4096)];
                open().write_all_at(&zeros, at).expect("zero");
            }
            Self::Delete => fs::remove_file(&path).expect("delete"),
            Self::Swap(number) | Self::Copy(number) => {
                let Some(other) = others(file, all).nth(number) else { return false };
                let other = root.join(other);
                let is_same = fs::read(&other).expect("read") == before;
                if let Self::Copy(_) = self {
                    fs::remove_file(&path).expect("delete");
                    fs::copy(&other, &path).expect("copy");
                } else {
                    let aside = root.join("aside");
                    fs::rename(&path, &aside).expect("rename");
                    fs::rename(&other, &path).expect("rename");
                    fs::rename(&aside, &other).expect("rename");
                }
                return !is_same;
            }
            Self::Rename => fs::rename(&path, other_name(&path)).expect("rename"),
            Self::Symlink => {
                // What it points to is all that should be there: it must not be followed even so.
                let target = root.with_extension("target");
                fs::rename(&path, &target).expect("rename");
                symlink(&target, &path).expect("symlink");
            }
            Self::Fifo => {
                fs::remove_file(&path).expect("delete");
                make_fifo(&path);
            }
            Self::Directory => {
                fs::remove_file(&path).expect("delete");
                fs::create_dir(&path).expect("directory");
            }
        }
        // What a link leads to is as it was.
        path.is_symlink()
            || fs::symlink_metadata(&path).map_or(true, |status| !status.is_file())
            || fs::read(&path).ok().as_ref() != Some(&before)
    }
}

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).expect("mkfifo");
}

/// The other files of its kind. Loose objects stand in a directory each; those are taken for one.
fn others<'f>(file: &'f str, all: &'f [String]) -> impl Iterator<Item = &'f String> {
    let directory = |file: &str| file.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
    all.iter().filter(move |other| {
        **other != *file
            && (directory(other) == directory(file)
                || (other.starts_with("objects/") && file.starts_with("objects/")))
    })
}

/// The name with another digit or letter at the end of its stem.
fn other_name(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).expect("name");
    let at = name.find('.').unwrap_or(name.len()) - 1;
    let other = if &name[at..=at] == "9" { "8" } else { "9" };
    let name = format!("{}{other}{}", &name[..at], &name[at + 1..]);
    path.with_file_name(name)
}

/// One way to damage a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DirectoryDamage {
    Delete,
    Symlink,
    File,
    Fifo,
}

impl DirectoryDamage {
    pub(super) const ALL: [Self; 4] = [Self::Delete, Self::Symlink, Self::File, Self::Fifo];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Delete => "deleted",
            Self::Symlink => "link in its place",
            Self::File => "file in its place",
            Self::Fifo => "FIFO in its place",
        }
    }

    /// Damages a directory of a repository.
    pub(super) fn apply(self, root: &Path, directory: &str) {
        let path = root.join(directory);
        let aside = root.with_extension("aside");
        fs::rename(&path, &aside).expect("rename");
        match self {
            Self::Delete => {}
            Self::Symlink => symlink(&aside, &path).expect("symlink"),
            Self::File => fs::write(&path, b"").expect("file"),
            Self::Fifo => make_fifo(&path),
        }
    }
}
