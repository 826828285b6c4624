//! Standard output: records, one a line, or NUL-terminated, or plain.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde::Serialize;

/// Standard output.
#[derive(Debug)]
pub struct Output {
    stdout: BufWriter<Stdout>,
    is_json: bool,
    is_terminal: bool,
    is_cancelled: fn() -> bool,
}

impl Output {
    pub(super) fn new(is_json: bool, is_cancelled: fn() -> bool) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let stdout = BufWriter::with_capacity(64 << 10, stdout);
        Self { stdout, is_json, is_terminal, is_cancelled }
    }

    /// Whether records are wanted rather than text.
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Writes a record and ends it with a newline, or a NUL.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full; the user interrupted the command.
    pub fn record(&mut self, record: &impl Serialize, ends_with_nul: bool) -> io::Result<()> {
        if (self.is_cancelled)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        write_record(&mut self.stdout, record, ends_with_nul)
    }

    /// Writes records or lines that were made elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Self::record`].
    pub(super) fn rendered(&mut self, text: &[u8]) -> io::Result<()> {
        if (self.is_cancelled)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.stdout.write_all(text)
    }

    /// Whether standard output is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Writes a line of text; on a terminal, nothing in it can move the cursor.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub fn line(&mut self, text: &[u8]) -> io::Result<()> {
        write_line(&mut self.stdout, text, self.is_terminal)
    }

    /// Hands on what was written so far.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// Writes a record and ends it with a newline, or a NUL.
pub(super) fn write_record(
    mut out: impl Write,
    record: &impl Serialize,
    ends_with_nul: bool,
) -> io::Result<()> {
    serde_json::to_writer(&mut out, record)?;
    out.write_all(if ends_with_nul { b"\0" } else { b"\n" })
}

/// Writes a line of text; for a terminal, nothing in it can move the cursor.
pub(super) fn write_line(mut out: impl Write, text: &[u8], is_terminal: bool) -> io::Result<()> {
    match is_terminal {
        true => out.write_all(for_terminal(text).as_bytes())?,
        false => out.write_all(text)?,
    }
    out.write_all(b"\n")
}

/// Text in which control characters, marks that turn the direction of writing, and bytes that are
/// not UTF-8 are escaped.
pub(super) fn for_terminal(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let is_mark = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if c.is_control() || is_mark {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ok = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// A count of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number and what it counts, in the singular or plural.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A path for people, without the `./` of one in the working directory.
pub(super) fn shown(path: &std::path::Path) -> std::path::Display<'_> {
    path.strip_prefix(".").unwrap_or(path).display()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_unescaped() {
        assert_eq!(for_terminal(b"a\x1b[2J\r\xff"), "a\\u{1b}[2J\\r\\xff");
        assert_eq!(for_terminal("é\u{202e}".as_bytes()), "é\\u{202e}");
    }

    #[test]
    fn figures_for_people() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.50 KiB");
        assert_eq!(size(300 << 20), "300 MiB");
    }
}
