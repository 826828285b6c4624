//! Whether a backup leaves a path out, and why: what its walk would do on the way to that path.
//!
//! Invariant: nothing is followed, and nothing read but the status of the path and of the
//! directories above it, and of the file systems that these begin.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::CWD;

use crate::os::{FileIdentity, FileKind, Status, status_at};
use crate::source::metadata::is_pseudo_filesystem;
use crate::source::selection::{PatternList, Root, Selection, Verdict};

/// What a backup does about a path, from the most to the least that it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is backed up.
    Taken,
    /// It is a directory on the way to an include, backed up if there is something to hold.
    Container,
    /// It would be one of the two, but is left out.
    Excluded,
    /// No include asks for it, or none can be reached through it.
    Outside,
}

impl Fate {
    /// Whether the path is left out.
    pub fn is_ignored(self) -> bool {
        matches!(self, Self::Excluded | Self::Outside)
    }

    /// The word for it, as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Container => "container",
            Self::Excluded => "excluded",
            Self::Outside => "outside",
        }
    }
}

/// What was found out about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What a backup does about it.
    pub fate: Fate,
    /// The pattern that decides, by its list and its place there; `None` where none does.
    pub rule: Option<(PatternList, usize)>,
    /// The path that the rule or reason is about: the path itself or a directory above it, in the
    /// context, or with a leading slash. `None` where nothing asks for it.
    pub matched: Option<Vec<u8>>,
    /// Why, where it is not for a pattern.
    pub reason: Option<&'static str>,
}

/// What decides about paths: a project as a backup sees it.
#[derive(Debug, Clone)]
pub struct IgnoreRules<'a> {
    /// The directory that relative includes start from, absolute and without links.
    pub context: &'a Path,
    /// What is included and excluded.
    pub selection: &'a Selection,
    /// Whether directories on other file systems are left out.
    pub one_file_system: bool,
    /// Directories of RunUp's own, and what each is.
    pub own: Vec<(FileIdentity, &'static str)>,
}

/// Something on the way that a walk does not pass.
struct Obstacle<'p> {
    fate: Fate,
    reason: &'static str,
    at: &'p [u8],
}

impl IgnoreRules<'_> {
    /// Judges an absolute path. It is taken for a directory if it is one or `is_directory`; it need
    /// not exist.
    ///
    /// # Errors
    ///
    /// The path, or a directory above it, cannot be looked at.
    pub fn judge(&self, path: &[u8], is_directory: bool) -> io::Result<Judgement> {
        let path = normalise(path);
        let is_directory = is_directory
            || status(Path::new("/"), &path)?
                .is_some_and(|status| status.kind == FileKind::Directory);
        let whole = self.judge_in(Root::Absolute, Path::new("/"), &path, is_directory)?;
        let Some(inside) = self.in_context(&path) else { return Ok(whole) };
        let inside = self.judge_in(Root::Context, self.context, &inside, is_directory)?;
        Ok(if inside.fate <= whole.fate { inside } else { whole })
    }

    /// The path relative to the context, if it leads there.
    fn in_context(&self, path: &[u8]) -> Option<Vec<u8>> {
        let path = Path::new("/").join(OsStr::from_bytes(path));
        let inside = path.strip_prefix(self.context).ok().or_else(|| {
            let leads_there =
                |above: &&Path| std::fs::canonicalize(above).is_ok_and(|real| real == self.context);
            path.strip_prefix(path.ancestors().skip(1).find(leads_there)?).ok()
        });
        inside.map(|inside| inside.as_os_str().as_bytes().to_vec())
    }

    fn judge_in(
        &self,
        root: Root,
        base: &Path,
        path: &[u8],
        is_directory: bool,
    ) -> io::Result<Judgement> {
        let decision = self.selection.decide(root, path, is_directory);
        let fate = match decision.verdict {
            Verdict::Take => Fate::Taken,
            Verdict::Descend => Fate::Container,
            Verdict::Excluded { .. } => Fate::Excluded,
            Verdict::Outside => Fate::Outside,
        };
        let shown = |path: &[u8]| match (root, path) {
            (Root::Context, b"") => b".".to_vec(),
            (Root::Context, path) => path.to_vec(),
            (Root::Absolute, path) => [b"/", path].concat(),
        };
        let obstacle = match fate.is_ignored() {
            true => None,
            false => self.obstacle(root, base, path)?,
        };
        Ok(match obstacle {
            Some(Obstacle { fate, reason, at }) => {
                Judgement { fate, rule: None, matched: Some(shown(at)), reason: Some(reason) }
            }
            None => Judgement {
                fate,
                rule: decision.rule,
                matched: decision.rule.map(|_| shown(decision.matched)),
                reason: None,
            },
        })
    }

    /// Finds what keeps a walk from a path that the patterns let it take.
    fn obstacle<'p>(
        &self,
        root: Root,
        base: &Path,
        path: &'p [u8],
    ) -> io::Result<Option<Obstacle<'p>>> {
        let mut verdict = self.selection.start(root);
        let Some(mut above) = status(base, b"")? else { return Ok(None) };
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]).filter(|end| *end > 0) {
            let at = &path[..end];
            let Some(status) = status(base, at)? else { return Ok(None) };
            if status.kind != FileKind::Directory {
                let reason = "not a directory, so nothing is looked for below it";
                let is_last = end == path.len();
                return Ok((!is_last).then_some(Obstacle { fate: Fate::Outside, reason, at }));
            }
            if let Some((_, reason)) = self.own.iter().find(|(own, _)| *own == status.identity()) {
                return Ok(Some(Obstacle { fate: Fate::Excluded, reason, at }));
            }
            let is_asked_for = verdict != Verdict::Take;
            verdict = self.selection.verdict(verdict, root, at, true);
            let begins = verdict == Verdict::Take && (is_asked_for || status.dev != above.dev);
            if begins && end < path.len() {
                let mount = File::open(base.join(OsStr::from_bytes(at)));
                let is_pseudo =
                    mount.is_ok_and(|mount| is_pseudo_filesystem(mount).unwrap_or(false));
                let reason = match is_pseudo {
                    true => Some("pseudo file system"),
                    false => (self.one_file_system && !is_asked_for).then_some("other file system"),
                };
                if let Some(reason) = reason {
                    return Ok(Some(Obstacle { fate: Fate::Excluded, reason, at }));
                }
            }
            above = status;
        }
        Ok(None)
    }
}

/// What stands at a path below a directory; `None` if nothing does.
fn status(base: &Path, path: &[u8]) -> io::Result<Option<Status>> {
    let path = base.join(OsStr::from_bytes(path));
    match status_at(CWD, path.as_os_str().as_bytes()) {
        Ok(status) => Ok(Some(status)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

/// An absolute path without its leading slash, `.`, `..` and double slashes.
fn normalise(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => _ = parts.pop(),
            _ => parts.push(part),
        }
    }
    parts.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_as_they_are_written() {
        assert_eq!(normalise(b"//a/./b/../c/"), b"a/c");
        assert_eq!(normalise(b"/../.."), b"");
    }
}
