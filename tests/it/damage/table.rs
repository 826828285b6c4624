//! What came of all cases, counted.

use std::collections::BTreeMap;
use std::fmt;

/// What came of one case.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Outcome {
    /// Whether a check without file data, and one with it, told of damage.
    pub(super) is_seen: [bool; 2],
    /// Whether they told of something that need not be damage.
    pub(super) is_noted: bool,
    /// Files of all jobs that could be read.
    pub(super) exact: usize,
    /// Those that could not.
    pub(super) refused: usize,
    /// Those that were read with other bytes.
    pub(super) wrong: usize,
    /// Files that a checkout left under their names, as they should be.
    pub(super) delivered: usize,
    /// Those that it left otherwise.
    pub(super) left: usize,
}

/// The cases of one row.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    cases: usize,
    seen: [usize; 2],
    noted: usize,
    silent: usize,
    /// Cases in which all files could be read.
    unharmed: usize,
    sum: Outcome,
}

/// Rows by what was damaged and how.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<(&'static str, &'static str), Row>);

impl Table {
    pub(super) fn add(&mut self, kind: &'static str, way: &'static str, outcome: Outcome) {
        for key in [(kind, way), ("all", "all")] {
            let row = self.0.entry(key).or_default();
            row.cases += 1;
            row.seen[0] += usize::from(outcome.is_seen[0]);
            row.seen[1] += usize::from(outcome.is_seen[1]);
            let is_seen = outcome.is_seen[1];
            row.noted += usize::from(!is_seen && outcome.is_noted);
            row.silent += usize::from(!is_seen && !outcome.is_noted);
            row.unharmed += usize::from(outcome.refused == 0);
            row.sum.exact += outcome.exact;
            row.sum.refused += outcome.refused;
            row.sum.wrong += outcome.wrong;
            row.sum.delivered += outcome.delivered;
            row.sum.left += outcome.left;
        }
    }

    pub(super) fn cases(&self) -> usize {
        self.0.get(&("all", "all")).map_or(0, |row| row.cases)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| what | how | cases | seen by check | seen with --read-data | noted | silent | \
             nothing lost | files read | refused | wrong | restored | wrong under their name |"
        )?;
        writeln!(f, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for ((kind, way), row) in &self.0 {
            let Row { cases, seen: [structure, data], noted, silent, unharmed, sum } = row;
            let Outcome { exact, refused, wrong, delivered, left, .. } = sum;
            writeln!(
                f,
                "| {kind} | {way} | {cases} | {structure} | {data} | {noted} | {silent} | {unharmed} | \
                 {exact} | {refused} | {wrong} | {delivered} | {left} |"
            )?;
        }
        Ok(())
    }
}
