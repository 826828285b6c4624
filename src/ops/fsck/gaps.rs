//! Jobs whose files are gone.
//!
//! Invariant: numbers are given one after the other, and only a prune removes the file of a job, after it
//! has published a generation that counts it. So a number that lacks above that is a loss. That the last
//! job is lost cannot be told from its number.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::report::{Finding, Findings};
use crate::repository::{Repository, RepositoryError, parse_job_number};

/// Reports jobs that were given a number above `counted`, and are not there.
pub(super) fn report(
    repository: &Repository,
    counted: u64,
    findings: &Findings<'_>,
) -> Result<(), RepositoryError> {
    let mut numbers: BTreeSet<u64> = repository.job_numbers()?.into_iter().collect();
    let forgotten = repository.backend().list("forgotten")?;
    let forgotten = forgotten.iter().filter_map(|listed| parse_job_number(&listed.name)).max();
    if gaps(&numbers, counted, forgotten).is_empty() {
        return Ok(());
    }
    // A listing may lack what came while it was made, and have what came later.
    numbers.extend(repository.job_numbers()?);
    for gap in gaps(&numbers, counted, forgotten) {
        let (first, last) = (gap.start(), gap.end());
        let message = match first == last {
            true => "it is missing, though no prune has removed it".to_owned(),
            false => format!(
                "all jobs from this to {last} are missing, though no prune has removed them"
            ),
        };
        findings.add(Finding::damage("missing_job", message).file(format!("jobs/{first:08}")));
    }
    Ok(())
}

/// The numbers above `counted` that lack, up to the highest that is known.
fn gaps(numbers: &BTreeSet<u64>, counted: u64, forgotten: Option<u64>) -> Vec<RangeInclusive<u64>> {
    let end =
        forgotten.filter(|number| !numbers.contains(number)).map(|number| number.saturating_add(1));
    let mut next = counted.saturating_add(1);
    let mut gaps = Vec::new();
    let known: BTreeSet<u64> = numbers.iter().copied().chain(end).collect();
    for number in known.range(next..) {
        if *number > next {
            gaps.push(next..=number - 1);
        }
        next = number.saturating_add(1);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_above_what_was_counted_have_no_gaps() {
        let gaps = |numbers: &[u64], counted, forgotten| {
            let numbers = numbers.iter().copied().collect();
            gaps(&numbers, counted, forgotten)
        };
        assert_eq!(gaps(&[], 0, None), []);
        assert_eq!(gaps(&[1, 2, 3], 0, Some(2)), []);
        assert_eq!(gaps(&[2, 3], 1, None), []);
        assert_eq!(gaps(&[5], 3, None), [4..=4]);
        assert_eq!(gaps(&[2, 5, 6, 9], 0, None), [1..=1, 3..=4, 7..=8]);
        assert_eq!(gaps(&[1, 4], 4, None), []);
        assert_eq!(gaps(&[1], 0, Some(3)), [2..=3]);
        assert_eq!(gaps(&[u64::MAX], u64::MAX - 1, None), []);
    }
}
