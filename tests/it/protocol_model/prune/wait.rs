//! How prune sees to it that whoever may have missed its generation is over.
//!
//! Invariant: after the barrier, no publication is under way that was checked against a session which
//! had begun before the generation was published.

use super::super::Flaw;
use super::super::repository::{Place, Repository};
use super::{At, Prune};

impl Prune {
    /// Waits for the sessions that can have missed the generation, or fences them.
    pub(super) fn wait(&mut self, repository: &mut Repository) -> Option<At> {
        let Some(&sid) = self.sessions.last() else { return Some(At::Barrier) };
        let session = &mut repository.sessions[sid];
        if session.is_open() && session.alive {
            if !self.fences {
                return None;
            }
            session.place = Place::Fenced;
            self.has_fenced = true;
        } else if session.is_open() && repository.flaw != Flaw::DeadSessionLeft {
            // Those who lean on it look for its name.
            session.place = Place::Gone;
        }
        self.sessions.pop();
        Some(At::Wait)
    }

    /// Whether a publication is to be waited for that had passed its check when the sessions were
    /// over.
    pub(super) fn must_wait(&self, repository: &Repository) -> bool {
        let is_taken = match repository.flaw {
            Flaw::NoBarrier => false,
            Flaw::BarrierAfterFenceOnly => self.has_fenced,
            _ => true,
        };
        is_taken && repository.sessions.iter().any(|session| session.publishing)
    }
}

/// Lists `sessions/`.
pub(super) fn list_sessions(repository: &Repository) -> Vec<usize> {
    let sessions = repository.sessions.iter().zip(0..);
    sessions.filter(|(session, _)| session.is_open()).map(|(_, sid)| sid).collect()
}
