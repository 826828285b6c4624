//! What the manual page of a command says beside its arguments.
//!
//! Invariant: only [`super::commands`] reads these texts, so that the linker leaves them out of the
//! plumbing programs; `--help` shows the arguments and names the page.

use super::exit::Exit;
use super::{Command, Shape};

/// A command line that shows a command at work. It runs as it stands, in the context of the
/// examples that `tests/it/generated/fixture.rs` makes.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What it does: a sentence without its full stop, in the markup of descriptions.
    pub text: &'static str,
    /// A command or pipeline of `sh`, in lines of at most 72 characters.
    pub script: &'static str,
    /// How it ends.
    pub exit: Exit,
}

impl Example {
    /// A command line that ends with 0.
    pub const fn new(text: &'static str, script: &'static str) -> Self {
        Self { text, script, exit: Exit::Done }
    }

    /// The same with another exit code.
    #[must_use]
    pub const fn exits(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

/// All that a manual page says of a command beside its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Manual {
    /// The name of the command.
    pub name: &'static str,
    /// See [`super::Command::DESCRIPTION`].
    pub description: &'static str,
    /// See [`super::Command::EXAMPLES`].
    pub examples: &'static [Example],
    /// See [`super::Command::SEE_ALSO`].
    pub see_also: &'static [&'static str],
    /// See [`super::Command::EXITS`].
    pub exits: &'static [Exit],
    /// See [`super::Command::RECORDS`].
    pub records: &'static [Shape],
}

impl Manual {
    pub(super) const fn of<C: Command>() -> Self {
        Self {
            name: C::NAME,
            description: C::DESCRIPTION,
            examples: C::EXAMPLES,
            see_also: C::SEE_ALSO,
            exits: C::EXITS,
            records: C::RECORDS,
        }
    }
}
