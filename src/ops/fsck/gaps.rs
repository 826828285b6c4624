//! Jobs whose files are gone.

use super::report::{Finding, Findings};
use crate::repository::{Repository, RepositoryError};

/// Reports jobs that were given a number above `counted`, and are not there.
pub(super) fn report(
    repository: &Repository,
    counted: u64,
    findings: &Findings<'_>,
) -> Result<(), RepositoryError> {
    for gap in repository.missing_jobs(counted)? {
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
