//! The markup of descriptions and help texts, as mdoc(7).
//!
//! Paragraphs are divided by empty lines; lines that begin with `- ` are items of a list; what is
//! in backquotes is literal or stands for something. Which macro that is can be told from its form:
//!
//! | form | macro |
//! |---|---|
//! | `-r`, `--job N`, `--format=b3sum` | `Fl`, with `Ar` for what stands for something |
//! | `REV` | `Ar` |
//! | `RUNUP_DATE`, `$HOME` | `Ev` |
//! | `runup.yaml`, `.runup`, `~/.cache`, `/etc` | `Pa` |
//! | anything else | `Ql` |
//!
//! Outside of backquotes, `name(1)` is a reference, and options, the file names of RunUp and names
//! of the command's own values are known too, since help texts have them bare.

use super::mdoc::{Page, arguments};

/// The paragraphs of a text, each as its words on one line; items of lists begin with `- `.
pub(super) fn paragraphs(text: &str) -> Vec<Vec<String>> {
    let mut paragraphs = vec![Vec::<String>::new()];
    for line in text.lines().map(str::trim) {
        let paragraph = paragraphs.last_mut().unwrap();
        match paragraph.last_mut() {
            _ if line.is_empty() => {
                if !paragraph.is_empty() {
                    paragraphs.push(Vec::new());
                }
            }
            Some(last) if !line.starts_with("- ") => *last = format!("{last} {line}"),
            _ => paragraph.push(line.to_owned()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// Writes paragraphs and lists.
pub(super) fn block(page: &mut Page, text: &str, values: &[String]) {
    for (number, paragraph) in paragraphs(text).iter().enumerate() {
        if number > 0 {
            page.raw(".Pp");
        }
        let mut in_list = false;
        for line in paragraph {
            match line.strip_prefix("- ") {
                Some(item) => {
                    if !in_list {
                        page.raw(".Bl -bullet -compact");
                        in_list = true;
                    }
                    page.raw(".It");
                    inline(page, item, values);
                }
                None => inline(page, line, values),
            }
        }
        if in_list {
            page.raw(".El");
        }
    }
    page.end_line();
}

/// Writes a text without paragraphs. `values` are the names of values that stand in it bare.
pub(super) fn inline(page: &mut Page, text: &str, values: &[String]) {
    for token in tokens(text) {
        match literal_of(&token).or_else(|| bare(&token, values)) {
            Some((line, after)) => {
                let after: String = after.chars().flat_map(|c| [' ', c]).collect();
                page.raw(&format!(".{line}{after}"));
            }
            None => page.word(&token),
        }
    }
    page.end_line();
}

/// The words of a text; what is in backquotes is one.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    let mut is_quoted = false;
    for c in text.chars() {
        is_quoted ^= c == '`';
        if c.is_whitespace() && !is_quoted {
            tokens.push(String::new());
        } else {
            tokens.last_mut().unwrap().push(c);
        }
    }
    assert!(!is_quoted, "a backquote without its partner: {text}");
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// The macro line of what is in backquotes, and the punctuation after it.
fn literal_of(token: &str) -> Option<(String, &str)> {
    let (before, rest) = token.split_once('`')?;
    let (inside, after) = rest.split_once('`')?;
    let is_punctuation = after.chars().all(|c| ".,:;?!)".contains(c));
    assert!(before.is_empty() && is_punctuation, "{token}: a literal stands alone");
    Some((macro_line(inside), after))
}

fn macro_line(inside: &str) -> String {
    if inside.starts_with('-') && inside.len() > 1 {
        return option_line(inside);
    }
    let is_file = ["/", "./", "../", "~/", "runup.y"].iter().any(|start| inside.starts_with(start));
    let is_hidden = inside.starts_with('.') && inside.len() > 1;
    let (name, word) = match inside {
        _ if inside.contains(' ') => ("Ql", inside),
        _ if inside.starts_with('$') => ("Ev", &inside[1..]),
        _ if is_capital(inside) && (inside.contains('_') || inside == "TZ") => ("Ev", inside),
        _ if is_capital(inside) => ("Ar", inside),
        _ if is_file || is_hidden => ("Pa", inside),
        _ => ("Ql", inside),
    };
    format!("{name} {}", arguments(word))
}

/// An option as it is written, with a value or without.
fn option_line(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split(' ') {
        let (option, value) = word.split_once('=').map_or((word, None), |(o, v)| (o, Some(v)));
        match option.strip_prefix('-') {
            Some(option) => words.push(format!("Fl {}", arguments(option))),
            None => words.push(format!("Ar {}", arguments(option))),
        }
        let macro_of = |value: &str| if is_capital(value) { "Ar" } else { "Cm" };
        words.extend(value.map(|v| format!("Ns = Ns {} {}", macro_of(v), arguments(v))));
    }
    words.join(" ")
}

fn is_capital(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// The macro line of a bare word that is known to be more than text, and what follows it.
fn bare<'t>(token: &'t str, values: &[String]) -> Option<(String, &'t str)> {
    if let Some((name, rest)) = token.split_once('(') {
        let section = rest.get(..1).filter(|section| "123456789".contains(*section));
        if let Some((section, after)) = section.zip(rest.get(1..)?.strip_prefix(')')) {
            return (!name.is_empty()).then(|| (format!("Xr {name} {section}"), after));
        }
    }
    let word = token.trim_end_matches([',', '.', ';', ':']);
    let after = &token[word.len()..];
    let name = word.trim_start_matches('-');
    let is_option = word.len() - name.len() <= 2
        && word.starts_with('-')
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_file = ["runup.yaml", "runup.yml", ".runup"].contains(&word);
    if is_option || is_file {
        return Some((macro_line(word), after));
    }
    values.iter().any(|value| value == word).then(|| (format!("Ar {word}"), after))
}

#[test]
fn markup_becomes_macros() {
    let lines = |text: &str| {
        let mut page = Page::new();
        block(&mut page, text, &["PATH".to_owned()]);
        page.finish()
    };
    for (text, expected) in [
        ("With `--job N`, as of it.", "With\n.Fl \\-job Ar N ,\nas of it.\n"),
        ("`--format=b3sum` prints", ".Fl \\-format Ns = Ns Cm b3sum\nprints\n"),
        ("`REV` and PATH.", ".Ar REV\nand\n.Ar PATH .\n"),
        ("In `runup.yaml`: see b3sum(1).", "In\n.Pa runup.yaml :\nsee\n.Xr b3sum 1 .\n"),
        ("`RUNUP_DATE`; `app:src/main.c`", ".Ev RUNUP_DATE ;\n.Ql app:src/main.c\n"),
        (
            "One. Two - three\n\n- a\n  b\n- c",
            "One.\nTwo - three\n.Pp\n.Bl -bullet -compact\n.It\na b\n.It\nc\n.El\n",
        ),
    ] {
        assert_eq!(lines(text), expected);
    }
}
