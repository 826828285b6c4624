//! Where the sources of a directory are: opened by descriptor, never through a link.
//!
//! Invariant: what is not entered is on record with the reason.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::before::Before;
use super::directory::{Directory, State};
use super::tally::Tally;
use super::{Scan, TreeError};
use crate::base::path::is_within;
use crate::format::tree::Metadata;
use crate::ops::read_entry::metadata;
use crate::os::{Listed, Status, list, read_xattrs, status_of};
use crate::source::metadata::is_pseudo_filesystem;
use crate::source::selection::{Root as SelectionRoot, Verdict};
use crate::store::ObjectSink;

/// One directory of the sources that goes into a directory of the tree. Two meet where a relative
/// and an absolute include share a container.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) root: SelectionRoot,
    pub(super) descriptor: OwnedFd,
    pub(super) verdict: Verdict,
    pub(super) dev: u64,
    /// Whether it is what an include names, or a way there, rather than below one.
    is_asked_for: bool,
    /// Whether another file system begins here.
    is_mount: bool,
}

/// Opens the roots that are included from; the directory that they go into.
pub(super) fn open_roots<S: ObjectSink>(
    scan: &Scan<'_>,
    sink: &mut S,
    tally: &mut Tally,
) -> Result<(Arc<Directory>, Option<Metadata>), TreeError> {
    let mut places = Vec::new();
    let mut root_metadata = None;
    let roots = [
        (SelectionRoot::Context, scan.source.context.as_path()),
        (SelectionRoot::Absolute, Path::new("/")),
    ];
    for (root, path) in roots {
        let selection = scan.source.selection;
        let verdict = selection.start(root);
        let is_wanted = selection.includes().iter().any(|include| include.root == root);
        if !is_wanted || !matches!(verdict, Verdict::Take | Verdict::Descend) {
            continue;
        }
        let (place, status) = open_root(root, path, verdict)
            .map_err(|source| TreeError::Context { path: path.display().to_string(), source })?;
        if root_metadata.is_none() {
            let xattrs = read_xattrs(&place.descriptor).unwrap_or_default();
            root_metadata = Some(metadata(&status, &xattrs, sink)?);
            tally.owners.note(status.uid, status.gid);
        }
        places.push(place);
    }
    let before = match (scan.source.stat_index, scan.source.previous) {
        (Some(index), _) => {
            let seen = index.directory(index.root());
            seen.map_or(Before::Nothing, |seen| Before::Seen(seen, index.root()))
        }
        (None, Some((_, tree))) => scan.previous_tree(&tree),
        (None, None) => Before::Nothing,
    };
    let directory = Arc::new(Directory {
        path: Vec::new(),
        places,
        depth: 0,
        metadata: root_metadata.clone().unwrap_or_default(),
        stamp: None,
        is_container: false,
        parent: None,
        before,
        state: State::new(false),
    });
    Ok((directory, root_metadata))
}

fn open_root(
    root: SelectionRoot,
    path: &Path,
    verdict: Verdict,
) -> std::io::Result<(Place, Status)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    let status = status_of(&descriptor)?;
    let place =
        Place { root, descriptor, verdict, dev: status.dev, is_asked_for: true, is_mount: false };
    Ok((place, status))
}

impl Scan<'_> {
    /// Names includes that do not exist.
    pub(super) fn check_includes(&self, tally: &mut Tally) {
        for include in self.source.selection.includes() {
            let base = match include.root {
                SelectionRoot::Context => self.source.context.as_path(),
                SelectionRoot::Absolute => Path::new("/"),
            };
            let path = base.join(std::ffi::OsStr::from_bytes(&include.path));
            tally.includes += 1;
            if let Err(error) = std::fs::symlink_metadata(&path) {
                tally.missing_includes += 1;
                let reason = format!("cannot find this include: {error}");
                self.fail("missing_include", &include.path, reason);
            }
        }
    }

    /// The names to look at in a directory: all of them, or only those that lead to includes.
    pub(super) fn children(&self, place: &Place, path: &[u8]) -> std::io::Result<Vec<Listed>> {
        let includes = self.source.selection.includes();
        let below = || {
            includes
                .iter()
                .filter(|include| include.root == place.root && is_within(&include.path, path))
        };
        let has_glob = includes.iter().any(|include| {
            include.is_glob && include.root == place.root && is_within(path, &include.path)
        });
        if place.verdict == Verdict::Take || has_glob {
            return list(&place.descriptor);
        }
        let mut names: Vec<&[u8]> = below()
            .filter_map(|include| {
                let rest = include.path.get(path.len()..)?;
                let rest = rest.strip_prefix(b"/").unwrap_or(rest);
                rest.split(|byte| *byte == b'/').next().filter(|name| !name.is_empty())
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names.into_iter().map(|name| Listed { name: name.into(), kind: None, ino: 0 }).collect())
    }

    /// Opens a directory that is wanted; `None` with a reason on record if it is not to be entered.
    pub(super) fn open(
        &self,
        place: &Place,
        name: &[u8],
        path: &[u8],
        verdict: Verdict,
    ) -> Option<(Place, Status)> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open =
            |access| rustix::fs::openat(&place.descriptor, name, flags | access, Mode::empty());
        let opened = match open(OFlags::RDONLY) {
            // A container that may be passed through but not listed.
            Err(Errno::ACCESS) if verdict == Verdict::Descend => open(OFlags::PATH),
            other => other,
        };
        let opened = opened.map_err(std::io::Error::from);
        let opened = opened.and_then(|opened| status_of(&opened).map(|status| (opened, status)));
        let (descriptor, status) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.fail("unreadable", path, format!("cannot open directory: {error}"));
                return None;
            }
        };
        let own = self.source.own.iter().find(|(own, _)| *own == status.identity());
        if let Some((_, what)) = own {
            self.skip(path, what);
            return None;
        }
        let child = Place {
            root: place.root,
            descriptor,
            verdict,
            dev: status.dev,
            is_asked_for: place.verdict != Verdict::Take,
            is_mount: status.dev != place.dev,
        };
        Some((child, status))
    }

    /// Whether what is in a directory is wanted, given the file system it lies on.
    ///
    /// A mount point that an include names is entered; one below an include only if it may be.
    pub(super) fn is_entered(&self, place: &Place, path: &[u8]) -> bool {
        if place.verdict != Verdict::Take || !(place.is_asked_for || place.is_mount) {
            return true;
        }
        if is_pseudo_filesystem(&place.descriptor).unwrap_or(false) {
            if place.is_asked_for {
                let reason = "a pseudo file system, which holds nothing that could be kept".into();
                self.fail("pseudo_file_system", path, reason);
            } else {
                self.skip(path, "pseudo file system");
            }
            return false;
        }
        if self.source.one_file_system && !place.is_asked_for {
            self.skip(path, "other file system");
            return false;
        }
        true
    }
}
