//! The bytes of one file: written with holes where there are zeros, or compared with what is there.

use std::fs::File;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{HOLE_ALIGN_BYTES, HOLE_BYTES_MIN};
use crate::format::chunker::is_zero;
use crate::store::{HashOnly, put_stream};
use crate::target::{NewFile, TargetError};

/// Writes all bytes of a file, but long runs of zeros.
pub(super) fn write_whole(file: &NewFile, bytes: &[u8]) -> Result<(), TargetError> {
    if (bytes.len() as u64) < HOLE_BYTES_MIN {
        return file.write_at(0, bytes);
    }
    let mut end = 0;
    for (offset, part) in without_holes(bytes) {
        file.write_at(offset as u64, part)?;
        end = offset + part.len();
    }
    // Holes at the end are not written, only counted in the length.
    if end < bytes.len() { file.set_length(bytes.len() as u64) } else { Ok(()) }
}

/// The parts of `bytes` between long runs of zero bytes. `bytes` begins at a multiple of 4 KiB in
/// its file.
fn without_holes(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let hole_blocks = HOLE_BYTES_MIN as usize / HOLE_ALIGN_BYTES;
    let mut parts = Vec::new();
    let (mut start, mut zeros) = (0, 0);
    let mut cut = |start: usize, end: usize| {
        if let Some(part) = bytes.get(start..end).filter(|part| !part.is_empty()) {
            parts.push((start, part));
        }
    };
    for (number, block) in bytes.chunks(HOLE_ALIGN_BYTES).enumerate() {
        let at = number * HOLE_ALIGN_BYTES;
        if is_zero(block) {
            zeros += 1;
            continue;
        }
        if zeros >= hole_blocks {
            cut(start, at - zeros * HOLE_ALIGN_BYTES);
            start = at;
        }
        zeros = 0;
    }
    if zeros >= hole_blocks {
        let blocks = bytes.len().div_ceil(HOLE_ALIGN_BYTES);
        cut(start, (blocks - zeros) * HOLE_ALIGN_BYTES);
    } else {
        cut(start, bytes.len());
    }
    parts
}

/// Whether the file holds the blob already. A file that cannot be read does not.
pub(super) fn holds(mut file: &File, id: &Id, size_bytes: u64) -> bool {
    let read = put_stream(&mut HashOnly, Kind::Blob, &mut file, &mut |_| true);
    read.is_ok_and(|(found, length)| found == *id && length == size_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_zero_runs_are_left_out_and_short_ones_are_not() {
        let mut bytes = vec![1; 10_000];
        bytes.resize(200_000, 0);
        bytes.extend([2; 5]);
        bytes.resize(230_000, 0);
        bytes.extend([3; 5]);
        let mut back = vec![0; bytes.len()];
        let parts = without_holes(&bytes);
        for (at, part) in &parts {
            back[*at..at + part.len()].copy_from_slice(part);
        }
        assert_eq!(back, bytes);
        assert_eq!(parts.len(), 2);
        assert!(without_holes(&vec![0; 100_000]).is_empty());
        assert_eq!(without_holes(&[0; 100]), vec![(0, &[0; 100][..])]);
    }
}
