//! Exit codes, the one list of them.

/// How a program ends, the better ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All that was asked for is done.
    Done,
    /// It failed; or, where a question was asked, the answer is no.
    Failed,
    /// The arguments or the configuration are wrong.
    Usage,
    /// Done, but some sources were not read or some targets not written.
    Incomplete,
    /// Damaged data was found.
    Damaged,
    /// A program that answers a question could not find out.
    Unanswered,
    /// There is no repository.
    NoRepository,
    /// Hostile content was refused.
    Hostile,
    /// No space is left.
    NoSpace,
    /// The format is not supported by this version.
    Unsupported,
    /// The user interrupted it.
    Interrupted,
    /// What a program ended with that was run on request.
    Of(u8),
}

impl Exit {
    /// Every exit code with its meaning, for manuals.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Done, "Done."),
        (Self::Failed, "Failed; from a program that answers a question: no."),
        (Self::Usage, "Wrong arguments or configuration."),
        (Self::Incomplete, "Incomplete: some sources were not read, or some targets not written."),
        (Self::Damaged, "Damaged data was found."),
        (Self::Unanswered, "A program that answers a question could not find out."),
        (Self::NoRepository, "There is no repository."),
        (Self::Hostile, "Hostile content was refused."),
        (Self::NoSpace, "No space is left."),
        (Self::Unsupported, "The format is not supported by this version."),
        (Self::Interrupted, "Interrupted."),
    ];

    /// How any command may end that opens a repository.
    pub const USUAL: &'static [Self] = &[
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Damaged,
        Self::NoRepository,
        Self::Hostile,
        Self::NoSpace,
        Self::Unsupported,
    ];

    /// How a command may end that answers a question by its exit code.
    pub const ANSWERING: &'static [Self] = &[
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Damaged,
        Self::Unanswered,
        Self::NoRepository,
        Self::Hostile,
        Self::NoSpace,
        Self::Unsupported,
    ];

    /// How a command may end that carries many files in or out, and notices an interrupt.
    pub const CARRYING: &'static [Self] = &[
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Incomplete,
        Self::Damaged,
        Self::NoRepository,
        Self::Hostile,
        Self::NoSpace,
        Self::Unsupported,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Damaged => 4,
            Self::Unanswered => 5,
            Self::NoRepository => 10,
            Self::Hostile => 13,
            Self::NoSpace => 14,
            Self::Unsupported => 15,
            Self::Interrupted => 130,
            Self::Of(code) => code,
        }
    }

    /// The worse of two ends of parts of one command: damage is worse than incompleteness.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
