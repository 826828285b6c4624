//! One include or exclude pattern: a plain path or a glob, and what it is relative to.
//!
//! Parsing is purely lexical and depends on the text alone, so a pattern stored in a snapshot means
//! at restore what it meant at backup.

use super::glob::{Glob, GlobProblem, Name, Part};

/// Longest pattern, in bytes; with it, matching a path has a bounded cost.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Why a pattern was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternProblem {
    /// Nothing, or nothing after `!`.
    #[error("empty pattern: write `.` for the whole directory")]
    Empty,
    /// More than [`PATTERN_BYTES_MAX`] bytes.
    #[error("longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    /// A NUL byte, which no path can hold.
    #[error("holds a NUL byte")]
    Nul,
    /// A `..`, which has no meaning without the file system.
    #[error("`..` is not supported: write the path without it")]
    ParentComponent,
    /// An include that starts with `!`.
    #[error("an include cannot start with `!`: write `\\!` for the character itself")]
    NegatedInclude,
    /// A wildcard that is none.
    #[error("{0}")]
    Glob(GlobProblem),
}

/// What the paths of a pattern are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The context directory.
    Context,
    /// Any directory, be it below the context or not: a wildcard without a slash.
    Anywhere,
    /// `/`
    Absolute,
}

/// What a pattern matches, relative to its [`Scope`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// This path, normalised: no leading, trailing or double slash, no `.`; empty for the scope's
    /// own directory.
    Plain(Vec<u8>),
    /// Paths that match.
    Glob(Glob),
}

/// A parsed include or exclude pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    is_negated: bool,
    is_for_directories: bool,
    pub(super) scope: Scope,
    pub(super) body: Body,
}

impl Pattern {
    /// Parses `text`.
    ///
    /// Without a wildcard it is a path in the context, or with a leading slash an absolute one.
    /// With a wildcard it is a glob as in gitignore(5): relative to the context if it has a slash
    /// other than a trailing one, else matching at any depth; a leading slash makes it absolute.
    ///
    /// # Errors
    ///
    /// [`PatternProblem`]; never [`PatternProblem::NegatedInclude`], which is for the caller.
    pub fn parse(text: &[u8]) -> Result<Self, PatternProblem> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternProblem::TooLong);
        }
        if text.contains(&0) {
            return Err(PatternProblem::Nul);
        }
        let positive = text.strip_prefix(b"!");
        let path = positive.unwrap_or(text);
        if path.is_empty() {
            return Err(PatternProblem::Empty);
        }
        let is_absolute = path.starts_with(b"/");
        let bare_bytes = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let (bare, slashes) = path.split_at_checked(bare_bytes).unwrap_or((path, &[]));
        let body = parse_body(bare)?;
        let scope = match body {
            _ if is_absolute => Scope::Absolute,
            Body::Glob(_) if !bare.contains(&b'/') => Scope::Anywhere,
            _ => Scope::Context,
        };
        Ok(Self {
            text: text.to_vec(),
            is_negated: positive.is_some(),
            // The root directory's slash is not a trailing one.
            is_for_directories: !slashes.is_empty() && !bare.is_empty(),
            scope,
            body,
        })
    }

    /// The text it was parsed from.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it takes back what earlier patterns exclude (leading `!`).
    pub fn is_negated(&self) -> bool {
        self.is_negated
    }

    /// Whether it matches directories only (trailing `/`).
    pub fn is_for_directories(&self) -> bool {
        self.is_for_directories
    }

    /// Whether it has a wildcard.
    pub fn is_glob(&self) -> bool {
        matches!(self.body, Body::Glob(_))
    }
}

fn parse_body(path: &[u8]) -> Result<Body, PatternProblem> {
    let mut parts = Vec::new();
    for component in path.split(|&byte| byte == b'/') {
        if component == b"**" {
            parts.push(Part::AnyDepth);
            continue;
        }
        let name = Name::parse(component).map_err(PatternProblem::Glob)?;
        match name.literal() {
            Some(b"" | b".") => {}
            Some(b"..") => return Err(PatternProblem::ParentComponent),
            _ => parts.push(Part::Name(name)),
        }
    }
    let literal = |part: &Part| match part {
        Part::Name(name) => name.literal().map(<[u8]>::to_vec),
        Part::AnyDepth => None,
    };
    let plain: Option<Vec<Vec<u8>>> = parts.iter().map(literal).collect();
    Ok(match plain {
        Some(names) => Body::Plain(names.join(&b'/')),
        None => Body::Glob(Glob::new(parts)),
    })
}

