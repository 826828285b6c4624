//! The few Linux calls that the floors above share.
//!
//! Invariant: nothing here follows a symbolic link, and no path longer than one name reaches the
//! kernel; `/proc/self/fd/N`, which names a descriptor, is the one exception.

pub mod listing;
mod map;
pub mod object;
pub mod status;
pub mod xattr;

pub use listing::{Listed, list};
pub use map::Mapped;
pub use object::Object;
pub use status::{FileIdentity, FileKind, Status, status_at, status_of};
pub use xattr::{Xattrs, read_xattrs, read_xattrs_at};
