//! Jobs whose files are gone.
//!
//! Invariant: numbers are given one after the other, and only a prune removes the file of a job, after it
//! has published a generation that counts it. So a number that lacks above that is a loss. That the last
//! job is lost cannot be told from its number.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::jobs::numbered_file;
use super::{Repository, RepositoryError, parse_job_number};

impl Repository {
    /// The numbers of jobs above `counted` that were given, and whose files are not there.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn missing_jobs(&self, counted: u64) -> Result<Vec<RangeInclusive<u64>>, RepositoryError> {
        let mut numbers: BTreeSet<u64> = self.job_numbers()?.into_iter().collect();
        let forgotten = self.backend.list("forgotten")?;
        let forgotten = forgotten.iter().filter_map(|listed| parse_job_number(&listed.name)).max();
        if gaps(&numbers, counted, forgotten).is_empty() {
            return Ok(Vec::new());
        }
        // A listing may lack what came while it was made, and have what came later.
        numbers.extend(self.job_numbers()?);
        Ok(gaps(&numbers, counted, forgotten))
    }

    /// [`RepositoryError::LostJob`] if a job is missing that no prune has removed.
    ///
    /// # Errors
    ///
    /// The newest generation is damaged; the backend fails.
    pub fn refuse_missing_jobs(&self) -> Result<(), RepositoryError> {
        let missing = self.missing_jobs(self.newest_generation()?.highest_job)?;
        match missing.first() {
            Some(gap) => Err(RepositoryError::LostJob {
                name: self.backend.describe(&numbered_file("jobs", *gap.start())),
            }),
            None => Ok(()),
        }
    }
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
