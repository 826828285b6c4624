//! What a checkout came to, gathered from its threads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Checkout, CheckoutError};
use crate::base::monitor::{Action, Problem};
use crate::store::ReadError;
use crate::target::{NotKept, Overwrite, TargetError};

/// Figures of a checkout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckoutReport {
    /// Files, links and others that were not there before.
    pub files_restored: u64,
    /// Files, links and others that were there and differed.
    pub files_replaced: u64,
    /// Files, links and others that were there as they should be.
    pub files_unchanged: u64,
    /// Directories, made or met.
    pub directories: u64,
    /// Bytes of content written.
    pub bytes_restored: u64,
    /// Bytes of content that were there already.
    pub bytes_skipped: u64,
    /// Entries that could not be written.
    pub errors: u64,
    /// Of those, ones whose stored data is missing or damaged.
    pub damaged: u64,
    /// Parts of metadata that the system did not keep, by what they are.
    pub not_kept: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) report: CheckoutReport,
    /// An example of each part of metadata that was not kept.
    examples: BTreeMap<&'static str, (Vec<u8>, String)>,
}

/// Notes what went wrong, if nothing did before.
pub(super) fn first_failure<E>(failure: &Mutex<Option<E>>, error: E) {
    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

impl Checkout<'_> {
    pub(super) fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an entry that is as it should be now.
    pub(super) fn done(&self, action: Action, path: &[u8], bytes: u64) {
        let mut tally = self.tally();
        let report = &mut tally.report;
        match action {
            Action::New => report.files_restored += 1,
            Action::Changed => report.files_replaced += 1,
            Action::Unchanged | Action::Deleted => report.files_unchanged += 1,
        }
        if action == Action::Unchanged {
            report.bytes_skipped += bytes;
        } else {
            report.bytes_restored += bytes;
        }
        drop(tally);
        self.monitor.path(action, path, bytes);
    }

    /// Counts metadata that the system did not keep.
    pub(super) fn not_kept(&self, path: &[u8], not_kept: Vec<NotKept>) {
        if not_kept.is_empty() {
            return;
        }
        let mut tally = self.tally();
        for part in not_kept {
            *tally.report.not_kept.entry(part.what.word()).or_default() += 1;
            tally.examples.entry(part.what.word()).or_insert((path.to_vec(), part.detail));
        }
    }

    fn fail(&self, code: &'static str, path: &[u8], message: String) {
        self.tally().report.errors += 1;
        self.monitor.problem(Problem { code, subject: path.to_vec(), message });
    }

    /// Tells that an entry could not be written; a full file system ends everything.
    pub(super) fn target_failed(
        &self,
        path: &[u8],
        error: TargetError,
    ) -> Result<(), CheckoutError> {
        if matches!(error, TargetError::NoSpace { .. }) {
            return Err(error.into());
        }
        let message = match (&error, self.request.overwrite) {
            (TargetError::Occupied { .. }, Overwrite::Never) => {
                "something that differs stands there: --force replaces it".to_owned()
            }
            _ => crate::ops::with_causes(&error),
        };
        self.fail("not_restored", path, message);
        Ok(())
    }

    /// Tells that an entry could not be read from the repository.
    pub(super) fn read_failed(&self, path: &[u8], error: &ReadError) {
        if error.is_damage() {
            self.tally().report.damaged += 1;
        }
        let code = if error.is_damage() { "damaged" } else { "not_restored" };
        self.fail(code, path, crate::ops::with_causes(error));
    }

    /// Tells that an entry is not made, and why.
    pub(super) fn refuse(&self, code: &'static str, path: &[u8], message: &str) {
        self.fail(code, path, message.to_owned());
    }

    pub(super) fn into_report(self) -> CheckoutReport {
        let tally = self.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (what, (path, detail)) in &tally.examples {
            let count = tally.report.not_kept.get(what).copied().unwrap_or(0);
            let path = String::from_utf8_lossy(path);
            self.monitor.note(format_args!(
                "{what} not kept for {count} entries, such as {path}: {detail}"
            ));
        }
        tally.report
    }
}
