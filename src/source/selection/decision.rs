//! Which pattern decides about a path, for people who ask why.
//!
//! Invariant: the verdict is that of [`Selection::classify`].

use super::{PatternList, Root, Selection, Verdict};
use crate::source::includes::ancestors;

/// What becomes of a path, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'p> {
    /// What becomes of it.
    pub verdict: Verdict,
    /// The pattern that decides: the exclude that excludes it or a directory above it; else the
    /// negated one that takes it back; else the include that takes it, or that a container leads
    /// to. `None` where no include asks for it.
    pub rule: Option<(PatternList, usize)>,
    /// The path that the pattern matched: the path itself, or a directory above it.
    pub matched: &'p [u8],
}

impl Selection {
    /// Judges an entry from the top, and says which pattern decides.
    ///
    /// `path` is normalised and relative to `root`.
    pub fn decide<'p>(&self, root: Root, path: &'p [u8], is_dir: bool) -> Decision<'p> {
        let mut verdict = self.start(root);
        let mut taken_by = None;
        for step in ancestors(path).chain([path]) {
            let is_dir = is_dir || step.len() < path.len();
            if !step.is_empty() {
                verdict = self.verdict(verdict, root, step, is_dir);
            }
            match verdict {
                Verdict::Excluded { pattern } => {
                    let rule = Some((PatternList::Exclude, pattern));
                    return Decision { verdict, rule, matched: step };
                }
                Verdict::Outside => return Decision { verdict, rule: None, matched: path },
                Verdict::Take if taken_by.is_none() => {
                    taken_by = Some((self.set(root).taking(step, is_dir), step));
                }
                _ => {}
            }
        }
        let taken_back = self.excludes.deciding(root, path, is_dir);
        let (rule, matched) = match (taken_back, taken_by) {
            (Some(index), _) => (Some((PatternList::Exclude, index)), path),
            (None, Some((index, step))) => (index.map(|index| (PatternList::Include, index)), step),
            (None, None) => {
                let index = self.set(root).leading(path);
                (index.map(|index| (PatternList::Include, index)), path)
            }
        };
        Decision { verdict, rule, matched }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::selection::PatternList::{Exclude, Include};

    #[test]
    fn the_deciding_pattern_is_named() {
        let includes = ["src", "x/*.md", "a/b", "/etc/ssl"];
        let excludes = ["*.o", "!kee?.o", "src/build", "!src/build/x", "/etc/ssl/private/"];
        let selection = Selection::new(b"/srv/app", &includes, &excludes).expect("valid");
        for (path, rule, matched) in [
            ("src/main.c", Some((Include, 0)), "src"),
            ("src/main.o", Some((Exclude, 0)), "src/main.o"),
            ("src/keep.o", Some((Exclude, 1)), "src/keep.o"),
            ("src/build/", Some((Exclude, 2)), "src/build"),
            ("src/build/x", Some((Exclude, 2)), "src/build"),
            ("x/read.md", Some((Include, 1)), "x/read.md"),
            ("x/read.md/", Some((Include, 1)), "x/read.md"),
            ("x/read.md/x", Some((Include, 1)), "x/read.md"),
            ("x/", Some((Include, 1)), "x"),
            ("a/", Some((Include, 2)), "a"),
            ("", Some((Include, 2)), ""),
            ("other", None, "other"),
            ("/etc/", Some((Include, 3)), "etc"),
            ("/etc/ssl/private/x", Some((Exclude, 4)), "etc/ssl/private"),
            ("/etc/ssl/private", Some((Include, 3)), "etc/ssl"),
            ("/etc/passwd", None, "etc/passwd"),
        ] {
            let root = if path.starts_with('/') { Root::Absolute } else { Root::Context };
            let is_dir = path.ends_with('/') || path.is_empty();
            let decision = selection.decide(root, path.trim_matches('/').as_bytes(), is_dir);
            assert_eq!(decision.rule, rule, "{path}");
            assert_eq!(decision.matched, matched.as_bytes(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn verdicts_are_those_of_a_walk(
            includes in proptest::collection::vec("(/srv/app/)?[ab*](/[ab*]){0,2}/?", 1..4),
            excludes in proptest::collection::vec("!?(/srv/)?[ab*](/[ab*]){0,2}/?", 0..5),
            path in "([abc](/[abc]){0,3})?",
            is_dir: bool,
        ) {
            let selection = Selection::new(b"/srv/app", &includes, &excludes);
            prop_assume!(selection.is_ok());
            let selection = selection.expect("assumed");
            let is_dir = is_dir || path.is_empty();
            for (root, path) in
                [(Root::Context, path.clone()), (Root::Absolute, format!("srv/app/{path}"))]
            {
                let path = path.trim_end_matches('/').as_bytes();
                let decision = selection.decide(root, path, is_dir);
                prop_assert_eq!(decision.verdict, selection.classify(root, path, is_dir));
                let is_outside = decision.verdict == Verdict::Outside;
                prop_assert_eq!(decision.rule.is_none(), is_outside);
            }
        }
    }
}
