//! The includes of a selection: what is wanted, before excludes take away from it.
//!
//! No path in a backup has two sources: a relative and an absolute include that could meet once the
//! leading slash is dropped are a conflict.

use super::glob::Glob;
use super::pattern::{Body, Pattern, Scope};
use super::selection::{Include, Root, Verdict};

/// The includes of one root.
#[derive(Debug, Clone, Default)]
pub(super) struct IncludeSet {
    /// Plain includes and their indices, sorted by bytes and without duplicates.
    paths: Vec<(Vec<u8>, usize)>,
    /// Globs and their indices.
    globs: Vec<(Pattern, usize)>,
}

impl IncludeSet {
    /// Takes the patterns of `root`; `context_is_root` makes absolute paths relative to it.
    pub(super) fn new(root: Root, patterns: &[Pattern], context_is_root: bool) -> Self {
        let mut set = Self::default();
        for (index, pattern) in patterns.iter().enumerate() {
            if root_of(pattern, context_is_root) != root {
                continue;
            }
            match &pattern.body {
                Body::Plain(path) => set.paths.push((path.clone(), index)),
                Body::Glob(_) => set.globs.push((pattern.clone(), index)),
            }
        }
        set.paths.sort();
        set.paths.dedup_by(|later, earlier| later.0 == earlier.0);
        set
    }

    /// Judges the root directory itself.
    pub(super) fn start(&self) -> Verdict {
        if self.paths.is_empty() && self.globs.is_empty() {
            return Verdict::Outside;
        }
        if self.exact(b"").is_some() { Verdict::Take } else { Verdict::Descend }
    }

    /// Judges an entry of a directory that is itself only a container.
    pub(super) fn verdict(&self, path: &[u8], is_dir: bool) -> Verdict {
        if self.taking(path, is_dir).is_some() {
            Verdict::Take
        } else if is_dir && self.leading(path).is_some() {
            Verdict::Descend
        } else {
            Verdict::Outside
        }
    }

    /// Returns the index of an include that takes an entry itself, not by a directory above it.
    pub(super) fn taking(&self, path: &[u8], is_dir: bool) -> Option<usize> {
        let is_match = |pattern: &Pattern| {
            // A root itself has no name that a wildcard could mean.
            let is_named = !path.is_empty() && (is_dir || !pattern.is_for_directories());
            is_named && glob_matches(pattern, path)
        };
        let globs = || self.globs.iter().find(|(glob, _)| is_match(glob));
        self.exact(path).or_else(|| globs().map(|(_, index)| *index))
    }

    /// Returns the index of an include that may name something below a directory.
    pub(super) fn leading(&self, path: &[u8]) -> Option<usize> {
        let may_hold = |pattern: &Pattern| match (&pattern.body, pattern.scope) {
            (_, Scope::Anywhere) => true,
            (Body::Glob(glob), _) => path.is_empty() || glob.may_match_below(path),
            (Body::Plain(_), _) => false,
        };
        let plain = match path {
            b"" => self.paths.first().map(|(_, index)| *index),
            _ => self.below(path),
        };
        let globs = || self.globs.iter().find(|(glob, _)| may_hold(glob));
        plain.or_else(|| globs().map(|(_, index)| *index))
    }

    /// Returns the index of the include that names `path`.
    fn exact(&self, path: &[u8]) -> Option<usize> {
        let found = self.paths.binary_search_by(|(own, _)| own.as_slice().cmp(path)).ok()?;
        self.paths.get(found).map(|(_, index)| *index)
    }

    /// Returns the index of an include that names a path below `path`, which is not empty.
    fn below(&self, path: &[u8]) -> Option<usize> {
        // The first path that sorts after `path` and a slash starts with them, if any does.
        let from = self.paths.partition_point(|(own, _)| own.iter().lt(path.iter().chain(b"/")));
        let (own, index) = self.paths.get(from)?;
        own.strip_prefix(path)?.starts_with(b"/").then_some(*index)
    }

