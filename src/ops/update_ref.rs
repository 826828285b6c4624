//! A transaction over refs: all of its changes happen at once, or none.
//!
//! Invariant: the conditions held, and the new targets with all they refer to were present and not
//! condemned, in the session that published the change.

use super::closure::first_absent;
use crate::backend::BackendError;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::repository::{RefTarget, Refs, Repository, RepositoryError, is_ref_name, may_be_target};

/// How often a fenced transaction starts again before it gives up.
const TRIES: usize = 4;

/// What a ref must be for a transaction to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anything, or not there.
    Any,
    /// There, whatever it leads to.
    Present,
    /// Not there.
    Absent,
    /// Leading to this object.
    Is(Id),
}

/// What becomes of a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is: only the condition matters.
    Verify,
    /// It goes.
    Delete,
    /// It leads here.
    Set(RefTarget),
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The name, as [`is_ref_name`] has it.
    pub name: String,
    /// What it must be.
    pub expected: Expected,
    /// What becomes of it.
    pub change: Change,
}

/// A ref that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedRef {
    /// Its name.
    pub name: String,
    /// What it led to; `None` if it is new.
    pub old: Option<Id>,
    /// What it leads to now; `None` if it is gone.
    pub new: Option<RefTarget>,
}

/// A transaction did not happen: no ref has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateRefError {
    /// A ref is not what was expected.
    #[error("{name} {}, not {}; no ref was changed", is_now(*.found), is_expected(*.expected))]
    Changed {
        /// The ref.
        name: String,
        /// What was expected.
        expected: Expected,
        /// What it is; `None` if there is none.
        found: Option<Id>,
    },
    /// No ref may have this name.
    #[error("{name:?} is no name for a ref: it is tag/NAME or pin/NAME, of letters, digits, . _ -")]
    Name {
        /// The name.
        name: String,
    },
    /// Two steps are about one ref.
    #[error("{name} is named twice in one transaction")]
    Twice {
        /// The ref.
        name: String,
    },
    /// No ref may lead to such an object.
    #[error("{name} cannot lead to a {kind}, which means nothing alone")]
    Kind {
        /// The ref.
        name: String,
        /// The kind of object.
        kind: Kind,
    },
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

fn is_now(found: Option<Id>) -> String {
    found.map_or_else(|| "is not there".to_owned(), |id| format!("is {id}"))
}

fn is_expected(expected: Expected) -> String {
    match expected {
        Expected::Any | Expected::Present => "there".to_owned(),
        Expected::Absent => "absent".to_owned(),
        Expected::Is(id) => id.to_hex(),
    }
}

impl UpdateRefError {
    fn is_fence(&self) -> bool {
        matches!(
            self,
            Self::Repository(
                RepositoryError::Fenced | RepositoryError::Backend(BackendError::Fenced)
            )
        )
    }
}

/// Changes refs, all at once; the refs that differ now, in the order given.
///
/// Durable on return. Where no ref changes, nothing is published.
///
/// # Errors
///
/// A condition does not hold; a new target, or what it refers to, is not there or condemned; a name
/// or target is not possible. No ref has changed then.
pub fn update_refs(
    repository: &Repository,
    updates: &[RefUpdate],
) -> Result<Vec<ChangedRef>, UpdateRefError> {
    check(updates)?;
    let mut tries = 1;
    loop {
        match attempt(repository, updates) {
            Err(error) if error.is_fence() && tries < TRIES => tries += 1,
            other => return other,
        }
    }
}

fn check(updates: &[RefUpdate]) -> Result<(), UpdateRefError> {
    let mut names: Vec<&String> = updates.iter().map(|update| &update.name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(UpdateRefError::Twice { name: pair[0].clone() });
    }
    for RefUpdate { name, change, .. } in updates {
        if !is_ref_name(name) {
            return Err(UpdateRefError::Name { name: name.clone() });
        }
        if let Change::Set(RefTarget { kind, .. }) = change
            && !may_be_target(*kind)
        {
            return Err(UpdateRefError::Kind { name: name.clone(), kind: *kind });
        }
    }
    Ok(())
}

