//! Globs over paths of bytes: `*`, `?`, `[..]`, `**` and `\`, as in gitignore.
//!
//! A name need not be UTF-8: `?` and `[..]` take one character, or one byte where there is none.
//! Matching steps back only to the latest `*` and the latest `**`, so its cost is polynomial in the
//! lengths of path and pattern, whatever both hold; nothing here panics or recurses.

use std::ops::RangeInclusive;

/// The first value that stands for a byte which is not part of a character.
const RAW_BYTE: u32 = 0x11_0000;

/// The POSIX classes of `[[:name:]]`, over ASCII as in the C locale.
const CLASSES: &[(&[u8], &[RangeInclusive<u8>])] = &[
    (b"alnum", &[b'0'..=b'9', b'A'..=b'Z', b'a'..=b'z']),
    (b"alpha", &[b'A'..=b'Z', b'a'..=b'z']),
    (b"blank", &[b'\t'..=b'\t', b' '..=b' ']),
    (b"cntrl", &[0..=0x1F, 0x7F..=0x7F]),
    (b"digit", &[b'0'..=b'9']),
    (b"graph", &[b'!'..=b'~']),
    (b"lower", &[b'a'..=b'z']),
    (b"print", &[b' '..=b'~']),
    (b"punct", &[b'!'..=b'/', b':'..=b'@', b'['..=b'`', b'{'..=b'~']),
    (b"space", &[b'\t'..=b'\r', b' '..=b' ']),
    (b"upper", &[b'A'..=b'Z']),
    (b"xdigit", &[b'0'..=b'9', b'A'..=b'F', b'a'..=b'f']),
];

/// Why a glob was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobProblem {
    /// `[` without its `]` in the same component.
    #[error("`[` without `]`: close it, or write `\\[` for the character itself")]
    UnclosedClass,
    /// A range such as `z-a`.
    #[error("a range in `[..]` runs backwards")]
    BackwardRange,
    /// `[[:name:]]` with a name that is none.
    #[error("unknown class in `[[:..:]]`")]
    UnknownClass,
    /// `\` at the end of a component.
    #[error("`\\` at the end: write `\\\\` for the character itself")]
    TrailingEscape,
}

/// One element of a name's pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// This unit (see [`split_unit`]).
    Unit(u32),
    /// `?`
    AnyUnit,
    /// `*`, also several in a row.
    AnyUnits,
    /// `[..]`: in one of the ranges, or in none if negated.
    Class { is_negated: bool, ranges: Vec<RangeInclusive<u32>> },
}

impl Token {
    fn takes(&self, unit: u32) -> bool {
        match self {
            Self::Unit(own) => *own == unit,
            Self::AnyUnit => true,
            Self::AnyUnits => false,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|range| range.contains(&unit)) != *is_negated
            }
        }
    }
}

/// The pattern of one name, that is of a path's component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// Exactly these bytes.
    Literal(Vec<u8>),
    /// `*` and this suffix, which is UTF-8: the most common glob, compared without decoding.
    Suffix(Vec<u8>),
    /// Anything else.
    Tokens(Vec<Token>),
}

