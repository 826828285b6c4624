//! Which paths a project includes: its include and exclude patterns, asked entry by entry.
//!
//! Purely lexical: no file system is read, so the patterns stored in a snapshot give the same
//! answers at restore. An excluded directory is not descended: nothing below it can be taken back.

mod decision;

use std::fmt::{self, Write as _};

pub use self::decision::Decision;
use super::excludes::Excludes;
use super::glob::Glob;
use super::includes::{self, IncludeSet, ancestors};
pub use super::pattern::{PATTERN_BYTES_MAX, Pattern, PatternProblem, escape};

/// Most patterns with a wildcard among the includes, and among the excludes.
pub const GLOBS_MAX: usize = 4096;

/// What a path is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    /// The context directory.
    Context,
    /// `/`, for includes given as absolute paths.
    Absolute,
}

/// What is to be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is wanted, and if it is a directory, all below it that is not excluded.
    Take,
    /// It is a directory above an include: not itself wanted, only as a container.
    Descend,
    /// It would be one of the two, but an exclude matches.
    Excluded {
        /// Index of the exclude.
        pattern: usize,
    },
    /// No include asks for it.
    Outside,
}

/// One include, for a walker to start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// What `path` is relative to.
    pub root: Root,
    /// The path, normalised: no leading or double slash, no `.`; empty for the root itself. That of
    /// a glob is the deepest directory that holds all its matches.
    pub path: Vec<u8>,
    /// Its place in the list that was given.
    pub index: usize,
    /// Whether it is a glob.
    pub is_glob: bool,
    /// Whether another include takes all of it already, so that only its absence is of interest.
    pub is_covered: bool,
}

/// One of the two lists of patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternList {
    /// The includes.
    Include,
    /// The excludes.
    Exclude,
}

impl fmt::Display for PatternList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Include => "include",
            Self::Exclude => "exclude",
        })
    }
}

/// Why a selection was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The context is relative, or holds `..` or NUL.
    #[error("context `{}`: not an absolute path without `..`", Shown(.context))]
    Context {
        /// The context as given.
        context: Vec<u8>,
    },
    /// The list of includes is empty.
    #[error("nothing is included")]
    NoInclude,
    /// One pattern is not valid.
    #[error("{list}[{index}] `{}`: {problem}", Shown(.text))]
    Pattern {
        /// The list it stands in.
        list: PatternList,
        /// Its place there, from 0.
        index: usize,
        /// The pattern.
        text: Vec<u8>,
        /// Why.
        problem: PatternProblem,
    },
    /// More than [`GLOBS_MAX`] patterns of a list have a wildcard.
    #[error("{list}: more than {GLOBS_MAX} globs")]
    TooManyGlobs {
        /// The list.
        list: PatternList,
    },
    /// Two includes could store different files under one path.
    #[error(
        "includes `{}` and `{}` would share a path in the backup",
        Shown(.relative),
        Shown(.absolute)
    )]
    Conflict {
        /// The include in the context.
        relative: Vec<u8>,
        /// The absolute include.
        absolute: Vec<u8>,
    },
}

/// Displays bytes as text on one line, control characters and what is not UTF-8 escaped.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' | '\'' | '"' => f.write_char(c)?,
                    _ => write!(f, "{}", c.escape_debug())?,
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

/// The include and exclude patterns of a project in a context directory.
#[derive(Debug, Clone)]
pub struct Selection {
    includes: Vec<Include>,
    in_context: IncludeSet,
    absolute: IncludeSet,
    excludes: Excludes,
}

