//! Strict YAML: one document of nested mappings, lists and scalars, each with its line and column.
//!
//! Anchors, aliases, tags, further documents and duplicate keys are refused, so a node means what
//! its text shows and nothing expands. Never panics and never recurses deeper than [`DEPTH_MAX`].

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::yaml_node::{Key, KeyPath, Node, Position, Value, excerpt};

/// Longest document that is read, in bytes.
pub const BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of mappings and lists; the document's own mapping is level 1.
pub const DEPTH_MAX: usize = 32;

/// Why a document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlProblem {
    /// Nothing but white space and comments.
    #[error("the file is empty")]
    Empty,
    /// More than [`BYTES_MAX`] bytes; the place is that of the first byte too many.
    #[error("the file is longer than {BYTES_MAX} bytes")]
    TooLong,
    /// A byte that UTF-8 does not allow there.
    #[error("byte 0x{0:02x} is not UTF-8")]
    NotUtf8(u8),
    /// U+FEFF at the start.
    #[error("the file starts with a byte order mark, expected UTF-8 without one")]
    ByteOrderMark,
    /// NUL, or a control character other than tab and line breaks.
    #[error("control character 0x{0:02x} is not allowed")]
    Control(u8),
    /// Not YAML; the text is the parser's.
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// `&name`.
    #[error("anchors are not supported: quote a value that starts with `&`")]
    Anchor,
    /// `*name`.
    #[error("aliases are not supported: quote a value that starts with `*`")]
    Alias,
    /// `!name` or `!!type`.
    #[error("tags are not supported: quote a value that starts with `!`")]
    Tag,
    /// An unquoted scalar that goes on in the next line: mostly a forgotten `-`.
    #[error("an unquoted value goes on in the next line: quote it, or start the line with `- `")]
    Folded,
    /// More than [`DEPTH_MAX`] levels.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A second `---`.
    #[error("a second document starts here, expected only one")]
    SecondDocument,
    /// A list or a mapping as a key.
    #[error("a list or a mapping cannot be a key")]
    KeyNotScalar,
    /// The same key earlier in the same mapping.
    #[error("duplicate key, first given at line {first_line}")]
    DuplicateKey {
        /// Line of the first one.
        first_line: usize,
    },
}

/// A refused document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// Where.
    pub position: Position,
    /// The [`KeyPath`] there; empty outside all keys and where the text could not be parsed.
    pub key_path: String,
    /// Why.
    pub problem: YamlProblem,
}

/// Parses the one document in `bytes`.
///
/// # Errors
///
/// [`YamlError`] for the first problem in the text; encoding and length are checked before syntax.
pub fn parse(bytes: &[u8]) -> Result<Node, YamlError> {
    let text = decode_text(bytes)?;
    let mut loader = Loader { parser: Parser::new_from_str(text), text, depth: 0 };
    let path = &KeyPath::Document;
    loop {
        match loader.next(path)? {
            (Event::StreamEnd, _) => return Err(outside(Position::START, YamlProblem::Empty)),
            (Event::DocumentStart(_), _) => break,
            _ => {}
        }
    }
    let (event, span) = loader.next(path)?;
    let root = loader.node(event, span, path)?;
    loop {
        match loader.next(path)? {
            (Event::StreamEnd, _) => return Ok(root),
            (Event::DocumentStart(_), span) => {
                return Err(outside((&span.start).into(), YamlProblem::SecondDocument));
            }
            _ => {}
        }
    }
}

/// Checks length and encoding.
fn decode_text(bytes: &[u8]) -> Result<&str, YamlError> {
    let at = |offset, problem| Err(outside(Position::of_byte(bytes, offset), problem));
    if bytes.len() > BYTES_MAX {
        return at(BYTES_MAX, YamlProblem::TooLong);
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return at(0, YamlProblem::ByteOrderMark);
    }
    let is_control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r');
    let control = bytes.iter().position(is_control);
    let (valid_bytes, text) = match str::from_utf8(bytes) {
        Ok(text) => (bytes.len(), text),
        Err(error) => (error.valid_up_to(), ""),
    };
    // The first of the two problems is the one to name: UTF-16 shows as its mark, not as NULs.
    if let Some(offset) = control.filter(|&offset| offset < valid_bytes) {
        return at(offset, YamlProblem::Control(bytes.get(offset).copied().unwrap_or(0)));
    }
    match bytes.get(valid_bytes) {
        Some(&byte) => at(valid_bytes, YamlProblem::NotUtf8(byte)),
        None => Ok(text),
    }
}

/// Makes an error outside all keys.
fn outside(position: Position, problem: YamlProblem) -> YamlError {
    YamlError { position, key_path: String::new(), problem }
}

/// Makes an error at `path`.
fn error(position: Position, path: &KeyPath<'_>, problem: YamlProblem) -> YamlError {
    YamlError { position, key_path: path.to_string(), problem }
}

