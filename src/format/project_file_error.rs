//! What can be wrong in a `runup.yaml`, and where.
//!
//! Every error has a line, and displays as one line that says what was found and what was expected.

use std::fmt;

use super::yaml::{YamlError, YamlProblem};
use super::yaml_node::{Key, KeyPath, Node, Position, excerpt};

/// A `runup.yaml` that was refused: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {}{problem}", Prefix(.key_path))]
#[non_exhaustive]
pub struct ProjectFileError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The keys that lead there, as in `project.app.include[2]`, escaped for display; empty where
    /// the problem is the file's or could not be placed.
    pub key_path: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong in a `runup.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not a document that can be read at all.
    #[error("{0}")]
    Yaml(YamlProblem),
    /// A key that has no meaning there.
    #[error("unknown key, expected one of: {}{}", expected.join(", "), Suggestion(*suggestion))]
    UnknownKey {
        /// All keys that have one.
        expected: &'static [&'static str],
        /// The one that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A required key is absent; the place is that of the mapping.
    #[error("missing key `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A number or boolean where a string is expected.
    #[error("found {found}, expected {expected}: quote it, as '{quoted}'")]
    Unquoted {
        /// What was found.
        found: String,
        /// What was expected.
        expected: &'static str,
        /// What to write between the quotes.
        quoted: String,
    },
    /// A value of another type, or outside the allowed ones.
    #[error("found {found}, expected {expected}")]
    Unexpected {
        /// What was found.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// Displays a key path before a colon, or nothing.
struct Prefix<'a>(&'a str);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

/// Displays a suggested key, or nothing.
struct Suggestion(Option<&'static str>);

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |key| write!(f, " (did you mean {key}?)"))
    }
}

impl From<YamlError> for ProjectFileError {
    fn from(error: YamlError) -> Self {
        Self {
            line: error.position.line,
            column: error.position.column,
            key_path: error.key_path,
            problem: Problem::Yaml(error.problem),
        }
    }
}

/// Says that a number or boolean should have been a string.
pub(super) fn unquoted(found: String, expected: &'static str, text: &str) -> Problem {
    Problem::Unquoted { found, expected, quoted: excerpt(text) }
}

/// Refuses `node`.
pub(super) fn unexpected(
    node: &Node,
    path: &KeyPath<'_>,
    expected: &'static str,
) -> ProjectFileError {
    let problem = Problem::Unexpected { found: node.describe(), expected };
    error(node.position, path, problem)
}

/// Refuses `key`, suggesting the one of `expected` that is at most two edits away.
pub(super) fn unknown_key(
    key: &Key,
    path: &KeyPath<'_>,
    expected: &'static [&'static str],
) -> ProjectFileError {
    let nearest = expected.iter().map(|known| (distance(&key.text, known), *known)).min();
    let suggestion = nearest.filter(|(edits, _)| *edits <= 2).map(|(_, known)| known);
    error(key.position, path, Problem::UnknownKey { expected, suggestion })
}

/// Refuses what stands at `position`, under `path`.
pub(super) fn error(position: Position, path: &KeyPath<'_>, problem: Problem) -> ProjectFileError {
    ProjectFileError {
        line: position.line,
        column: position.column,
        key_path: path.to_string(),
        problem,
    }
}

/// Counts the insertions, deletions and replacements that turn `a` into `b` (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    // `row[j]` is the distance between the characters of `a` seen so far and the first j of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        let (first, rest) = row.split_at_mut(1);
        first.fill(left);
        for (cell, to) in rest.iter_mut().zip(b.chars()) {
            let replaced = diagonal.saturating_add(usize::from(from != to));
            diagonal = *cell;
            *cell = replaced.min(left.saturating_add(1)).min(cell.saturating_add(1));
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("é", "e", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