impl Selection {
    /// Makes a selection from patterns as written; `context` is the absolute path of the directory
    /// that relative ones start from.
    ///
    /// Where the context is `/`, all includes are of [`Root::Context`].
    ///
    /// # Errors
    ///
    /// [`PatternError`] for the first pattern that is not valid, includes first, or for includes
    /// that conflict.
    pub fn new<I: AsRef<[u8]>, E: AsRef<[u8]>>(
        context: &[u8],
        includes: &[I],
        excludes: &[E],
    ) -> Result<Self, PatternError> {
        let context = normalise_context(context)?;
        let includes = parse_all(PatternList::Include, includes)?;
        let excludes = parse_all(PatternList::Exclude, excludes)?;
        if includes.is_empty() {
            return Err(PatternError::NoInclude);
        }
        let is_root = context.is_empty();
        let in_context = IncludeSet::new(Root::Context, &includes, is_root);
        let absolute = IncludeSet::new(Root::Absolute, &includes, is_root);
        if let Some((relative, absolute)) = in_context.conflict(&absolute) {
            let text = |index| includes.get(index).map_or(&b""[..], Pattern::text).to_vec();
            return Err(PatternError::Conflict {
                relative: text(relative),
                absolute: text(absolute),
            });
        }
        Ok(Self {
            includes: includes::list(&includes, is_root, &in_context, &absolute),
            in_context,
            absolute,
            excludes: Excludes::new(&context, excludes),
        })
    }

    /// The includes in the order given.
    pub fn includes(&self) -> &[Include] {
        &self.includes
    }

    /// The excludes in the order given, as [`Verdict::Excluded`] counts them.
    pub fn excludes(&self) -> &[Pattern] {
        self.excludes.patterns()
    }

    /// Judges a root itself: what a walk from the top begins with.
    pub fn start(&self, root: Root) -> Verdict {
        self.with_excludes(self.set(root).start(), root, b"", true)
    }

    /// Judges an entry from the verdict on its directory.
    ///
    /// `path` is normalised and relative to `root`. `is_dir` is false for a symbolic link, whatever
    /// it points to.
    pub fn verdict(&self, parent: Verdict, root: Root, path: &[u8], is_dir: bool) -> Verdict {
        let included = match parent {
            Verdict::Take => Verdict::Take,
            Verdict::Descend => self.set(root).verdict(path, is_dir),
            Verdict::Excluded { .. } | Verdict::Outside => parent,
        };
        self.with_excludes(included, root, path, is_dir)
    }

    /// Judges an entry from the top, for those that are not met in a walk.
    pub fn classify(&self, root: Root, path: &[u8], is_dir: bool) -> Verdict {
        if path.is_empty() {
            return self.start(root);
        }
        let above = ancestors(path).skip(1);
        let parent =
            above.fold(self.start(root), |parent, path| self.verdict(parent, root, path, true));
        self.verdict(parent, root, path, is_dir)
    }

    /// Returns the exclude that decides about an entry: the one that excludes it or a directory
    /// above it, or the negated one that takes it back.
    pub fn explain(&self, root: Root, path: &[u8], is_dir: bool) -> Option<&Pattern> {
        let index = match self.classify(root, path, is_dir) {
            Verdict::Excluded { pattern } => Some(pattern),
            Verdict::Take | Verdict::Descend => self.excludes.deciding(root, path, is_dir),
            Verdict::Outside => None,
        };
        self.excludes.patterns().get(index?)
    }

    /// Returns the exclude that kept an entry out of a backup, given the path it would have there.
    ///
    /// There both roots are one: absolute paths stand without their leading slash.
    pub fn exclusion(&self, stored_path: &[u8], is_dir: bool) -> Option<&Pattern> {
        let verdicts =
            [Root::Context, Root::Absolute].map(|root| self.classify(root, stored_path, is_dir));
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Take | Verdict::Descend)) {
            return None;
        }
        verdicts.iter().find_map(|verdict| match verdict {
            Verdict::Excluded { pattern } => self.excludes.patterns().get(*pattern),
            _ => None,
        })
    }

    /// Returns the absolute excludes that can match nothing that is included, for a warning: in
    /// gitignore(5), a leading slash means the context.
    pub fn idle_excludes(&self) -> impl Iterator<Item = &Pattern> {
        let roots = |root| self.includes.iter().filter(move |include| include.root == root);
        let absolute = roots(Root::Absolute).map(|include| Glob::literal(&include.path)).collect();
        self.excludes.idle(roots(Root::Context).next().is_some(), absolute)
    }

    fn set(&self, root: Root) -> &IncludeSet {
        match root {
            Root::Context => &self.in_context,
            Root::Absolute => &self.absolute,
        }
    }

    /// Takes the excludes away from what is included.
    fn with_excludes(&self, included: Verdict, root: Root, path: &[u8], is_dir: bool) -> Verdict {
        match included {
            Verdict::Take | Verdict::Descend => self
                .excludes
                .excluding(root, path, is_dir)
                .map_or(included, |pattern| Verdict::Excluded { pattern }),
            Verdict::Excluded { .. } | Verdict::Outside => included,
        }
    }
}

