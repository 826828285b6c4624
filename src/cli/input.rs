//! Standard input: paths or revisions, one a line or NUL-terminated.

use std::io::{self, BufRead, Read};

use super::failure::Failure;

/// Longest item read from standard input.
const ITEM_BYTES_MAX: u64 = 1 << 20;

/// Calls `each` with every item of standard input, without its terminator.
pub(super) fn for_each_item(
    ends_with_nul: bool,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let end = if ends_with_nul { 0 } else { b'\n' };
    let mut stdin = io::stdin().lock();
    let mut item = Vec::new();
    loop {
        item.clear();
        let got = stdin.by_ref().take(ITEM_BYTES_MAX + 1).read_until(end, &mut item)?;
        if got == 0 {
            return Ok(());
        }
        if item.last() == Some(&end) {
            item.pop();
        }
        if item.len() as u64 >= ITEM_BYTES_MAX {
            return Err(Failure::usage("an item on standard input is over 1 MiB"));
        }
        each(&item)?;
    }
}

/// Reads all of standard input, up to a limit in bytes.
pub(super) fn read_all(limit_bytes: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Failure::usage(format!("standard input is over {limit_bytes} bytes")));
    }
    Ok(bytes)
}