/// Builds nodes from the parser's events.
struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    depth: usize,
}

impl<'a> Loader<'a> {
    /// Returns the next event; `path` is that of the node it belongs to.
    fn next(&mut self, path: &KeyPath<'_>) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(refused)) => Err(self.refusal(&refused, path)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// Translates the parser's error.
    fn refusal(&self, refused: &ScanError, path: &KeyPath<'_>) -> YamlError {
        let position = refused.marker().into();
        // An unquoted glob looks like an alias, an anchor or a tag, but is seldom a valid one. The
        // parser's words for that would not tell anyone to quote it.
        match self.text.chars().nth(refused.marker().index()) {
            Some('*') => error(position, path, YamlProblem::Alias),
            Some('&') => error(position, path, YamlProblem::Anchor),
            Some('!') => error(position, path, YamlProblem::Tag),
            _ => outside(position, YamlProblem::Syntax(excerpt(refused.info()))),
        }
    }

    /// Reads the node that starts with `event`.
    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        path: &KeyPath<'_>,
    ) -> Result<Node, YamlError> {
        let position = Position::from(&span.start);
        let problem = match &event {
            Event::Alias(_) => Some(YamlProblem::Alias),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => Some(YamlProblem::Tag),
            Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(1.., _)
            | Event::MappingStart(1.., _) => Some(YamlProblem::Anchor),
            Event::SequenceStart(..) | Event::MappingStart(..) if self.depth >= DEPTH_MAX => {
                Some(YamlProblem::TooDeep)
            }
            Event::Scalar(_, ScalarStyle::Plain, ..) if span.start.line() != span.end.line() => {
                Some(YamlProblem::Folded)
            }
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(error(position, path, problem));
        }
        self.depth = self.depth.saturating_add(1);
        let value = match event {
            Event::Scalar(text, style, ..) => {
                Value::Scalar { text: text.into_owned(), is_plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => Value::List(self.items(path)?),
            Event::MappingStart(..) => Value::Mapping(self.entries(path)?),
            _ => {
                let text = "expected a value".to_owned();
                return Err(error(position, path, YamlProblem::Syntax(text)));
            }
        };
        self.depth = self.depth.saturating_sub(1);
        Ok(Node { position, value })
    }

    fn items(&mut self, path: &KeyPath<'_>) -> Result<Vec<Node>, YamlError> {
        let mut items = Vec::new();
        loop {
            let path = &KeyPath::Item(path, items.len());
            let (event, span) = self.next(path)?;
            if event == Event::SequenceEnd {
                return Ok(items);
            }
            items.push(self.node(event, span, path)?);
        }
    }

    fn entries(&mut self, path: &KeyPath<'_>) -> Result<Vec<(Key, Node)>, YamlError> {
        let mut entries = Vec::new();
        let mut first_lines = HashMap::new();
        loop {
            let (event, span) = self.next(path)?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let key = self.node(event, span, path)?;
            let position = key.position;
            let Value::Scalar { text, is_plain } = key.value else {
                return Err(error(position, path, YamlProblem::KeyNotScalar));
            };
            if let Some(first_line) = first_lines.insert(text.clone(), position.line) {
                let problem = YamlProblem::DuplicateKey { first_line };
                return Err(error(position, &KeyPath::Key(path, &text), problem));
            }
            let path = &KeyPath::Key(path, &text);
            let (event, span) = self.next(path)?;
            let value = self.node(event, span, path)?;
            entries.push((Key { position, text, is_plain }, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_positions_and_quoting_are_kept() {
        let root = parse("é: 'x'\r\nb:\r\n  - 1\r\n".as_bytes()).expect("valid");
        let Value::Mapping(entries) = root.value else { panic!("a mapping") };
        let keys: Vec<_> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
        assert_eq!(keys, ["é", "b"]);
        assert_eq!(entries[0].1.position, Position { line: 1, column: 4 });
        assert_eq!(entries[0].1.value, Value::Scalar { text: "x".to_owned(), is_plain: false });
        let Value::List(items) = &entries[1].1.value else { panic!("a list") };
        assert_eq!(items[0].position, Position { line: 3, column: 5 });
        assert_eq!(items[0].describe(), "the number 1");
    }

    #[test]
    fn depth_is_bounded_at_exactly_the_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        let refused = parse(nested(DEPTH_MAX + 1).as_bytes()).expect_err("too deep");
        assert_eq!(refused.problem, YamlProblem::TooDeep);
        assert_eq!(refused.position, Position { line: 1, column: DEPTH_MAX + 1 });
        let indented: Vec<String> = (0..200).map(|i| " ".repeat(i) + "a:\n").collect();
        let block = indented.concat();
        let refused = parse(block.as_bytes()).expect_err("too deep");
        assert_eq!(refused.problem, YamlProblem::TooDeep);
        assert_eq!(refused.position.line, DEPTH_MAX + 1);
    }
}
