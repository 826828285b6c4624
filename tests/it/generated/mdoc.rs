//! mdoc(7): lines of text and lines of macros, escaped.
//!
//! Why not `clap_mangen`: it writes man(7), which knows fonts but no meanings. The pages of section
//! 5 are mdoc, and a reader should not see where one stops and the other begins.
//!
//! Invariant: no word of a text is taken for a request, a macro or an escape.

/// Longest line of text; mandoc(1) complains beyond 80.
const LINE_BYTES_MAX: usize = 78;

/// A page that is being written.
pub(super) struct Page {
    text: String,
    /// The line of text that is being filled.
    line: String,
}

impl Page {
    pub(super) fn new() -> Self {
        Self { text: String::new(), line: String::new() }
    }

    /// The page as it is so far.
    pub(super) fn finish(mut self) -> String {
        self.end_line();
        self.text
    }

    /// Ends the line of text that is being filled.
    pub(super) fn end_line(&mut self) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.raw(&line);
        }
    }

    /// Writes a line as it is.
    pub(super) fn raw(&mut self, line: &str) {
        self.end_line();
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Writes a line of comment.
    pub(super) fn comment(&mut self, text: &str) {
        self.raw(&format!(".\\\" {text}"));
    }

    /// Adds a word of plain text, and ends the line after a sentence.
    pub(super) fn word(&mut self, word: &str) {
        if !self.line.is_empty() && self.line.len() + 1 + word.len() > LINE_BYTES_MAX {
            self.end_line();
        }
        if self.line.is_empty() {
            self.line = at_line_start(&prose(word));
        } else {
            self.line.push(' ');
            self.line.push_str(&prose(word));
        }
        if word.trim_end_matches([')', '"']).ends_with(['.', '?', '!']) {
            self.end_line();
        }
    }
}

/// A word of plain text.
fn prose(word: &str) -> String {
    word.replace('\\', "\\e")
}

/// A line that begins with what could be a request.
fn at_line_start(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

/// Each character that formatters print as another one, and what prints it.
const LITERALS: [(char, &str); 6] =
    [('\\', "\\e"), ('-', "\\-"), ('\'', "\\(aq"), ('`', "\\(ga"), ('^', "\\(ha"), ('~', "\\(ti")];

/// Text that is to be copied from the page: options, names, commands.
pub(super) fn literal(text: &str) -> String {
    let one = |c: char| {
        let found = LITERALS.iter().find(|(literal, _)| *literal == c);
        found.map_or_else(|| c.to_string(), |(_, escape)| (*escape).to_owned())
    };
    text.chars().map(one).collect()
}

/// Literal words as arguments of a macro.
pub(super) fn arguments(text: &str) -> String {
    let word = |word: &str| {
        let escaped = literal(word).replace('"', "\\(dq");
        let is_macro = matches!(word.as_bytes(), [b'A'..=b'Z', b'a'..=b'z'])
            || matches!(word.as_bytes(), [b'A'..=b'Z', b'a'..=b'z', b'a'..=b'z']);
        let is_delimiter = word.len() == 1 && word.starts_with(|c| ".,:;()[]?!|".contains(c));
        if is_macro || is_delimiter { format!("\\&{escaped}") } else { escaped }
    };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// A line of a literal display.
pub(super) fn display_line(line: &str) -> String {
    at_line_start(&literal(line))
}

/// The text of a line of a literal display.
pub(super) fn display_text(line: &str) -> String {
    let mut text = line.replace("\\&", "").replace("\\(dq", "\"");
    // The backslash comes last, as it begins the others.
    for (literal, escape) in LITERALS.iter().rev() {
        text = text.replace(escape, &literal.to_string());
    }
    text
}

#[test]
fn nothing_in_a_text_is_taken_for_mdoc() {
    let mut page = Page::new();
    for word in [".TH", "is", "no", "request.", "'Nor", "\\fB"] {
        page.word(word);
    }
    assert_eq!(page.finish(), "\\&.TH is no request.\n\\&'Nor \\efB\n");
    assert_eq!(arguments("No . \"a -b\\"), "\\&No \\&. \\(dqa \\-b\\e");
    for line in [".a -b", "printf '%s\\n' \"$x\" ~ ^ `b`", "\\e \\-"] {
        assert_eq!(display_text(&display_line(line)), line);
    }
}
