//! The counter over all changes of a file system, and what goes wrong at one of them.
//!
//! Invariant: operations are counted and done one at a time, whichever process asks for them; after
//! a kill none is done any more.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process_group};

/// A change of a file system, or the flush of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Create,
    MakeDirectory,
    Write,
    Sync,
    SyncDirectory,
    Rename,
    Link,
    Unlink,
    RemoveDirectory,
    Truncate,
    Attributes,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The process group is killed; the operation was not done.
    KillBefore,
    /// The process group is killed; the operation was done.
    KillAfter,
    /// The operation fails, once.
    Io,
    /// There was no space, once.
    NoSpace,
    /// There is no space any more.
    NoSpaceEver,
    /// A write takes half of its bytes.
    ShortWrite,
    /// A flush fails, of a file or a directory.
    Sync,
}

pub(super) const FAULTS: [Fault; 7] = [
    Fault::KillBefore,
    Fault::KillAfter,
    Fault::Io,
    Fault::NoSpace,
    Fault::NoSpaceEver,
    Fault::ShortWrite,
    Fault::Sync,
];

impl Fault {
    /// Whether it can happen to such an operation.
    pub(super) fn can_hit(self, operation: Operation) -> bool {
        use Operation::{RemoveDirectory, Sync, SyncDirectory, Unlink, Write};
        match self {
            Self::KillBefore | Self::KillAfter | Self::Io => true,
            Self::NoSpace | Self::NoSpaceEver => !matches!(operation, Unlink | RemoveDirectory),
            Self::ShortWrite => operation == Write,
            Self::Sync => matches!(operation, Sync | SyncDirectory),
        }
    }

    /// The exit codes that a program may have that meets it; none if it is killed.
    pub(super) fn exits(self) -> &'static [i32] {
        match self {
            Self::KillBefore | Self::KillAfter => &[],
            Self::Io | Self::Sync => &[0, 1],
            Self::NoSpace | Self::NoSpaceEver => &[0, 14],
            Self::ShortWrite => &[0],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KillBefore => "kill -9 before",
            Self::KillAfter => "kill -9 after",
            Self::Io => "EIO once",
            Self::NoSpace => "ENOSPC once",
            Self::NoSpaceEver => "ENOSPC from there on",
            Self::ShortWrite => "short write",
            Self::Sync => "failed fsync",
        }
    }
}

/// What was seen since a fault was armed.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// Every operation.
    pub(super) operations: Vec<Operation>,
    /// How many of them the fault can hit.
    count: u64,
    /// The first operation that was hit.
    pub(super) hit: Option<(Operation, String)>,
    /// Inodes of files of which a flush failed.
    pub(super) failed_syncs: BTreeSet<u64>,
    /// Files and directories of which a flush was tried again after one had failed.
    pub(super) synced_again: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    /// The fault, and the number of the operation that it hits.
    armed: Option<(Fault, u64)>,
    seen: Seen,
    /// Whether everybody who could ask for anything was killed.
    is_over: bool,
}

/// Decides what becomes of each operation.
#[derive(Debug, Default)]
pub(super) struct Injector {
    state: Mutex<State>,
}

/// How much of an operation is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Whole,
    Half,
}

/// Who asks for an operation, and on what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// A thread of the program.
    pub(super) caller: u32,
    pub(super) operation: Operation,
    /// The file that is written or flushed; 0 where it has none yet.
    pub(super) inode: u64,
    /// What it is called in messages.
    pub(super) name: &'a str,
}

impl Injector {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to count, with a fault at the operation of this number, from 1, among those that it
    /// can hit.
    pub(super) fn arm(&self, fault: Fault, at: u64) {
        *self.state() = State { armed: Some((fault, at)), ..State::default() };
    }

    /// Lets everything through again; what was seen.
    pub(super) fn disarm(&self) -> Seen {
        std::mem::take(&mut *self.state()).seen
    }

    /// Does an operation, or what the fault makes of it.
    pub(super) fn perform<T>(
        &self,
        request: Request<'_>,
        act: impl FnOnce(Share) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut state = self.state();
        if state.is_over {
            return Err(Errno::IO);
        }
        let Request { caller, operation, inode, name } = request;
        state.seen.operations.push(operation);
        let is_sync = matches!(operation, Operation::Sync | Operation::SyncDirectory);
        if is_sync && state.seen.failed_syncs.contains(&inode) {
            state.seen.synced_again.push(format!("{operation:?} of {name}"));
        }
        let Some((fault, at)) = state.armed.filter(|(fault, _)| fault.can_hit(operation)) else {
            return act(Share::Whole);
        };
        state.seen.count += 1;
        let is_hit = match fault {
            Fault::NoSpaceEver => state.seen.count >= at,
            _ => state.seen.count == at,
        };
        if !is_hit {
            return act(Share::Whole);
        }
        state.seen.hit.get_or_insert_with(|| (operation, name.to_owned()));
        let refused = |state: &mut State, error| {
            if is_sync {
                state.seen.failed_syncs.insert(inode);
            }
            Err(error)
        };
        match fault {
            Fault::KillBefore => {
                state.is_over = true;
                kill(caller);
                Err(Errno::IO)
            }
            Fault::KillAfter => {
                let done = act(Share::Whole);
                state.is_over = true;
                kill(caller);
                done
            }
            Fault::Io | Fault::Sync => refused(&mut state, Errno::IO),
            Fault::NoSpace | Fault::NoSpaceEver => refused(&mut state, Errno::NOSPC),
            Fault::ShortWrite => act(Share::Half),
        }
    }
}

/// Kills the process group of a thread. It dies before it sees the answer.
fn kill(caller: u32) {
    let caller = i32::try_from(caller).ok().and_then(Pid::from_raw);
    let group = caller.and_then(|caller| getpgid(Some(caller)).ok());
    // A caller without a group of its own would take the tests along.
    if let Some(group) = group.filter(|group| *group != getpgrp()) {
        let _ignored = kill_process_group(group, Signal::KILL);
    }
}
