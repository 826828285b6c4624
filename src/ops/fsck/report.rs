//! What a check found: figures, and one record for each thing that is not as it should be.
//!
//! Invariant: memory stays bounded however much is damaged: findings are counted beyond a number,
//! and so are the paths of each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::{Monitor, Problem};

/// Findings of one code that are kept one by one; those after it share one record.
pub const FINDINGS_PER_CODE_MAX: u64 = 1000;
/// Paths that are kept for each finding, and objects.
pub const AFFECTED_MAX: usize = 100;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Stable word for programs. Damage: `damaged_config`, `damaged_job`, `missing_job`,
    /// `missing_generation`, `missing_refs`, `damaged_refs`, `damaged_control`, `damaged_index`, `missing_index`, `damaged_pack`, `missing_pack`,
    /// `damaged_frame`, `damaged_object`, `missing_object`, `damaged_loose`, `damaged_directory`,
    /// `missing_directory`, `missing_lock`, `lost_jobs`, `unreadable_file`. Worth knowing: `unindexed_pack`, `condemned_pack`, `stray_file`,
    /// `temporary_file`, `lost_file`, `open_session`, `unnamed_snapshots`,
    /// `no_session`, `not_remembered`, `missing_base`, `damaged_reserve`.
    pub code: &'static str,
    /// The file it is about, named as below the repository.
    pub file: Option<String>,
    /// The object it is about.
    pub object: Option<Id>,
    /// What that object is.
    pub kind: Option<Kind>,
    /// One line for people, without file and object.
    pub message: String,
    /// Whether stored data is missing or not what it should be; else it is only worth knowing.
    pub is_damage: bool,
    /// The first paths that cannot be restored because of it, those of the newest jobs first, those
    /// of refs last.
    pub affected: Vec<Affected>,
    /// All such paths of all live jobs and refs.
    pub affected_count: u64,
    /// The first objects of which a copy cannot be used because of it.
    pub objects: Vec<(Id, Kind)>,
    /// All such objects, one that is stored twice counted twice.
    pub object_count: u64,
}

impl Finding {
    /// Starts a record of damage.
    pub(super) fn damage(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            file: None,
            object: None,
            kind: None,
            message: message.into(),
            is_damage: true,
            affected: Vec::new(),
            affected_count: 0,
            objects: Vec::new(),
            object_count: 0,
        }
    }

    /// Starts a record of something that is worth knowing and no damage.
    pub(super) fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self { is_damage: false, ..Self::damage(code, message) }
    }

    pub(super) fn file(self, name: impl Into<String>) -> Self {
        Self { file: Some(name.into()), ..self }
    }

    pub(super) fn object(self, id: Id, kind: Kind) -> Self {
        Self { object: Some(id), kind: Some(kind), ..self }
    }

    fn subject(&self) -> Vec<u8> {
        match (&self.file, self.object) {
            (Some(file), _) => file.clone().into_bytes(),
            (None, Some(id)) => id.to_hex().into_bytes(),
            (None, None) => Vec::new(),
        }
    }
}

/// A path that cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Affected {
    /// What needs it.
    pub holder: Holder,
    /// The path in the tree; empty where the root, the snapshot or the target itself is meant.
    pub path: Vec<u8>,
}

/// What needs an object, and all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A project in a live job.
    Job {
        /// The job.
        number: u64,
        /// The project.
        project: String,
    },
    /// A ref.
    Ref {
        /// Its name.
        name: String,
    },
}

/// What is known of when packs were read whole and found good, by this check or an earlier one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verification {
    /// Packs that were.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The second in which the check began that was the first to find any of these good last.
    pub oldest: Option<i64>,
    /// Packs of which this is not known.
    pub never: u64,
    /// Packs that this check has read whole.
    pub packs_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
}

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FsckReport {
    /// Packs that could be opened.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Frames in them.
    pub frames: u64,
    /// Objects in them, one that is stored twice counted twice.
    pub objects: u64,
    /// Loose objects.
    pub loose: u64,
    /// Index segments that are sound.
    pub index_segments: u64,
    /// Jobs, forgotten ones included.
    pub jobs: u64,
    /// Refs.
    pub refs: u64,
    /// Snapshots of live jobs.
    pub snapshots: u64,
    /// Distinct trees of those.
    pub trees: u64,
    /// Distinct long objects whose list was proved.
    pub lists: u64,
    /// Bytes of packs, loose objects and index segments that were read for the check itself.
    pub bytes_read: u64,
    /// When packs were verified.
    pub verification: Verification,
    /// Whether the monitor asked to stop, so that not everything was looked at.
    pub is_cancelled: bool,
    /// What is not as it should be, in the order it was found.
    pub findings: Vec<Finding>,
}