/// Returns the context without its leading slash, normalised as patterns are.
fn normalise_context(context: &[u8]) -> Result<Vec<u8>, PatternError> {
    let names = context.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let names: Vec<&[u8]> = names.collect();
    let is_valid =
        context.starts_with(b"/") && !context.contains(&0) && !names.contains(&&b".."[..]);
    if is_valid {
        Ok(names.join(&b'/'))
    } else {
        Err(PatternError::Context { context: context.to_vec() })
    }
}

fn parse_all<T: AsRef<[u8]>>(list: PatternList, texts: &[T]) -> Result<Vec<Pattern>, PatternError> {
    let parse = |(index, text): (usize, &T)| {
        let text = text.as_ref();
        let refuse = |problem| PatternError::Pattern { list, index, text: text.to_vec(), problem };
        let pattern = Pattern::parse(text).map_err(refuse)?;
        if list == PatternList::Include && pattern.is_negated() {
            return Err(refuse(PatternProblem::NegatedInclude));
        }
        Ok(pattern)
    };
    let patterns = texts.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    if patterns.iter().filter(|pattern| pattern.is_glob()).count() > GLOBS_MAX {
        return Err(PatternError::TooManyGlobs { list });
    }
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn selection(includes: &[&str], excludes: &[&str]) -> Selection {
        Selection::new(b"/srv/app", includes, excludes).expect("valid")
    }

    /// Judges `path`: a directory if it ends with a slash, absolute if it starts with one.
    fn judge(selection: &Selection, path: &str) -> Verdict {
        let root = if path.starts_with('/') { Root::Absolute } else { Root::Context };
        let is_dir = path.ends_with('/') || path.is_empty();
        selection.classify(root, path.trim_matches('/').as_bytes(), is_dir)
    }

    fn letter(verdict: Verdict) -> char {
        match verdict {
            Verdict::Take => 'T',
            Verdict::Descend => 'D',
            Verdict::Excluded { .. } => 'X',
            Verdict::Outside => '-',
        }
    }

    /// Checks lines of `LETTER PATH`.
    fn check(includes: &[&str], excludes: &[&str], expected: &[&str]) {
        let selection = selection(includes, excludes);
        for line in expected {
            let (verdict, path) = line.split_once(' ').expect("a letter and a path");
            let found = letter(judge(&selection, path)).to_string();
            assert_eq!(found, verdict, "{path:?} in {includes:?} without {excludes:?}");
        }
    }

    #[test]
    fn includes_take_themselves_and_what_is_below() {
        check(&["."], &[], &["T ", "T a", "T a/b/", "- /", "- /srv/app/a"]);
        check(&["./"], &[], &["T ", "T a"]);
        check(
            &["src/lib", "a"],
            &[],
            &["D ", "D src/", "- src", "T src/lib", "T src/lib/", "T src/lib/x", "- src/l", "T a"],
        );
        check(&["a"], &[], &["- a-b", "- ab/", "- b", "T a/b"]);
        check(&["a-b", "a/b"], &[], &["D a/", "T a/b", "T a-b", "- a/c", "- a-/"]);
        check(&["src", "src/lib", "./src//"], &[], &["T src/", "T src/lib", "T src/x"]);
    }

    #[test]
    fn absolute_includes() {
        check(
            &["/etc/ssl", "x"],
            &[],
            &["D /", "D /etc/", "T /etc/ssl/", "- /etc/x", "- etc/", "D ", "T x"],
        );
        check(&["/"], &[], &["T /", "T /a", "- a"]);
        check(&["/srv/app/src"], &[], &["T /srv/app/src/x", "- src", "- "]);
        let root = Selection::new(b"//", &["/a", "b"], &["/a/x", "b/x"]).expect("valid");
        for (path, expected) in [("a", 'T'), ("b", 'T'), ("c", '-'), ("a/x", 'X'), ("b/x", 'X')] {
            assert_eq!(letter(judge(&root, path)), expected, "{path}");
        }
    }

    #[test]
    fn globs_as_includes() {
        check(
            &["src/*.c"],
            &[],
            &["D ", "D src/", "T src/a.c", "T src/a.c/", "T src/a.c/x", "- src/b/", "- a.c"],
        );
        check(&["*.c"], &[], &["D ", "D a/", "T a/b/x.c", "- a/x", "T d.c/", "T d.c/x"]);
        check(&["*.d/"], &[], &["- a.d", "T a.d/", "D x/", "T x/a.d/"]);
        check(&["/home/*/docs"], &[], &["D /", "D /home/me/", "T /home/me/docs/", "- /home/x"]);
        check(&["a/**"], &[], &["D a/", "T a/b", "T a/b/c", "- b"]);
    }

    #[test]
    fn plain_excludes() {
        check(&["."], &["vendor"], &["X vendor", "X vendor/", "X vendor/x", "T a/vendor", "T "]);
        check(&["."], &["./vendor//"], &["T vendor", "X vendor/", "X vendor/x"]);
        check(&["."], &["a/b"], &["X a/b", "T a/", "T x/a/b", "T a/bc"]);
        check(&["."], &["."], &["X ", "X a"]);
        check(&["a/b"], &["a"], &["X a/", "X a/b"]);
        check(&["a"], &["b"], &["- b", "T a"]);
        check(&["."], &["a\\*b", "\\!c"], &["X a*b", "T axb", "X !c"]);
    }

    #[test]
    fn globs_as_excludes() {
        check(&["."], &["*.o"], &["X a.o", "X a/b.o", "X d.o/x", "T a.c", "T "]);
        check(&["."], &["./*.o"], &["X a.o", "T a/b.o"]);
        check(&["."], &["a/*.o"], &["X a/b.o", "T b.o", "T a/b/c.o", "T x/a/b.o"]);
        check(&["."], &["**/t"], &["X t", "X a/t", "X a/t/x", "T ta"]);
        check(&["."], &["t/**"], &["T t/", "X t/x", "X t/x/y"]);
        check(&["."], &["a/**/z"], &["X a/z", "X a/b/c/z", "T z"]);
        check(&["."], &["*"], &["T ", "X a", "X a/b"]);
        check(&["."], &["**"], &["T ", "X a"]);
        check(&["."], &["?/", "[xy]z"], &["T a", "X a/", "X xz", "X q/yz", "T az"]);
    }

    #[test]
    fn the_last_match_wins_and_excluded_directories_stay_closed() {
        check(&["."], &["*.o", "!keep.*"], &["X a.o", "T keep.o", "T d/keep.o"]);
        check(&["."], &["!keep.*", "*.o"], &["X keep.o"]);
        check(&["."], &["a", "!a"], &["T a"]);
        check(&["."], &["a", "!a/"], &["X a", "T a/"]);
        check(&["."], &["a", "!a/b"], &["X a/", "X a/b"]);
        check(&["."], &["a/*", "!a/b"], &["T a/", "X a/c", "T a/b"]);
        check(&["."], &["a", "!*", "a"], &["X a", "T b"]);
        check(&["."], &["!a"], &["T a"]);
    }

    #[test]
    fn absolute_excludes_meet_relative_paths_and_the_reverse() {
        check(&["."], &["/srv/app/a"], &["X a", "T b/a"]);
        check(&["."], &["/a"], &["T a"]);
        check(&["."], &["/srv/app/*.o"], &["X a.o", "T a/b.o"]);
        check(&["."], &["/srv/**/b"], &["X a/b", "T a"]);
        check(&["."], &["/srv"], &["X ", "X a"]);
        check(&["."], &["/srv/app"], &["X ", "X a"]);
        check(&["."], &["/srv/*"], &["X ", "X a"]);
        check(&["."], &["/s*/"], &["X ", "X a"]);
        check(&["."], &["/srv", "!/srv"], &["T ", "T a"]);
        check(&["."], &["*v", "srv"], &["T ", "T a", "X srv"]);
        check(&["/srv/app/src"], &["src/x", "lib"], &["X /srv/app/src/x", "T /srv/app/src/y"]);
        check(&["/srv/app/src"], &["src/*.o"], &["X /srv/app/src/a.o", "T /srv/app/src/b/a.o"]);
        check(&["/etc"], &["*.bak", "/etc/ssl"], &["X /etc/a.bak", "X /etc/ssl/", "T /etc/x"]);
        check(&["/etc"], &["etc"], &["T /etc/"]);
        check(&["/etc/a/b"], &["/etc/a"], &["X /etc/a/", "X /etc/a/b"]);
    }

    #[test]
    fn walks_and_classification_agree_on_names_that_are_not_utf8() {
        let selection = Selection::new(b"/srv", &[&b"a\xFF"[..]], &[&b"a\xFF/\xFE"[..], b"?\xFD"])
            .expect("valid");
        let judge = |path: &[u8]| letter(selection.classify(Root::Context, path, false));
        assert_eq!(judge(b"a\xFF/x"), 'T');
        assert_eq!(judge(b"a\xFF/\xFE"), 'X');
        assert_eq!(judge(b"a\xFF/\xFF\xFD"), 'X');
        assert_eq!(judge(b"a\xFE"), '-');
    }

    #[test]
    fn includes_are_listed_normalised() {
        let selection =
            selection(&["./a//b/", "a", "c/*/d", "./*.x", "/e/f", "a", "c/d*", "/e/*/x"], &[]);
        let listed: Vec<_> = selection
            .includes()
            .iter()
            .map(|i| (i.root, str::from_utf8(&i.path).expect("ascii"), i.is_glob, i.is_covered))
            .collect();
        let (context, absolute) = (Root::Context, Root::Absolute);
        assert_eq!(
            listed,
            [
                (context, "a/b", false, true),
                (context, "a", false, false),
                (context, "c", true, false),
                (context, "", true, false),
                (absolute, "e/f", false, false),
                (context, "a", false, true),
                (context, "c", true, false),
                (absolute, "e", true, false),
            ]
        );
        assert!(selection.includes().iter().enumerate().all(|(at, include)| include.index == at));
    }

    #[test]
    fn conflicts() {
        for (includes, conflict) in [
            (&["home", "/home"][..], true),
            (&["/home/me", "home"], true),
            (&["home/me", "/home"], true),
            (&["x", "home/me", "/etc", "/home/me/x"], true),
            (&[".", "/etc"], true),
            (&["a", "/"], true),
            (&["home/me", "/home/you"], false),
            (&["home", "/homes", "home-x", "/hom"], false),
            (&["home", "home/me"], false),
            (&["/home", "/home/me"], false),
            (&["h*", "/home"], true),
            (&["h*/x", "/home"], true),
            (&["h*/x", "/home/y"], false),
            (&["x*", "/home"], false),
            (&["./x*", "/home"], false),
            (&["./h*", "/home"], true),
            (&["home", "/h*"], true),
            (&["etc", "/h*"], false),
            (&["a*/x", "/b*/y"], false),
            (&["src/*.c", "/etc/*.conf"], false),
        ] {
            // A wildcard without a slash may match below any directory.
            let floats = includes.iter().any(|i| !i.contains('/') && i.contains('*'));
            let made = Selection::new(b"/srv/app", includes, &[] as &[&str]);
            assert_eq!(made.is_err(), conflict || floats, "{includes:?}");
            assert!(Selection::new(b"/", includes, &[] as &[&str]).is_ok(), "{includes:?}");
        }
        let error = Selection::new(b"/srv", &["a", "./home/", "/home/x"], &[] as &[&str]);
        assert_eq!(
            error.expect_err("conflict").to_string(),
            "includes `./home/` and `/home/x` would share a path in the backup"
        );
    }

    #[test]
    fn selections_refused() {
        let many: Vec<String> = (0..=GLOBS_MAX).map(|i| format!("{i}*")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (context, includes, excludes, expected) in [
            ("srv", &["."][..], &[][..], "context `srv`: not an absolute path without `..`"),
            ("", &["."], &[], "context ``: not an absolute path without `..`"),
            ("/a/../b", &["."], &[], "context `/a/../b`: not an absolute path without `..`"),
            ("/a", &[], &[], "nothing is included"),
            (
                "/a",
                &["a", "../b"],
                &[],
                "include[1] `../b`: `..` is not supported: write the path without it",
            ),
            (
                "/a",
                &["!b"],
                &[],
                "include[0] `!b`: an include cannot start with `!`: write `\\!` for the character \
                 itself",
            ),
            (
                "/a",
                &["."],
                &["a", ""],
                "exclude[1] ``: empty pattern: write `.` for the whole directory",
            ),
            (
                "/a",
                &["."],
                &["\x1b[a\n"],
                "exclude[0] `\\u{1b}[a\\n`: `[` without `]`: close it, or write `\\[` for the \
                 character itself",
            ),
            ("/a", &["."], &many, "exclude: more than 4096 globs"),
            ("/a", &many, &[], "include: more than 4096 globs"),
        ] {
            let error = Selection::new(context.as_bytes(), includes, excludes).expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }
        let error = Selection::new(b"/a", &[&b"\xFF\\"[..]], &[] as &[&str]).expect_err("escape");
        assert!(error.to_string().starts_with("include[0] `\\xff\\`: "), "{error}");
    }

    #[test]
    fn decisions_are_explained() {
        let selection = selection(&["src", "/etc"], &["*.o", "!src/keep.o", "src/tmp", "/etc/ssl"]);
        let explain = |root, path: &str| {
            let pattern = selection.explain(root, path.as_bytes(), false);
            pattern.map(|pattern| str::from_utf8(pattern.text()).expect("ascii"))
        };
        assert_eq!(explain(Root::Context, "src/a.o"), Some("*.o"));
        assert_eq!(explain(Root::Context, "src/keep.o"), Some("!src/keep.o"));
        assert_eq!(explain(Root::Context, "src/tmp/keep.o"), Some("src/tmp"));
        assert_eq!(explain(Root::Context, "src/a.c"), None);
        assert_eq!(explain(Root::Context, "lib/a.o"), None);
        assert_eq!(explain(Root::Absolute, "etc/ssl/x"), Some("/etc/ssl"));

        let exclusion = |path: &str| selection.exclusion(path.as_bytes(), false).map(Pattern::text);
        assert_eq!(exclusion("src/a.o"), Some(&b"*.o"[..]));
        assert_eq!(exclusion("etc/ssl/x"), Some(&b"/etc/ssl"[..]));
        assert_eq!(exclusion("src/keep.o"), None);
        assert_eq!(exclusion("lib/a.o"), None);
    }

    #[test]
    fn absolute_excludes_without_effect_are_told() {
        let excludes =
            ["/target", "target", "/srv/app/x", "/srv", "/etc/ssl/*", "/var", "/*/app/y"];
        let idle = |includes: &[&str]| -> Vec<String> {
            let selection = selection(includes, &excludes);
            selection.idle_excludes().map(|p| String::from_utf8_lossy(p.text()).into()).collect()
        };
        assert_eq!(idle(&["."]), ["/target", "/etc/ssl/*", "/var"]);
        assert_eq!(idle(&["x", "/etc"]), ["/target", "/var"]);
        assert_eq!(idle(&["/etc"]), ["/target", "/srv/app/x", "/srv", "/var"]);
    }

    /// Every prefix of `path` by whole components, itself included.
    fn prefixes(path: &str) -> Vec<String> {
        let names: Vec<&str> = path.split('/').collect();
        (1..=names.len())
            .map(|n| names.iter().take(n).copied().collect::<Vec<_>>().join("/"))
            .collect()
    }

    fn any_path() -> impl Strategy<Value = String> {
        prop::collection::vec("[ab]|a-|\\*", 1..4).prop_map(|names| names.join("/"))
    }

    proptest! {
        #[test]
        fn plain_paths_equal_the_naive_model(
            includes in prop::collection::vec(any_path(), 1..5),
            excludes in prop::collection::vec(any_path(), 0..4),
            path in any_path(),
        ) {
            let plain = |paths: &[String]| -> Vec<Vec<u8>> {
                paths.iter().map(|path| escape(path.as_bytes())).collect()
            };
            let selection =
                Selection::new(b"/c", &plain(&includes), &plain(&excludes)).expect("plain");
            let above: BTreeSet<String> = prefixes(&path).into_iter().collect();
            let is_excluded = excludes.iter().any(|exclude| above.contains(exclude));
            let is_taken = includes.iter().any(|include| above.contains(include));
            let is_container = includes.iter().any(|i| i.starts_with(&format!("{path}/")));
            let expected = match (is_taken, is_container, is_excluded) {
                (false, false, _) => "-X",
                (_, _, true) => "X",
                (true, _, false) => "T",
                (false, true, false) => "D",
            };
            let verdict = letter(selection.classify(Root::Context, path.as_bytes(), true));
            prop_assert!(expected.contains(verdict), "{verdict} for {expected}");
        }

        #[test]
        fn any_patterns_are_refused_or_answer_without_panic(
            context in prop::collection::vec(any::<u8>(), 0..6),
            includes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 1..4),
            excludes in prop::collection::vec("[!/]?[ab*?.\\[\\]/\\\\]{0,8}", 0..4),
            path in prop::collection::vec(any::<u8>(), 0..12),
            is_dir: bool,
        ) {
            let context = [b"/", context.as_slice()].concat();
            match Selection::new(&context, &includes, &excludes) {
                Ok(selection) => {
                    for root in [Root::Context, Root::Absolute] {
                        let verdict = selection.classify(root, &path, is_dir);
                        let is_excluded = matches!(verdict, Verdict::Excluded { .. });
                        let explained = selection.explain(root, &path, is_dir);
                        prop_assert_eq!(explained.is_some_and(|p| !p.is_negated()), is_excluded);
                    }
                    _ = selection.idle_excludes().count();
                }
                Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
            }
        }

        #[test]
        fn what_an_include_takes_is_reached_through_containers(
            include in "(/|\\./)?(a|b|\\*|\\*\\*|a\\*)(/(a|b|\\*|\\*\\*|a\\*)){0,3}/?",
            path in "[ab]{1,2}(/[ab]{1,2}){0,4}",
        ) {
            let selection = Selection::new(b"/c", &[&include], &[] as &[&str]).expect("valid");
            let pattern = Pattern::parse(include.as_bytes()).expect("valid");
            let root = selection.includes()[0].root;
            let direct = IncludeSet::new(root, &[pattern], false).verdict(path.as_bytes(), true);
            if direct == Verdict::Take {
                prop_assert_eq!(selection.classify(root, path.as_bytes(), true), Verdict::Take);
            }
        }
    }
}