/// Writes the pattern that matches exactly `path`, whatever bytes it holds.
///
/// For paths that come from a command line or a directory and not from a pattern.
pub fn escape(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(path.len());
    for (index, &byte) in path.iter().enumerate() {
        if matches!(byte, b'*' | b'?' | b'[' | b'\\') || (index == 0 && byte == b'!') {
            text.push(b'\\');
        }
        text.push(byte);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn plain_paths_are_normalised() {
        for (text, scope, path, is_for_directories) in [
            (".", Scope::Context, "", false),
            ("./", Scope::Context, "", true),
            ("a", Scope::Context, "a", false),
            ("a/", Scope::Context, "a", true),
            ("./a//b/", Scope::Context, "a/b", true),
            ("a/./b", Scope::Context, "a/b", false),
            ("a\\*/\\[b]", Scope::Context, "a*/[b]", false),
            ("\\!a", Scope::Context, "!a", false),
            ("a!", Scope::Context, "a!", false),
            ("...", Scope::Context, "...", false),
            (" a ", Scope::Context, " a ", false),
            ("#a", Scope::Context, "#a", false),
            ("/", Scope::Absolute, "", false),
            ("//", Scope::Absolute, "", false),
            ("/a/b", Scope::Absolute, "a/b", false),
            ("//a/./b/", Scope::Absolute, "a/b", true),
        ] {
            let parsed = pattern(text);
            assert_eq!(parsed.scope, scope, "{text}");
            assert_eq!(parsed.body, Body::Plain(path.as_bytes().to_vec()), "{text}");
            assert_eq!(parsed.is_for_directories(), is_for_directories, "{text}");
            assert_eq!((parsed.is_negated(), parsed.is_glob()), (false, false), "{text}");
            assert_eq!(parsed.text(), text.as_bytes());
        }
    }

    #[test]
    fn globs_are_anchored_by_a_slash() {
        for (text, scope, is_for_directories) in [
            ("*.o", Scope::Anywhere, false),
            ("*.d/", Scope::Anywhere, true),
            ("**", Scope::Anywhere, false),
            ("./*.o", Scope::Context, false),
            ("a/*.o", Scope::Context, false),
            ("**/a", Scope::Context, false),
            ("/a/*", Scope::Absolute, false),
            ("/*", Scope::Absolute, false),
        ] {
            let parsed = pattern(text);
            assert!(parsed.is_glob(), "{text}");
            assert_eq!(parsed.scope, scope, "{text}");
            assert_eq!(parsed.is_for_directories(), is_for_directories, "{text}");
            let negated = pattern(&format!("!{text}"));
            assert!(negated.is_negated());
            assert_eq!((negated.scope, negated.body), (parsed.scope, parsed.body), "{text}");
        }
    }

    #[test]
    fn patterns_refused() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        for (text, problem) in [
            ("", PatternProblem::Empty),
            ("!", PatternProblem::Empty),
            ("a\0b", PatternProblem::Nul),
            ("..", PatternProblem::ParentComponent),
            ("/a/../b", PatternProblem::ParentComponent),
            ("a/\\../*", PatternProblem::ParentComponent),
            ("a\\/b", PatternProblem::Glob(GlobProblem::TrailingEscape)),
            ("[a/b]", PatternProblem::Glob(GlobProblem::UnclosedClass)),
            (long.as_str(), PatternProblem::TooLong),
        ] {
            assert_eq!(Pattern::parse(text.as_bytes()), Err(problem), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(text in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Err(problem) = Pattern::parse(&text) {
                prop_assert!(!problem.to_string().contains('\n'));
            }
        }

        #[test]
        fn escaped_paths_are_plain_and_come_back(
            path in prop::collection::vec(
                prop::collection::vec(
                    prop_oneof![prop::sample::select(b"!*?[]\\.a-".to_vec()), 1..=255_u8],
                    1..6
                ),
                1..4
            )
        ) {
            let path = path.join(&b'/');
            let is_kept = |name: &&[u8]| !name.is_empty() && *name != b".";
            let names = || path.split(|&b| b == b'/').filter(is_kept);
            prop_assume!(names().all(|name| name != b".."));
            let parsed = Pattern::parse(&escape(&path)).expect("escaped");
            prop_assert_eq!(parsed.body, Body::Plain(names().collect::<Vec<_>>().join(&b'/')));
        }
    }
}