/// Splits the first unit off `bytes`: a character, or `RAW_BYTE` plus a byte that is part of none.
fn split_unit(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let unit_bytes = match first {
        0..0x80 => return Some((u32::from(first), rest)),
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    let (head, tail) = bytes.split_at_checked(unit_bytes).unwrap_or((&[], bytes));
    match str::from_utf8(head).ok().and_then(|text| text.chars().next()) {
        Some(character) => Some((u32::from(character), tail)),
        None => Some((RAW_BYTE | u32::from(first), rest)),
    }
}

impl Name {
    /// Parses the pattern of one component.
    pub(super) fn parse(text: &[u8]) -> Result<Self, GlobProblem> {
        let mut tokens = Vec::new();
        let mut literal = Vec::new();
        let mut has_wildcard = false;
        let mut rest = text;
        while let Some((unit, tail)) = split_unit(rest) {
            let is_escape = unit == u32::from(b'\\');
            let from = if is_escape { tail } else { rest };
            let (unit, after) = split_unit(from).ok_or(GlobProblem::TrailingEscape)?;
            rest = after;
            let token = match u8::try_from(unit) {
                Ok(b'*') if !is_escape => Token::AnyUnits,
                Ok(b'?') if !is_escape => Token::AnyUnit,
                Ok(b'[') if !is_escape => {
                    let (class, after) = parse_class(rest)?;
                    rest = after;
                    class
                }
                _ => Token::Unit(unit),
            };
            if let Token::Unit(_) = token {
                let unit_bytes = from.len() - after.len();
                literal.extend(from.iter().take(unit_bytes));
            } else {
                has_wildcard = true;
            }
            if token != Token::AnyUnits || tokens.last() != Some(&Token::AnyUnits) {
                tokens.push(token);
            }
        }
        if !has_wildcard {
            return Ok(Self::Literal(literal));
        }
        let is_suffix = match tokens.split_first() {
            Some((Token::AnyUnits, rest)) => rest.iter().all(|t| matches!(t, Token::Unit(_))),
            _ => false,
        };
        // A suffix that is UTF-8 can only be found where a character starts, so bytes will do.
        if is_suffix && str::from_utf8(&literal).is_ok() {
            return Ok(Self::Suffix(literal));
        }
        Ok(Self::Tokens(tokens))
    }

    /// The pattern `*`.
    pub(super) fn any() -> Self {
        Self::Suffix(Vec::new())
    }

    /// Returns the name that this pattern stands for, if it has no wildcard.
    pub(super) fn literal(&self) -> Option<&[u8]> {
        match self {
            Self::Literal(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Tells whether the whole of `name` matches.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(bytes) => name == bytes.as_slice(),
            Self::Suffix(suffix) => name.ends_with(suffix),
            Self::Tokens(tokens) => match_tokens(tokens, name),
        }
    }

    /// Tells whether some name matches both: false only where that is certain to be impossible.
    pub(super) fn may_share_a_name(&self, other: &Self) -> bool {
        match (self.literal(), other.literal()) {
            (Some(name), _) => other.matches(name),
            (None, Some(name)) => self.matches(name),
            (None, None) => true,
        }
    }
}

/// Matches by stepping back to the latest `*` only: an earlier one can gain nothing, as whatever it
/// would take more, the latest can take as well.
fn match_tokens(tokens: &[Token], name: &[u8]) -> bool {
    let mut tokens = tokens;
    let mut rest = name;
    let mut retry: Option<(&[Token], &[u8])> = None;
    loop {
        match (tokens.split_first(), split_unit(rest)) {
            (Some((Token::AnyUnits, after)), _) => {
                retry = Some((after, rest));
                tokens = after;
                continue;
            }
            (Some((token, after)), Some((unit, tail))) if token.takes(unit) => {
                tokens = after;
                rest = tail;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // The latest `*` takes one unit more.
        let Some((after, from)) = retry else {
            return false;
        };
        let Some((_, tail)) = split_unit(from) else {
            return false;
        };
        retry = Some((after, tail));
        tokens = after;
        rest = tail;
    }
}

/// Parses a class; `text` starts after its `[`. Returns what follows its `]`.
fn parse_class(text: &[u8]) -> Result<(Token, &[u8]), GlobProblem> {
    let mut rest = text;
    let is_negated = matches!(rest.first(), Some(b'!' | b'^'));
    if is_negated {
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut ranges = Vec::new();
    let mut is_first = true;
    loop {
        if let Some(after) = rest.strip_prefix(b"]")
            && !is_first
        {
            return Ok((Token::Class { is_negated, ranges }, after));
        }
        is_first = false;
        if let Some(after) = rest.strip_prefix(b"[:") {
            let end = after.windows(2).position(|pair| pair == b":]");
            let (name, after) = end
                .and_then(|end| after.split_at_checked(end))
                .ok_or(GlobProblem::UnclosedClass)?;
            let class = CLASSES.iter().find(|(own, _)| *own == name);
            let (_, members) = class.ok_or(GlobProblem::UnknownClass)?;
            ranges.extend(members.iter().map(|r| u32::from(*r.start())..=u32::from(*r.end())));
            rest = after.get(2..).unwrap_or_default();
            continue;
        }
        let (low, after) = class_unit(rest)?;
        rest = after;
        let mut high = low;
        // A `-` before the closing `]` is itself.
        if let Some(after) = rest.strip_prefix(b"-")
            && !after.starts_with(b"]")
        {
            (high, rest) = class_unit(after)?;
        }
        if high < low {
            return Err(GlobProblem::BackwardRange);
        }
        ranges.push(low..=high);
    }
}

/// Reads one member of a class.
fn class_unit(text: &[u8]) -> Result<(u32, &[u8]), GlobProblem> {
    let text = text.strip_prefix(b"\\").unwrap_or(text);
    split_unit(text).ok_or(GlobProblem::UnclosedClass)
}

/// One component of a [`Glob`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// `**`: any number of components, also none.
    AnyDepth,
    /// One component.
    Name(Name),
}

/// A pattern of whole paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    parts: Vec<Part>,
}

/// Splits the first component off a path; the empty path has none.
pub(super) fn split_component(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    let end = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    Some((path.get(..end)?, path.get(end.saturating_add(1)..).unwrap_or_default()))
}

impl Glob {
    /// Makes a glob of `parts`. A trailing `**` takes at least one component, as in git.
    pub(super) fn new(mut parts: Vec<Part>) -> Self {
        parts.dedup_by(|a, b| *a == Part::AnyDepth && *b == Part::AnyDepth);
        if parts.last() == Some(&Part::AnyDepth) {
            parts.push(Part::Name(Name::any()));
        }
        Self { parts }
    }

    /// Makes the glob that matches `path` only.
    pub(super) fn literal(path: &[u8]) -> Self {
        let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        Self { parts: names.map(|name| Part::Name(Name::Literal(name.to_vec()))).collect() }
    }

    /// Returns the deepest directory that holds all matches; empty for that of the scope.
    pub(super) fn base(&self) -> Vec<u8> {
        let names = self.parts.iter().map_while(|part| match part {
            Part::Name(name) => name.literal(),
            Part::AnyDepth => None,
        });
        let names: Vec<&[u8]> = names.take(self.parts.len().saturating_sub(1)).collect();
        names.join(&b'/')
    }

    /// Tells whether the whole of `path` matches.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let mut parts = self.parts.as_slice();
        let mut rest = path;
        let mut retry: Option<(&[Part], &[u8])> = None;
        loop {
            match (parts.split_first(), split_component(rest)) {
                (Some((Part::AnyDepth, after)), _) => {
                    retry = Some((after, rest));
                    parts = after;
                    continue;
                }
                (Some((Part::Name(name), after)), Some((component, tail)))
                    if name.matches(component) =>
                {
                    parts = after;
                    rest = tail;
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            // The latest `**` takes one component more.
            let Some((after, from)) = retry else {
                return false;
            };
            let Some((_, tail)) = split_component(from) else {
                return false;
            };
            retry = Some((after, tail));
            parts = after;
            rest = tail;
        }
    }

    /// Tells whether a path below the directory `path` may match.
    pub(super) fn may_match_below(&self, path: &[u8]) -> bool {
        let mut parts = self.parts.iter();
        let mut rest = path;
        while let Some((component, tail)) = split_component(rest) {
            match parts.next() {
                Some(Part::AnyDepth) => return true,
                Some(Part::Name(name)) if name.matches(component) => rest = tail,
                _ => return false,
            }
        }
        parts.next().is_some()
    }

    /// Tells whether a path may match one of both globs and equal or contain one that matches the
    /// other: false only where that is certain to be impossible.
    pub(super) fn may_overlap(&self, other: &Self) -> bool {
        for pair in self.parts.iter().zip(&other.parts) {
            match pair {
                (Part::Name(a), Part::Name(b)) if !a.may_share_a_name(b) => return false,
                (Part::Name(_), Part::Name(_)) => {}
                _ => return true,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(pattern: &str) -> Name {
        Name::parse(pattern.as_bytes()).expect(pattern)
    }

    fn glob(pattern: &str) -> Glob {
        let part = |text: &str| {
            if text == "**" { Part::AnyDepth } else { Part::Name(name(text)) }
        };
        Glob::new(pattern.split('/').map(part).collect())
    }

    #[test]
    fn names() {
        for (pattern, matching, others) in [
            ("a", &["a"][..], &["", "b", "aa", "A"][..]),
            ("*", &["", "a", ".a", "日"], &[]),
            ("*.o", &["a.o", ".o", "é.o"], &["a.ob", "o", "a.O"]),
            ("**.o", &["a.o"], &["a.b"]),
            ("a*", &["a", "ab"], &["ba", ""]),
            ("a*b*c", &["abc", "aXbbYc", "abcbc"], &["acb", "ab", "abcd"]),
            ("*a*a*", &["aa", "bababa"], &["a", "bbab"]),
            ("?", &["a", "日", "."], &["", "ab", "日本"]),
            ("*??", &["日本", "abc"], &["日", "a"]),
            ("[abc]", &["a", "c"], &["d", "", "ab"]),
            ("[a-c]x", &["ax", "bx"], &["dx", "-x"]),
            ("[!a-c]", &["d", "日"], &["a", "c", ""]),
            ("[^a]", &["b", "^"], &["a"]),
            ("[]a]", &["]", "a"], &["b", "[]a]"]),
            ("[!]a]", &["b"], &["]", "a"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[-a]", &["a", "-"], &["b"]),
            ("[\\]]", &["]"], &["\\"]),
            ("[a\\-c]", &["a", "-", "c"], &["b"]),
            ("[日-本]", &["日", "本"], &["a"]),
            ("[[:digit:]a]", &["0", "9", "a"], &["b", ":", "d"]),
            ("[![:space:]]", &["a"], &[" ", "\t"]),
            ("[[]", &["["], &["]"]),
            ("\\*", &["*"], &["a", "\\*"]),
            ("\\a", &["a"], &["\\a"]),
            ("\\\\", &["\\"], &[""]),
            ("\\[a]", &["[a]"], &["a"]),
            ("a]", &["a]"], &["a"]),
            ("{a,b}", &["{a,b}"], &["a"]),
        ] {
            for text in matching {
                assert!(name(pattern).matches(text.as_bytes()), "{pattern} should match {text}");
            }
            for text in others {
                assert!(
                    !name(pattern).matches(text.as_bytes()),
                    "{pattern} should not match {text}"
                );
            }
        }
    }

    #[test]
    fn names_that_are_not_utf8() {
        for (pattern, text, expected) in [
            (&b"?"[..], &b"\xFF"[..], true),
            (b"??", b"\xE6\x97", true),
            (b"?", b"\xE6\x97\xA5", true),
            (b"*\x97?", b"\xE6\x97\xA5", false),
            (b"[!a]", b"\xFF", true),
            (b"\xFF*", b"\xFFabc", true),
            (b"*\xFF", b"abc\xFF", true),
            (b"*\xA5", b"\xE6\x97\xA5", false),
            (b"[\xFE-\xFF]", b"\xFF", true),
            (b"[\xFE-\xFF]", b"\xFD", false),
        ] {
            let name = Name::parse(pattern).expect("valid");
            assert_eq!(name.matches(text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn names_refused() {
        for (pattern, problem) in [
            ("[", GlobProblem::UnclosedClass),
            ("[]", GlobProblem::UnclosedClass),
            ("[!]", GlobProblem::UnclosedClass),
            ("a[b-", GlobProblem::UnclosedClass),
            ("[\\", GlobProblem::UnclosedClass),
            ("[[:digit", GlobProblem::UnclosedClass),
            ("[[:digit:]", GlobProblem::UnclosedClass),
            ("[[:x:]]", GlobProblem::UnknownClass),
            ("[z-a]", GlobProblem::BackwardRange),
            ("a\\", GlobProblem::TrailingEscape),
        ] {
            assert_eq!(Name::parse(pattern.as_bytes()), Err(problem), "{pattern}");
        }
    }

    #[test]
    fn only_wildcards_make_a_glob() {
        assert_eq!(name("a\\*b").literal(), Some(&b"a*b"[..]));
        assert_eq!(name("a{b}").literal(), Some(&b"a{b}"[..]));
        assert_eq!(name("[a]").literal(), None);
        assert_eq!(name("*é"), Name::Suffix("é".as_bytes().to_vec()));
    }

    #[test]
    fn paths() {
        for (pattern, matching, others) in [
            ("a/*.o", &["a/x.o"][..], &["a/b/x.o", "x.o", "a", "b/x.o"][..]),
            ("**/a", &["a", "x/a", "x/y/a"], &["a/x", "xa"]),
            ("a/**", &["a/b", "a/b/c"], &["a", "b/a", ""]),
            ("a/**/b", &["a/b", "a/x/b", "a/b/b"], &["a", "b", "a/b/c"]),
            ("**", &["a", "a/b"], &[""]),
            ("**/**", &["a", "a/b"], &[""]),
            ("**/a/**/b/*", &["a/b/c", "x/a/a/y/b/b/c"], &["a/b", "b/a/c"]),
            ("*/*", &["a/b"], &["a", "a/b/c"]),
        ] {
            for path in matching {
                assert!(glob(pattern).matches(path.as_bytes()), "{pattern} should match {path}");
            }
            for path in others {
                assert!(
                    !glob(pattern).matches(path.as_bytes()),
                    "{pattern} should not match {path}"
                );
            }
        }
    }

    #[test]
    fn containers() {
        for (pattern, containers, others) in [
            ("a/*/c", &["", "a", "a/x"][..], &["b", "a/x/c", "a/x/y"][..]),
            ("a/**", &["", "a", "a/b", "a/b/c"], &["b"]),
            ("**/a", &["", "x", "x/y"], &[]),
        ] {
            for path in containers {
                assert!(glob(pattern).may_match_below(path.as_bytes()), "{pattern} {path}");
            }
            for path in others {
                assert!(!glob(pattern).may_match_below(path.as_bytes()), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn overlaps() {
        for (a, b, expected) in [
            ("a*/x", "b/y", false),
            ("a*/x", "ab/y", false),
            ("a*/x", "ab", true),
            ("a*", "b*", true),
            ("*/x", "y/z", false),
            ("**/x", "y/z", true),
        ] {
            assert_eq!(glob(a).may_overlap(&glob(b)), expected, "{a} {b}");
            assert_eq!(glob(b).may_overlap(&glob(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn pathological_patterns_end() {
        let stars = name(&"*a".repeat(2000));
        assert!(!stars.matches(&[b'a'; 255]));
        let any = "?".repeat(100) + &"*a*b".repeat(200);
        assert!(!name(&any).matches(&[b'a'; 255]));
        let deep = "a/".repeat(2000) + "a";
        let pattern = "**/a/".repeat(800) + "b";
        assert!(!glob(&pattern).matches(deep.as_bytes()));
    }

    /// The meaning of tokens, spelled out by recursion.
    fn naive_tokens(tokens: &[Token], name: &[u8]) -> bool {
        match (tokens.split_first(), split_unit(name)) {
            (None, unit) => unit.is_none(),
            (Some((Token::AnyUnits, after)), unit) => {
                naive_tokens(after, name)
                    || unit.is_some_and(|(_, tail)| naive_tokens(tokens, tail))
            }
            (Some((token, after)), Some((unit, tail))) => {
                token.takes(unit) && naive_tokens(after, tail)
            }
            (Some(_), None) => false,
        }
    }

    /// The meaning of parts, spelled out by recursion.
    fn naive_parts(parts: &[Part], path: &[u8]) -> bool {
        match (parts.split_first(), split_component(path)) {
            (None, component) => component.is_none(),
            (Some((Part::AnyDepth, after)), component) => {
                naive_parts(after, path)
                    || component.is_some_and(|(_, tail)| naive_parts(parts, tail))
            }
            (Some((Part::Name(name), after)), Some((component, tail))) => {
                name.matches(component) && naive_parts(after, tail)
            }
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_and_match_without_panic(
            pattern in prop::collection::vec(any::<u8>(), 0..30),
            text in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            if let Ok(name) = Name::parse(&pattern) {
                name.matches(&text);
            }
        }

        #[test]
        fn names_match_as_in_the_naive_model(
            pattern in "[ab日*?]{0,8}(\\[[!]?[ab日]{1,2}\\])?[ab*?]{0,4}", text in "[ab日]{0,10}"
        ) {
            let parsed = name(&pattern);
            // Taken apart again, so that the short cut for suffixes is compared as well.
            let tokens = match &parsed {
                Name::Tokens(tokens) => tokens.clone(),
                Name::Literal(bytes) => units(bytes),
                Name::Suffix(bytes) => [vec![Token::AnyUnits], units(bytes)].concat(),
            };
            let text = text.as_bytes();
            prop_assert_eq!(parsed.matches(text), naive_tokens(&tokens, text));
        }

        #[test]
        fn suffixes_match_any_bytes_as_in_the_naive_model(
            suffix in "[aé日]{0,3}", text in prop::collection::vec(
                prop::sample::select(vec![b'a', 0xC3, 0xA9, 0xE6, 0x97, 0xA5]), 0..9)
        ) {
            let tokens = [vec![Token::AnyUnits], units(suffix.as_bytes())].concat();
            let parsed = name(&format!("*{suffix}"));
            prop_assert_eq!(parsed.matches(&text), naive_tokens(&tokens, &text));
        }

        #[test]
        fn paths_match_as_in_the_naive_model(
            pattern in "(a|b|\\*|\\*\\*|a\\*)(/(a|b|\\*|\\*\\*|a\\*)){0,5}",
            path in "[ab]{1,2}(/[ab]{1,2}){0,5}"
        ) {
            let glob = glob(&pattern);
            let expected = naive_parts(&glob.parts, path.as_bytes());
            prop_assert_eq!(glob.matches(path.as_bytes()), expected);
            if expected {
                let mut parent = path.as_str();
                while let Some((above, _)) = parent.rsplit_once('/') {
                    prop_assert!(glob.may_match_below(above.as_bytes()));
                    parent = above;
                }
                prop_assert!(glob.may_match_below(b""));
            }
        }
    }

    fn units(mut bytes: &[u8]) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some((unit, tail)) = split_unit(bytes) {
            tokens.push(Token::Unit(unit));
            bytes = tail;
        }
        tokens
    }
}
