//! Where a checkout writes: files, directories, links and nodes beneath one opened directory.
//!
//! Invariant: beneath the root every step is one name in an open directory, so nothing outside is
//! read, written or removed, whatever stands in the target or is put there meanwhile. No link that
//! stands in the target is followed.
//!
//! What is new is made under a temporary name, given owner, extended attributes, mode and time, and
//! then renamed: a name holds the whole thing or what it held before.

mod directory;
mod error;
mod file;
mod link;
mod location;
mod metadata;
mod node;
mod removal;
mod root;
mod temporary;

pub use directory::TargetDirectory;
pub use error::TargetError;
pub use file::{Finished, NewFile};
pub use link::LinkSource;
pub use metadata::{Aspect, NotKept, WantedMetadata};
pub use node::SpecialNode;
pub use root::TargetRoot;
pub use temporary::Overwrite;
