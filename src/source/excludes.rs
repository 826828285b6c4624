//! The excludes of a selection: the last pattern that matches an entry decides about it.
//!
//! An entry is judged by its own path only; that nothing below an excluded directory is asked about
//! is the caller's part.

use std::borrow::Cow;
use std::collections::HashMap;

use super::glob::Glob;
use super::includes::{ancestors, base_name};
use super::pattern::{Body, Pattern, Scope};
use super::selection::Root;

/// Exclude patterns, ready to be asked about every entry of a walk.
#[derive(Debug, Clone)]
pub(super) struct Excludes {
    patterns: Vec<Pattern>,
    /// The context without its leading slash.
    context: Vec<u8>,
    /// Ascending indices of the plain patterns by the path they name in the context.
    in_context: HashMap<Vec<u8>, Vec<usize>>,
    /// The same by absolute path, without the leading slash.
    absolute: HashMap<Vec<u8>, Vec<usize>>,
    /// Ascending indices of the globs.
    globs: Vec<usize>,
    has_absolute_globs: bool,
    /// The pattern that excludes a directory above the context, and so all of the context.
    above_context: Option<usize>,
}

impl Excludes {
    /// Makes a set of `patterns`; `context` is absolute, without its leading slash.
    pub(super) fn new(context: &[u8], patterns: Vec<Pattern>) -> Self {
        let mut in_context: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        let mut absolute: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        let mut globs = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            let Body::Plain(path) = &pattern.body else {
                globs.push(index);
                continue;
            };
            let (inside, whole) = match pattern.scope {
                Scope::Absolute => (strip(context, path), Cow::Borrowed(path.as_slice())),
                _ => (Some(path.as_slice()), join(context, path)),
            };
            if let Some(inside) = inside {
                in_context.entry(inside.to_vec()).or_default().push(index);
            }
            absolute.entry(whole.into_owned()).or_default().push(index);
        }
        let has_absolute_globs = globs
            .iter()
            .any(|&index| patterns.get(index).is_some_and(|p| p.scope == Scope::Absolute));
        let above_context = ancestors(context).find_map(|ancestor| {
            let last = patterns.iter().rposition(|pattern| matches_absolute(pattern, ancestor))?;
            patterns.get(last).is_some_and(|pattern| !pattern.is_negated()).then_some(last)
        });
        let context = context.to_vec();
        Self { patterns, context, in_context, absolute, globs, has_absolute_globs, above_context }
    }

    /// The patterns as given.
    pub(super) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Returns the index of the pattern that excludes an entry.
    pub(super) fn excluding(&self, root: Root, path: &[u8], is_dir: bool) -> Option<usize> {
        let index = self.deciding(root, path, is_dir)?;
        self.patterns.get(index).is_some_and(|pattern| !pattern.is_negated()).then_some(index)
    }

    /// Returns the index of the last pattern that matches an entry, be it negated or not.
    pub(super) fn deciding(&self, root: Root, path: &[u8], is_dir: bool) -> Option<usize> {
        if self.patterns.is_empty() {
            return None;
        }
        if root == Root::Context && path.is_empty() && self.above_context.is_some() {
            return self.above_context;
        }
        let plain = match root {
            Root::Context => self.in_context.get(path),
            Root::Absolute => self.absolute.get(path),
        };
        let applies = |index: usize| {
            let pattern = self.patterns.get(index);
            pattern.is_some_and(|pattern| is_dir || !pattern.is_for_directories())
        };
        let plain = plain.and_then(|found| found.iter().rev().copied().find(|&i| applies(i)));
        if self.globs.is_empty() || path.is_empty() && !self.has_absolute_globs {
            return plain;
        }
        let place = Place::new(self, root, path);
        let mut later = self.globs.iter().rev().copied().take_while(|&i| Some(i) > plain);
        later.find(|&i| applies(i) && place.is_matched_by(self.patterns.get(i))).or(plain)
    }

    /// Returns the absolute patterns that can match nothing in the places that are read: `roots`,
    /// and the context if `reads_context`.
    pub(super) fn idle(
        &self,
        reads_context: bool,
        mut roots: Vec<Glob>,
    ) -> impl Iterator<Item = &Pattern> {
        roots.extend(reads_context.then(|| Glob::literal(&self.context)));
        self.patterns.iter().filter(move |pattern| {
            let own = match &pattern.body {
                Body::Plain(path) => Cow::Owned(Glob::literal(path)),
                Body::Glob(glob) => Cow::Borrowed(glob),
            };
            pattern.scope == Scope::Absolute && !roots.iter().any(|root| root.may_overlap(&own))
        })
    }
}

/// The path of one entry in the three ways that globs ask for.
struct Place<'a> {
    name: &'a [u8],
    in_context: Option<&'a [u8]>,
    /// Only right if there is an absolute glob.
    absolute: Cow<'a, [u8]>,
}

impl<'a> Place<'a> {
    fn new(excludes: &'a Excludes, root: Root, path: &'a [u8]) -> Self {
        let (in_context, absolute) = match root {
            Root::Absolute => (strip(&excludes.context, path), Cow::Borrowed(path)),
            Root::Context if excludes.has_absolute_globs => {
                (Some(path), join(&excludes.context, path))
            }
            Root::Context => (Some(path), Cow::Borrowed(path)),
        };
        Self { name: base_name(path), in_context, absolute }
    }

    fn is_matched_by(&self, pattern: Option<&Pattern>) -> bool {
        let Some(pattern) = pattern else { return false };
        let Body::Glob(glob) = &pattern.body else {
            return false;
        };
        match pattern.scope {
            // A root itself has no name that a wildcard without a slash could mean.
            Scope::Anywhere => !self.name.is_empty() && glob.matches(self.name),
            Scope::Context => self.in_context.is_some_and(|path| glob.matches(path)),
            Scope::Absolute => glob.matches(&self.absolute),
        }
    }
}

fn matches_absolute(pattern: &Pattern, path: &[u8]) -> bool {
    pattern.scope == Scope::Absolute
        && match &pattern.body {
            Body::Plain(own) => own == path,
            Body::Glob(glob) => glob.matches(path),
        }
}

/// Returns `path` relative to the directory `base`, if it is that or below.
fn strip<'a>(base: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(base)?;
    if base.is_empty() || rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"/") }
}

/// Joins two relative paths, either of which may be empty.
fn join<'a>(base: &'a [u8], path: &'a [u8]) -> Cow<'a, [u8]> {
    match (base, path) {
        (b"", path) => Cow::Borrowed(path),
        (base, b"") => Cow::Borrowed(base),
        _ => Cow::Owned([base, path].join(&b'/')),
    }
}
