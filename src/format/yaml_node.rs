//! Nodes of a YAML document, each with its line and column, and words for them in messages.
//!
//! Text from a document reaches a message only through [`excerpt`], so messages stay one short line
//! that is safe to print on a terminal.

use std::fmt::{self, Write as _};

use saphyr_parser::Marker;

/// Longest excerpt of the document in a message, in characters.
const EXCERPT_CHARS_MAX: usize = 80;

/// A place in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The first character of a document.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Finds the place of the byte at `offset`, counting lines and characters as the parser does.
    pub(super) fn of_byte(bytes: &[u8], offset: usize) -> Self {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let mut position = Self::START;
        for (index, &byte) in before.iter().enumerate() {
            // CR LF is one line break, a CR alone is one too.
            let is_break = match byte {
                b'\n' => true,
                b'\r' => bytes.get(index.saturating_add(1)) != Some(&b'\n'),
                _ => false,
            };
            if is_break {
                position = Self { line: position.line.saturating_add(1), column: 1 };
            } else if byte & 0xC0 != 0x80 {
                position.column = position.column.saturating_add(1);
            }
        }
        position
    }
}

impl From<&Marker> for Position {
    fn from(marker: &Marker) -> Self {
        Self { line: marker.line(), column: marker.col().saturating_add(1) }
    }
}

/// Where a node hangs in its document, written as in `project.app.include[2]`.
#[derive(Debug, Clone, Copy)]
pub enum KeyPath<'a> {
    /// The document itself, written as nothing.
    Document,
    /// The value, or the key, at a key of a mapping.
    Key(&'a KeyPath<'a>, &'a str),
    /// An item of a list, counted from 0.
    Item(&'a KeyPath<'a>, usize),
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => Ok(()),
            Self::Key(Self::Document, key) => f.write_str(&excerpt(key)),
            Self::Key(parent, key) => write!(f, "{parent}.{}", excerpt(key)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A scalar, not yet read as a string, number or boolean.
    Scalar {
        /// The text, unquoted and unescaped.
        text: String,
        /// Whether it was written without quotes, and so may be something else than a string.
        is_plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the document; no key occurs twice.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it stands.
    pub position: Position,
    /// The text, unquoted and unescaped.
    pub text: String,
    /// Whether it was written without quotes.
    pub is_plain: bool,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands.
    pub position: Position,
    /// What it holds.
    pub value: Value,
}

impl Node {
    /// Says what was written, for messages: "the number 1", "a list".
    pub fn describe(&self) -> String {
        match &self.value {
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Scalar { text, is_plain } => describe_scalar(text, *is_plain),
        }
    }
}

/// Says what a scalar is, for messages: "the boolean `yes`", "the string `.`".
pub fn describe_scalar(text: &str, is_plain: bool) -> String {
    let kind = if is_plain { ScalarKind::of_plain(text) } else { ScalarKind::String };
    let text = excerpt(text);
    match kind {
        ScalarKind::Null => "nothing".to_owned(),
        ScalarKind::Boolean => format!("the boolean `{text}`"),
        ScalarKind::Number => format!("the number {text}"),
        ScalarKind::String if text.is_empty() => "an empty string".to_owned(),
        ScalarKind::String => format!("the string `{text}`"),
    }
}

/// What an unquoted scalar is to some YAML reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    /// Empty, `~` or `null`.
    Null,
    /// `true`, `false` and the `yes`, `no`, `on`, `off` of YAML 1.1.
    Boolean,
    /// An integer or a float of YAML 1.1 or 1.2.
    Number,
    /// Anything else.
    String,
}

impl ScalarKind {
    /// Classifies the unquoted scalar `text`.
    ///
    /// The union of YAML 1.1 and 1.2 is taken, so that a scalar two readers could disagree on is
    /// never passed as a string. The single letters `y` and `n` are strings, as in most readers.
    pub fn of_plain(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "" | "~" | "null" => Self::Null,
            "true" | "false" | "yes" | "no" | "on" | "off" => Self::Boolean,
            lower if is_number(lower) => Self::Number,
            _ => Self::String,
        }
    }
}

/// Tells whether the lower-case `text` is a number.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".nan") {
        return true;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(radix));
        }
    }
    // Rust's own grammar of floats, less its words (`inf`), plus the underscores of YAML 1.1.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.replace('_', "").parse::<f64>().is_ok()
}

/// Writes `text` for a message: control and invisible characters escaped, cut where it is long.
pub fn excerpt(text: &str) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == EXCERPT_CHARS_MAX {
            out.push('…');
            break;
        }
        match c {
            '\\' | '\'' | '"' => out.push(c),
            // Writing to a string does not fail.
            _ => _ = write!(out, "{}", c.escape_debug()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_classified_by_the_union_of_both_versions() {
        use ScalarKind::{Boolean, Null, Number, String};
        let table: &[(ScalarKind, &[&str])] = &[
            (Null, &["", "~", "null", "NULL"]),
            (Boolean, &["true", "False", "yes", "NO", "On", "off"]),
            (Number, &["1", "-1", "+1", "1.0", "1.", ".5", "1e3", "1_000", "0x1F", "0o17", "0b1"]),
            (Number, &[".inf", "-.INF", ".NaN", "00", "1E+5"]),
            (String, &[".", "..", "./a", "-", "+", "inf", "nan", "infinity", "1a", "0xg", "0x"]),
            (String, &["y", "n", "1.0.0", "e5", "_1", "2024-01-01", "*.o", "1:30", "_"]),
        ];
        for (kind, texts) in table {
            for text in *texts {
                assert_eq!(ScalarKind::of_plain(text), *kind, "{text}");
            }
        }
    }

    #[test]
    fn excerpts_are_short_and_escaped() {
        assert_eq!(excerpt("a'b\"\\é"), "a'b\"\\é");
        assert_eq!(excerpt("\x1b[31m\u{202e}\n"), "\\u{1b}[31m\\u{202e}\\n");
        assert_eq!(excerpt(&"x".repeat(1000)), format!("{}…", "x".repeat(80)));
    }

    #[test]
    fn positions_of_bytes_count_characters_and_every_line_break() {
        let bytes = "é\r\nb\rc\n日x".as_bytes();
        let place = |offset| {
            let position = Position::of_byte(bytes, offset);
            (position.line, position.column)
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(2), (1, 2));
        assert_eq!(place(4), (2, 1));
        assert_eq!(place(6), (3, 1));
        assert_eq!(place(8), (4, 1));
        assert_eq!(place(11), (4, 2));
        assert_eq!(place(999), (4, 3));
    }
}
