//! Where a directory of the target is, for messages.
//!
//! Invariant: no system call gets any of this.

use std::fmt::Write;
use std::sync::Arc;

use rustix::io::Errno;

use super::error::TargetError;

/// A directory's name and that of all above it, shared so that depth costs nothing.
#[derive(Debug)]
pub(super) struct Location {
    parent: Option<Arc<Location>>,
    name: Box<[u8]>,
}

impl Location {
    pub(super) fn root(path: &[u8]) -> Arc<Self> {
        Arc::new(Self { parent: None, name: path.into() })
    }

    /// `name`, one or more components, below `self`.
    pub(super) fn child(self: &Arc<Self>, name: &[u8]) -> Arc<Self> {
        if name.is_empty() {
            return Arc::clone(self);
        }
        Arc::new(Self { parent: Some(Arc::clone(self)), name: name.into() })
    }

    /// The path of `name` in this directory, or of the directory itself if `name` is empty.
    pub(super) fn text(&self, name: &[u8]) -> String {
        let mut names = vec![name];
        let mut next = Some(self);
        while let Some(location) = next {
            names.push(&location.name);
            next = location.parent.as_deref();
        }
        let mut path = Vec::new();
        for name in names.into_iter().rev().filter(|name| !name.is_empty()) {
            if path.last().is_some_and(|byte| *byte != b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        printable(&path)
    }

    /// The error for `error` of a call that was `doing` something to `name`.
    pub(super) fn error(
        &self,
        doing: &'static str,
        name: &[u8],
        error: impl Into<std::io::Error>,
    ) -> TargetError {
        let (path, source) = (self.text(name), error.into());
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => TargetError::NoSpace { path, source },
            Some(Errno::IO) => TargetError::Faulty { path, source },
            Some(Errno::PERM | Errno::ACCESS) => TargetError::Denied { doing, path, source },
            Some(Errno::NOENT) => TargetError::Missing { path },
            _ => TargetError::Io { doing, path, source },
        }
    }
}

impl Drop for Location {
    // One after the other: thousands of levels must not become as many nested calls.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut location) = next.and_then(Arc::into_inner) {
            next = location.parent.take();
        }
    }
}

/// `path` as text of one line.
pub(super) fn printable(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for character in String::from_utf8_lossy(path).chars() {
        if character.is_control() {
            // Writing to a string does not fail.
            let _written = write!(text, "{}", character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_together_on_one_line() {
        let root = Location::root(b"/restore/");
        let deeper = root.child(b"a").child(b"").child(b"b\nc");
        assert_eq!(root.text(b""), "/restore/");
        assert_eq!(deeper.text(b"\xff"), "/restore/a/b\\nc/\u{fffd}");
        assert_eq!(Location::root(b"/").text(b"x"), "/x");
    }

    #[test]
    fn very_deep_locations_are_dropped_without_deep_calls() {
        let mut location = Location::root(b"r");
        for _ in 0..1_000_000 {
            location = location.child(b"d");
        }
        drop(location);
    }

    #[test]
    fn errors_are_told_apart() {
        let root = Location::root(b"r");
        let error = |errno: Errno| root.error("write", b"f", errno);
        assert!(matches!(error(Errno::NOSPC), TargetError::NoSpace { .. }));
        assert!(matches!(error(Errno::DQUOT), TargetError::NoSpace { .. }));
        assert!(matches!(error(Errno::IO), TargetError::Faulty { .. }));
        assert!(matches!(error(Errno::NOENT), TargetError::Missing { .. }));
        assert_eq!(error(Errno::ACCESS).to_string(), "not permitted to write r/f");
        assert_eq!(error(Errno::FBIG).to_string(), "cannot write r/f");
    }
}
