//! The end of a checkout: directories get their metadata.
//!
//! Invariant: one that its owner could not pass through afterwards comes after all that are below it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::bounded;

use super::made::MadeDirectories;
use super::report::first_failure;
use super::{Checkout, CheckoutError, LoadedXattrs};
use crate::format::tree::Metadata;
use crate::target::{TargetDirectory, TargetError};

/// Permissions of its owner with which a directory can still be opened, and passed through.
const OWNER_BITS: u16 = 0o700;
/// Directories that a thread takes at a time.
const DIRECTORIES_AT_ONCE: usize = 64;

/// Gives directories their metadata, and the root if that is to get any.
pub(super) fn give_metadata(
    checkout: &Checkout<'_>,
    directories: &MadeDirectories,
) -> Result<(), CheckoutError> {
    let mut last = MadeDirectories::default();
    let (sender, work) = bounded::<Vec<(Vec<u8>, Metadata)>>(checkout.request.workers.max(1) * 2);
    let is_stopped = AtomicBool::new(false);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..checkout.request.workers.max(1) {
            let work = work.clone();
            scope.spawn(|| {
                for (path, metadata) in work.into_iter().flatten() {
                    if is_stopped.load(Ordering::Relaxed) {
                        continue;
                    }
                    if let Err(error) = give(checkout, &path, &metadata) {
                        is_stopped.store(true, Ordering::Relaxed);
                        first_failure(&failure, error);
                    }
                }
            });
        }
        drop(work);
        let mut some = Vec::new();
        let handed_out: Result<(), _> = directories.for_each(|path, metadata| {
            if metadata.mode & OWNER_BITS != OWNER_BITS {
                last.push(path, metadata);
                return Ok(());
            }
            some.push((path.to_vec(), metadata.clone()));
            match some.len() {
                DIRECTORIES_AT_ONCE => sender.send(std::mem::take(&mut some)),
                _ => Ok(()),
            }
        });
        // Nobody takes any more once a thread has failed, whose failure is told.
        let _told = handed_out.and_then(|()| sender.send(some));
        drop(sender);
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    last.for_each(|path, metadata| give(checkout, path, metadata))?;
    if let Some(metadata) = &checkout.request.root {
        apply(checkout, &checkout.root.open_directory(b"")?, b"", metadata)?;
    }
    Ok(())
}

fn give(checkout: &Checkout<'_>, path: &[u8], metadata: &Metadata) -> Result<(), CheckoutError> {
    let directory = checkout.root.open_directory(path);
    let applied = directory.and_then(|directory| apply(checkout, &directory, path, metadata));
    applied.or_else(|error| checkout.target_failed(path, error))
}

fn apply(
    checkout: &Checkout<'_>,
    directory: &TargetDirectory,
    path: &[u8],
    metadata: &Metadata,
) -> Result<(), TargetError> {
    match LoadedXattrs::load(checkout.store, &metadata.xattrs) {
        Ok(xattrs) => {
            let not_kept = xattrs.with(metadata, |wanted| directory.apply(wanted))?;
            checkout.not_kept(path, not_kept);
        }
        Err(error) => checkout.read_failed(path, &error),
    }
    Ok(())
}
