//! What a command says while it works: problems, progress, and each path where that was asked for.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::codes::Code;
use super::json::{PathText, text};
use super::output::{count, for_terminal, size};
use crate::base::monitor::{Action, Monitor, Problem};

static CANCELLED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Lets the first interrupt end the command in good order, and the second at once.
pub(super) fn listen_for_interrupts() {
    let flag = CANCELLED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let second =
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag));
        let first = signal_hook::flag::register(signal, Arc::clone(flag));
        // Without handlers an interrupt ends the process at once, which is safe too.
        let (Ok(_) | Err(_), Ok(_) | Err(_)) = (second, first);
    }
}

/// Whether the user interrupted the command.
pub(super) fn is_cancelled() -> bool {
    CANCELLED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// One path of a backup or restore, with --verbose.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "verbose-status")]
pub(super) struct PathMessage {
    /// `verbose_status`.
    message_type: &'static str,
    /// What became of it: new, modified, unchanged, deleted.
    action: &'static str,
    /// The path.
    item: String,
    /// The exact path, base64, where it is not UTF-8.
    item_b64: Option<String>,
    /// Bytes of its content.
    size_bytes: u64,
}

/// Something that went wrong with one path or object; the rest goes on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "problem")]
pub(super) struct ProblemMessage {
    /// `error`.
    message_type: &'static str,
    /// A stable word for programs.
    #[schemars(with = "Code")]
    code: &'static str,
    /// The path, object or file.
    item: String,
    /// The exact path, base64, where it is not UTF-8.
    item_b64: Option<String>,
    /// One line for people.
    message: String,
}

/// Something worth knowing; nothing went wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "note")]
pub(super) struct NoteMessage {
    /// `note`.
    message_type: &'static str,
    /// One line for people.
    message: String,
}

/// Tells on standard error what happens.
#[derive(Debug)]
pub(super) struct Messages {
    is_json: bool,
    is_verbose: bool,
    has_progress: bool,
    has_problems: bool,
    problems: AtomicU64,
    paths: AtomicU64,
    bytes: AtomicU64,
    shown: Mutex<Instant>,
}

/// Shortest time between two lines of progress, in milliseconds.
const PROGRESS_MILLISECONDS: u128 = 200;

impl Messages {
    pub(super) fn new(is_json: bool, is_verbose: bool) -> Self {
        Self {
            is_json,
            is_verbose,
            has_progress: !is_json && !is_verbose && io::stderr().is_terminal(),
            has_problems: true,
            problems: AtomicU64::new(0),
            paths: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            shown: Mutex::new(Instant::now()),
        }
    }

    /// Keeps problems and notes to itself, for commands that print them as data.
    pub(super) fn without_problems(self) -> Self {
        Self { has_problems: false, ..self }
    }

    /// How many problems there were.
    pub(super) fn problems(&self) -> u64 {
        self.problems.load(Ordering::Relaxed)
    }

    fn say(&self, line: &str) {
        let clear = if self.has_progress { "\r\u{1b}[K" } else { "" };
        // If standard error is closed there is nobody to tell.
        // One write, so that lines of programs that run side by side stay whole.
        let _ignored = io::stderr().write_all(format!("{clear}{line}\n").as_bytes());
    }

    fn progress(&self) {
        if !self.has_progress {
            return;
        }
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.elapsed().as_millis() < PROGRESS_MILLISECONDS {
            return;
        }
        *shown = Instant::now();
        let paths = count(self.paths.load(Ordering::Relaxed));
        let bytes = size(self.bytes.load(Ordering::Relaxed));
        let _ignored = write!(io::stderr(), "\r\u{1b}[K{paths} entries, {bytes}");
    }

    /// Takes the line of progress away.
    pub(super) fn finish(&self) {
        if self.has_progress {
            let _shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            let _ignored = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

impl Monitor for Messages {
    fn path(&self, action: Action, path: &[u8], bytes: u64) {
        self.paths.fetch_add(1, Ordering::Relaxed);
        if self.is_verbose {
            let word = match action {
                Action::New => "new",
                Action::Changed => "modified",
                Action::Unchanged => "unchanged",
                Action::Deleted => "deleted",
            };
            if self.is_json {
                let item = PathText::new(path);
                let record = PathMessage {
                    message_type: "verbose_status",
                    action: word,
                    item: item.path,
                    item_b64: item.path_b64,
                    size_bytes: bytes,
                };
                self.say(&text(&record));
            } else if action != Action::Unchanged {
                self.say(&format!("{word:9} {}", for_terminal(path)));
            }
        }
        self.progress();
    }

    fn wants_unchanged(&self) -> bool {
        self.is_verbose && self.is_json
    }

    fn unchanged(&self, paths: u64) {
        self.paths.fetch_add(paths, Ordering::Relaxed);
        self.progress();
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
        self.progress();
    }

    fn problem(&self, problem: Problem) {
        self.problems.fetch_add(1, Ordering::Relaxed);
        if !self.has_problems {
            return;
        }
        if self.is_json {
            let item = PathText::new(&problem.subject);
            let record = ProblemMessage {
                message_type: "error",
                code: problem.code,
                item: item.path,
                item_b64: item.path_b64,
                message: problem.message,
            };
            self.say(&text(&record));
        } else {
            let subject = match &problem.subject[..] {
                [] => ".".into(),
                subject => for_terminal(subject),
            };
            self.say(&format!("runup: {subject}: {}", for_terminal(problem.message.as_bytes())));
        }
    }

    fn note(&self, message: fmt::Arguments<'_>) {
        if !self.has_problems {
            return;
        }
        if self.is_json {
            let message = message.to_string();
            self.say(&text(&NoteMessage { message_type: "note", message }));
        } else {
            self.say(&format!("runup: {}", for_terminal(message.to_string().as_bytes())));
        }
    }

    fn is_cancelled(&self) -> bool {
        is_cancelled()
    }
}
