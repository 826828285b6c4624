//! A file, pipe or stream becomes a blob.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::store::{ObjectSink, WriteError, put_stream};

/// A blob that was hashed, and stored where the sink stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashedObject {
    /// Its id: what `b3sum` prints for the same bytes.
    pub id: Id,
    /// Its bytes.
    pub size_bytes: u64,
}

/// Hashes what a reader gives, to its end.
///
/// # Errors
///
/// [`WriteError::Source`] if it cannot be read; those of the sink.
pub fn hash_stream<S: ObjectSink + ?Sized>(
    sink: &mut S,
    reader: &mut dyn Read,
) -> Result<HashedObject, WriteError> {
    let (id, size_bytes) = put_stream(sink, Kind::Blob, reader, &mut |_| true)?;
    Ok(HashedObject { id, size_bytes })
}

/// Hashes a file. A link is followed; a pipe is read to its end.
///
/// # Errors
///
/// As [`hash_stream`]; a directory cannot be read.
pub fn hash_file<S: ObjectSink + ?Sized>(
    sink: &mut S,
    path: &Path,
) -> Result<HashedObject, WriteError> {
    let mut file = File::open(path).map_err(WriteError::Source)?;
    hash_stream(sink, &mut file)
}