    /// Returns the index of an include that names a directory above `path`.
    fn above(&self, path: &[u8]) -> Option<usize> {
        ancestors(path).find_map(|ancestor| self.exact(ancestor))
    }

    /// Finds an include of `self` and one of `other` that could meet at one path.
    pub(super) fn conflict(&self, other: &Self) -> Option<(usize, usize)> {
        for (path, index) in &self.paths {
            let met = other.exact(path).or_else(|| other.above(path));
            let met = met.or_else(|| match path.as_slice() {
                b"" => other.paths.first().map(|(_, index)| *index),
                _ => other.below(path),
            });
            if let Some(met) = met {
                return Some((*index, met));
            }
        }
        let globs = |set: &Self| {
            let globs: Vec<_> = set.globs.iter().map(|(p, index)| (as_glob(p), *index)).collect();
            globs
        };
        let (own_globs, other_globs) = (globs(self), globs(other));
        let literals = |set: &Self| {
            let paths = set.paths.iter().map(|(path, index)| (Some(Glob::literal(path)), *index));
            paths.collect::<Vec<_>>()
        };
        let all_others = [literals(other), other_globs.clone()].concat();
        first_overlap(&own_globs, &all_others)
            .or_else(|| first_overlap(&literals(self), &other_globs))
    }
}

/// Returns the directories above `path`, from the root's own, which is empty.
pub(super) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let own = (!path.is_empty()).then_some(&b""[..]);
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    own.into_iter().chain(slashes.filter_map(|(index, _)| path.get(..index)))
}

/// Lists the includes as they were given.
pub(super) fn list(
    patterns: &[Pattern],
    context_is_root: bool,
    in_context: &IncludeSet,
    absolute: &IncludeSet,
) -> Vec<Include> {
    let include = |(index, pattern): (usize, &Pattern)| {
        let root = root_of(pattern, context_is_root);
        let set = if root == Root::Context { in_context } else { absolute };
        let path = match &pattern.body {
            Body::Plain(path) => path.clone(),
            Body::Glob(_) if pattern.scope == Scope::Anywhere => Vec::new(),
            Body::Glob(glob) => glob.base(),
        };
        let same = set.exact(&path).filter(|same| *same != index);
        let is_covered = same.or_else(|| set.above(&path)).is_some();
        Include { root, path, index, is_glob: pattern.is_glob(), is_covered }
    };
    patterns.iter().enumerate().map(include).collect()
}

fn root_of(pattern: &Pattern, context_is_root: bool) -> Root {
    match pattern.scope {
        Scope::Absolute if !context_is_root => Root::Absolute,
        _ => Root::Context,
    }
}

fn glob_matches(pattern: &Pattern, path: &[u8]) -> bool {
    let path = if pattern.scope == Scope::Anywhere { base_name(path) } else { path };
    matches!(&pattern.body, Body::Glob(glob) if glob.matches(path))
}

/// Returns the last component of `path`.
pub(super) fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// Returns the glob of a pattern, or none if it may match anywhere.
fn as_glob(pattern: &Pattern) -> Option<Glob> {
    match &pattern.body {
        _ if pattern.scope == Scope::Anywhere => None,
        Body::Plain(path) => Some(Glob::literal(path)),
        Body::Glob(glob) => Some(glob.clone()),
    }
}

/// Finds two that could meet; none stands for what may match anywhere.
fn first_overlap(
    own: &[(Option<Glob>, usize)],
    others: &[(Option<Glob>, usize)],
) -> Option<(usize, usize)> {
    own.iter().find_map(|(own, index)| {
        let meets = |other: &Option<Glob>| match (own, other) {
            (Some(own), Some(other)) => own.may_overlap(other),
            _ => true,
        };
        others.iter().find(|(other, _)| meets(other)).map(|(_, met)| (*index, *met))
    })
}
