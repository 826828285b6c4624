//! Long files: their parts are read by several threads and written each at its place.
//!
//! Invariant: a file gets its name only after every part was proved and written.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Checkout;
use super::files::FileError;
use super::report::first_failure;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::list::List;
use crate::store::{Part, ReadError};
use crate::target::{NewFile, TargetError};

/// Files from this many bytes on are worth the threads of their own.
pub(super) const SHARED_BYTES_MIN: u64 = 64 << 20;
/// Parts that wait for each thread.
const WAITING_PARTS: usize = 2;

/// Writes the blob of a list to the file, with one thread or all of them.
pub(super) fn write_long(
    checkout: &Checkout<'_>,
    file: &NewFile,
    (id, list): (&Id, &List),
    workers: usize,
) -> Result<(), FileError> {
    checkout.store.prove(id, Kind::Blob, list)?;
    if workers > 1 {
        write_parts(checkout, file, (id, list), workers)?;
    } else {
        let mut each = |part: Part| write_part(checkout, file, id, &part);
        checkout.store.for_each_part(id, Kind::Blob, list, &mut each)?;
    }
    // Runs of zeros were not written, only counted in the length.
    file.set_length(list.length_bytes)?;
    Ok(())
}

fn write_parts(
    checkout: &Checkout<'_>,
    file: &NewFile,
    (id, list): (&Id, &List),
    workers: usize,
) -> Result<(), ReadError> {
    let (sender, receiver) = crossbeam_channel::bounded::<Part>(workers * WAITING_PARTS);
    let is_stopped = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let stopped = || ReadError::Sink(std::io::ErrorKind::Interrupted.into());
    let cut = std::thread::scope(|scope| {
        for _ in 0..workers {
            let receiver = receiver.clone();
            scope.spawn(|| {
                for part in receiver {
                    if is_stopped.load(Ordering::Relaxed) {
                        continue;
                    }
                    if let Err(error) = write_part(checkout, file, id, &part) {
                        is_stopped.store(true, Ordering::Relaxed);
                        first_failure(&failure, error);
                    }
                }
            });
        }
        drop(receiver);
        let cut = checkout.store.for_each_part(id, Kind::Blob, list, &mut |part| {
            if is_stopped.load(Ordering::Relaxed) || checkout.monitor.is_cancelled() {
                return Err(stopped());
            }
            sender.send(part).map_err(|_| stopped())
        });
        drop(sender);
        cut
    });
    match failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => cut,
    }
}

fn write_part(
    checkout: &Checkout<'_>,
    file: &NewFile,
    id: &Id,
    part: &Part,
) -> Result<(), ReadError> {
    if checkout.monitor.is_cancelled() {
        return Err(ReadError::Sink(std::io::ErrorKind::Interrupted.into()));
    }
    checkout.store.read_part(id, Kind::Blob, part, &mut |offset, bytes| {
        checkout.monitor.bytes(bytes.len() as u64);
        file.write_at(offset, bytes).map_err(io_error)
    })
}

/// Keeps what matters of a target's error in passing it through a reader of objects.
fn io_error(error: TargetError) -> std::io::Error {
    match error {
        TargetError::NoSpace { .. } => std::io::ErrorKind::StorageFull.into(),
        other => std::io::Error::other(other),
    }
}

/// Whether what went wrong was only that the user interrupted it.
pub(super) fn is_cancelled(checkout: &Checkout<'_>, error: &FileError) -> bool {
    matches!(error, FileError::Read(ReadError::Sink(source))
        if source.kind() == std::io::ErrorKind::Interrupted)
        && checkout.monitor.is_cancelled()
}