fn attempt(
    repository: &Repository,
    updates: &[RefUpdate],
) -> Result<Vec<ChangedRef>, UpdateRefError> {
    let session = repository.write_session()?;
    let targets = updates.iter().filter_map(|update| match update.change {
        Change::Set(RefTarget { id, kind }) => Some((id, kind)),
        Change::Delete | Change::Verify => None,
    });
    let absent = first_absent(repository.store(), targets.collect());
    if let Some((id, kind)) = absent.map_err(RepositoryError::from)? {
        return Err(session.incomplete(id, kind).into());
    }
    let mut changed = Vec::new();
    session.publish_refs(|refs| {
        let (refs, differing) = apply(refs, updates)?;
        changed = differing;
        Ok::<_, UpdateRefError>(refs)
    })?;
    Ok(changed)
}

/// The refs after a transaction, and which of them differ.
fn apply(before: &Refs, updates: &[RefUpdate]) -> Result<(Refs, Vec<ChangedRef>), UpdateRefError> {
    let mut refs = before.clone();
    let mut changed = Vec::new();
    for RefUpdate { name, expected, change } in updates {
        let old = before.get(name).copied();
        let found = old.map(|target| target.id);
        let holds = match expected {
            Expected::Any => true,
            Expected::Present => found.is_some(),
            Expected::Absent => found.is_none(),
            Expected::Is(id) => found == Some(*id),
        };
        if !holds {
            let (name, expected) = (name.clone(), *expected);
            return Err(UpdateRefError::Changed { name, expected, found });
        }
        let new = match change {
            Change::Verify => continue,
            Change::Delete => None,
            Change::Set(target) => Some(*target),
        };
        if new != old {
            match new {
                Some(target) => refs.insert(name.clone(), target),
                None => refs.remove(name),
            };
            changed.push(ChangedRef { name: name.clone(), old: found, new });
        }
    }
    Ok((refs, changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(byte: u8) -> RefTarget {
        RefTarget { id: Id::from_bytes([byte; 32]), kind: Kind::Blob }
    }

    fn update(name: &str, expected: Expected, change: Change) -> RefUpdate {
        RefUpdate { name: name.to_owned(), expected, change }
    }

    #[test]
    fn a_transaction_happens_whole_or_not_at_all() {
        let before = Refs::from([("tag/a".to_owned(), target(1)), ("tag/b".to_owned(), target(2))]);
        let updates = [
            update("tag/a", Expected::Is(target(1).id), Change::Set(target(3))),
            update("tag/b", Expected::Present, Change::Delete),
            update("pin/c", Expected::Absent, Change::Set(target(2))),
        ];
        let (after, changed) = apply(&before, &updates).unwrap_or_default();
        let expected =
            Refs::from([("pin/c".to_owned(), target(2)), ("tag/a".to_owned(), target(3))]);
        assert_eq!(after, expected);
        assert_eq!(changed.len(), 3);
        let again = apply(&after, &updates);
        assert!(matches!(again, Err(UpdateRefError::Changed { name, .. }) if name == "tag/a"));
        let same = [update("tag/a", Expected::Any, Change::Set(target(3)))];
        let (_, changed) = apply(&after, &same).unwrap_or_default();
        assert_eq!(changed, []);
    }

    #[test]
    fn a_transaction_names_each_ref_once_and_by_a_name_it_may_have() {
        let delete = |name| update(name, Expected::Present, Change::Delete);
        assert!(check(&[delete("tag/a"), delete("tag/b")]).is_ok());
        let twice = check(&[delete("tag/a"), delete("tag/b"), delete("tag/a")]);
        assert!(matches!(twice, Err(UpdateRefError::Twice { .. })));
        let derived = check(&[delete("project/app")]);
        assert!(matches!(derived, Err(UpdateRefError::Name { .. })));
        let part = RefTarget { kind: Kind::Part, ..target(1) };
        let part = check(&[update("tag/a", Expected::Any, Change::Set(part))]);
        assert!(matches!(part, Err(UpdateRefError::Kind { .. })));
    }
}