impl FsckReport {
    /// Whether no damage was found.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| finding.is_damage)
    }
}

/// A number of a finding.
pub(super) type Number = usize;

/// Collects findings from several threads, and tells the monitor of each.
pub(super) struct Findings<'m> {
    pub(super) monitor: &'m dyn Monitor,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    list: Vec<Finding>,
    by_code: BTreeMap<&'static str, (u64, Number)>,
    blamed: Vec<(Id, Kind, Number)>,
}

impl<'m> Findings<'m> {
    pub(super) fn new(monitor: &'m dyn Monitor) -> Self {
        Self { monitor, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a finding; its number, or that of the record it shares with others of its code.
    pub(super) fn add(&self, finding: Finding) -> Number {
        if finding.is_damage {
            let (code, message) = (finding.code, finding.message.clone());
            self.monitor.problem(Problem { code, subject: finding.subject(), message });
        } else {
            let subject = String::from_utf8_lossy(&finding.subject()).into_owned();
            self.monitor.note(format_args!("{subject}: {}", finding.message));
        }
        let mut state = self.state();
        let next = state.list.len();
        let (count, last) = *state
            .by_code
            .entry(finding.code)
            .and_modify(|(count, _)| *count += 1)
            .or_insert((1, next));
        if count <= FINDINGS_PER_CODE_MAX {
            state.by_code.insert(finding.code, (count, next));
            state.list.push(finding);
            return next;
        }
        if count == FINDINGS_PER_CODE_MAX + 1 {
            state.by_code.insert(finding.code, (count, next));
            state.list.push(Finding { file: None, object: None, kind: None, ..finding });
        }
        let shared = if count == FINDINGS_PER_CODE_MAX + 1 { next } else { last };
        if let Some(finding) = state.list.get_mut(shared) {
            finding.message = format!("and {} more of this code", count - FINDINGS_PER_CODE_MAX);
        }
        shared
    }

    /// Notes that a finding is why a copy of an object cannot be used.
    pub(super) fn blame(&self, number: Number, id: Id, kind: Kind) {
        self.state().blamed.push((id, kind, number));
    }

    /// As [`Self::blame`], and lists the object with the finding.
    pub(super) fn blame_for(&self, number: Number, id: Id, kind: Kind) {
        let mut state = self.state();
        state.blamed.push((id, kind, number));
        if let Some(finding) = state.list.get_mut(number) {
            finding.object_count += 1;
            if finding.objects.len() < AFFECTED_MAX {
                finding.objects.push((id, kind));
            }
        }
    }

    /// A finding that is why a copy of an object cannot be used, if there is one so far.
    pub(super) fn blamed(&self, id: &Id, kind: Kind) -> Option<Number> {
        let state = self.state();
        let mut blamed = state.blamed.iter();
        blamed.find(|(other, of, _)| (other, *of) == (id, kind)).map(|(_, _, number)| *number)
    }

    /// All that was blamed so far, sorted.
    pub(super) fn take_blamed(&self) -> Vec<(Id, Kind, Number)> {
        let mut blamed = std::mem::take(&mut self.state().blamed);
        blamed.sort_unstable();
        blamed.dedup();
        blamed
    }

    /// Whether any finding so far is damage.
    pub(super) fn is_damage(&self) -> bool {
        self.state().list.iter().any(|finding| finding.is_damage)
    }

    /// Sets which paths a finding affects.
    pub(super) fn affect(&self, number: Number, affected: Vec<Affected>, count: u64) {
        if let Some(finding) = self.state().list.get_mut(number) {
            finding.affected = affected;
            finding.affected_count = count;
        }
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).list
    }
}
