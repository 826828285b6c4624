//! Where the bytes of a repository are kept: immutable files with names such as `packs/ab….pack`.
//!
//! Invariant: a file that can be seen under its name is whole, was durable before it appeared, and
//! never changes. Only a backend renames, links or syncs.

mod error;
mod flush;
mod local;
mod lost;
mod session;

pub use error::BackendError;
pub use local::{Local, Probe, open_file};
pub use lost::LOST_DIRECTORY;
pub use session::{LocalSession, SESSION_ID_DIGITS};

use std::fmt::Debug;
use std::time::Duration;

use crate::base::time::FileTime;
pub use crate::os::Mapped;

/// One file of a directory listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name, without the directory.
    pub name: String,
    /// Its bytes; 0 for a directory.
    pub length_bytes: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// What became of an attempt to create a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The file stands under the name now.
    New,
    /// Another file stood there already, and still does.
    Existed,
}

/// What became of an attempt to publish the record of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The record is there, and durable.
    Done,
    /// Its name is taken; the session is still open.
    Taken,
    /// The session was fenced; nothing was published.
    Fenced,
}

/// The bytes of a repository.
///
/// Names are relative, with `/` between components, of ASCII letters, digits, `-`, `_` and `.`.
pub trait Backend: Debug + Send + Sync {
    /// The name as a person would look for it, for messages.
    fn describe(&self, name: &str) -> String;

    /// Reads a whole file of at most `limit_bytes`; `None` if there is none.
    fn read(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, BackendError>;

    /// Opens a file for reading at any place.
    fn open(&self, name: &str) -> Result<Box<dyn RandomRead>, BackendError>;

    /// Opens a file as bytes in memory, without loading them.
    fn map(&self, name: &str) -> Result<Mapped, BackendError>;

    /// Lists a directory, in order of names; one that does not exist is empty.
    fn list(&self, directory: &str) -> Result<Vec<Listed>, BackendError>;

    /// When names in a directory last changed, by the clock of whoever keeps it; `None` if it does
    /// not exist, or that cannot be told.
    ///
    /// Two changes within a few milliseconds can have one time.
    fn changed(&self, directory: &str) -> Result<Option<FileTime>, BackendError>;

    /// The bytes of a file; `None` if there is none.
    fn length(&self, name: &str) -> Result<Option<u64>, BackendError>;

    /// Starts a file that has no name yet, on behalf of a session.
    fn create(&self, session: &str) -> Result<Box<dyn NewFile>, BackendError>;

    /// Makes earlier creations in this directory durable, if there are any since the last call.
    fn sync(&self, directory: &str) -> Result<(), BackendError>;

    /// Notes that names in this directory may not be durable, though somebody relies on them.
    fn note_unsynced(&self, directory: &str);

    /// Makes all names durable that were created here or noted since they last were.
    fn sync_all(&self) -> Result<(), BackendError>;

    /// Takes the lock that prune and whoever merges indexes hold; `None` while somebody else does.
    ///
    /// It is released by dropping it, and when its owner dies.
    fn try_lock_maintenance(&self) -> Result<Option<Box<dyn Debug + Send>>, BackendError>;

    /// Removes a file; one that does not exist is no error.
    fn remove(&self, name: &str) -> Result<(), BackendError>;

    /// Removes a directory that holds nothing; one that does not exist, or holds something, is left.
    fn remove_empty_directory(&self, name: &str) -> Result<(), BackendError>;

    /// Gives a file a name in another directory, unless it is gone; where that name is taken, the file
    /// is removed. Durable once both directories are synced.
    fn rename(&self, from: &str, to: &str) -> Result<(), BackendError>;

    /// Whether a session of somebody else is over.
    ///
    /// The file of one whose owner is dead is removed; with `fences`, one whose owner lives is fenced,
    /// where the backend can.
    fn end_session(&self, session: &str, fences: bool) -> Result<bool, BackendError>;

    /// Waits until every publication is over that has begun before.
    fn await_publications(&self) -> Result<(), BackendError>;

    /// Lets others go on for a while: for loops that wait for them.
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Gives up the room that is kept for a prune of a full disk; whether there was any.
    fn release_reserve(&self) -> Result<bool, BackendError>;

    /// Whether that room is taken, and by what was written to take it.
    fn has_sound_reserve(&self) -> Result<bool, BackendError>;

    /// Takes that room on behalf of a session, unless it is taken; that there is none is no error.
    fn restore_reserve(&self, session: &str) -> Result<(), BackendError>;

    /// Moves a damaged file to the directory of such files; its name there. Durable on return.
    ///
    /// Nobody may rely on the file any more. Its bytes are kept, for people to look at.
    fn set_aside(&self, name: &str) -> Result<String, BackendError>;

    /// Makes a directory or lock that every repository has and this one lacks, empty; whether it was
    /// lacking. Durable on return.
    fn make_missing(&self, name: &str) -> Result<bool, BackendError>;

    /// Opens a session, which is seen by others before this returns.
    fn open_session(&self) -> Result<Box<dyn Session>, BackendError>;

    /// Whether reading takes no longer than compressing does, so that what is written may be
    /// compared with what is there.
    fn reads_at_once(&self) -> bool {
        true
    }

    /// From now on, publishes nothing here unless this session of somebody else stands too.
    fn lean_on(&self, session: &str);
}

/// A file open for reading.
pub trait RandomRead: Debug + Send + Sync {
    /// Bytes of the file.
    fn length_bytes(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    ///
    /// The file ends before the buffer does, or cannot be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), BackendError>;

    /// Says that these bytes are read next, so that they can be fetched meanwhile.
    fn will_need(&self, _range: std::ops::Range<u64>) {}
}

/// A file being written. Dropped without a name, it leaves nothing.
pub trait NewFile: Debug + Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError>;

    /// Makes the bytes durable and gives the file its name, unless that exists.
    ///
    /// The name itself is durable after [`Backend::sync`] of its directory.
    ///
    /// # Errors
    ///
    /// The bytes could not be made durable, which is never tried again; or the session has been
    /// fenced. The file is thrown away.
    fn publish(self: Box<Self>, name: &str) -> Result<Created, BackendError>;
}

/// A writer or long reader, seen by others while it lives. Dropping it ends it.
pub trait Session: Debug + Send + Sync {
    /// Its name: 32 hexadecimal digits.
    fn id(&self) -> &str;

    /// Makes `record` durable and turns the session into the file of this name, a job or a table
    /// of refs.
    ///
    /// # Errors
    ///
    /// The record could not be made durable, or [`BackendError::SessionEnded`]; nothing was
    /// published.
    fn publish(&mut self, record: &[u8], name: &str) -> Result<Published, BackendError>;

    /// Writes down what those who lean on this session must know. It need not survive a power cut,
    /// since the session does not.
    ///
    /// # Errors
    ///
    /// The system refuses.
    fn note(&mut self, record: &[u8]) -> Result<(), BackendError>;
}
