//! A restore: the checkout of a snapshot to where it came from, or below another directory.
//!
//! Invariant: what the backup did not read is neither removed nor replaced for being absent.

mod clear;

use std::path::{Path, PathBuf};

use super::checkout::{CheckoutError, CheckoutReport, CheckoutRequest, Wanted, checkout};
use crate::base::monitor::Monitor;
use crate::format::snapshot::{BytesText, Snapshot};
use crate::os::FileIdentity;
use crate::source::selection::{PatternError, Root, Selection, Verdict};
use crate::store::Store;
use crate::target::{Overwrite, TargetError};

use self::clear::Clearing;

/// Where a restore goes, and how.
#[derive(Debug)]
pub struct RestoreRequest<'a> {
    /// What to restore.
    pub snapshot: &'a Snapshot,
    /// The directory that relative includes go to; absolute ones go below it too where
    /// `is_location` is set, and back where they came from where it is not.
    pub to: &'a Path,
    /// Whether `to` was given as a place of its own.
    pub is_location: bool,
    /// Whether what the snapshot lacks is removed.
    pub clears: bool,
    /// Directories that are never removed: the repository.
    pub kept: Vec<FileIdentity>,
    /// Threads that write files.
    pub workers: usize,
}

/// What a restore came to.
#[derive(Debug, Clone, Default)]
pub struct RestoreReport {
    /// What was written.
    pub checkout: CheckoutReport,
    /// Entries that were removed.
    pub files_deleted: u64,
}

/// A restore that could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The checkout failed.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// What was recorded of the backup cannot be understood.
    #[error("the snapshot's patterns")]
    Patterns(#[from] PatternError),
    /// The target cannot be made.
    #[error("cannot create {path}")]
    Create {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<TargetError> for RestoreError {
    fn from(error: TargetError) -> Self {
        Self::Checkout(error.into())
    }
}

fn bytes(texts: &[BytesText]) -> Vec<Vec<u8>> {
    // Snapshots are decoded only if every text in them has bytes.
    texts.iter().filter_map(BytesText::bytes).collect()
}

/// The selection that a snapshot was made with.
///
/// # Errors
///
/// A pattern is not valid, which no backup would have let through.
pub fn selection_of(snapshot: &Snapshot) -> Result<Selection, PatternError> {
    let context = snapshot.root.context.bytes().unwrap_or_default();
    Selection::new(&context, &bytes(&snapshot.root.includes), &bytes(&snapshot.root.excludes))
}

/// Restores a snapshot.
///
/// # Errors
///
/// The target cannot be made or is full; the snapshot's tree is missing, damaged or hostile.
pub fn restore(
    store: &Store,
    request: &RestoreRequest<'_>,
    monitor: &dyn Monitor,
) -> Result<RestoreReport, RestoreError> {
    let selection = selection_of(request.snapshot)?;
    let mut report = RestoreReport::default();
    for part in parts(request, &selection) {
        std::fs::create_dir_all(&part.to).map_err(|source| RestoreError::Create {
            path: part.to.display().to_string(),
            source,
        })?;
        if request.clears {
            let clearing = Clearing::new(store, request, &selection, part.roots.clone(), monitor);
            report.files_deleted += clearing.run(&part.to)?;
        }
        let root = &request.snapshot.root;
        let verdict = |path: &[u8], is_directory: bool| part.wanted(&selection, path, is_directory);
        let has_root = verdict(b"", true) == Wanted::Yes;
        let checkout_request = CheckoutRequest {
            tree: root.tree,
            links: root.links,
            root: root.root.as_ref().filter(|_| has_root).and_then(|root| root.decode()),
            to: &part.to,
            wanted: &verdict,
            overwrite: Overwrite::Replace,
            has_devices: rustix::process::geteuid().is_root(),
            workers: request.workers,
        };
        add(&mut report.checkout, checkout(store, &checkout_request, monitor)?);
    }
    Ok(report)
}

/// One directory to restore to, and the includes that go there.
struct Part {
    to: PathBuf,
    roots: Vec<Root>,
}

fn parts(request: &RestoreRequest<'_>, selection: &Selection) -> Vec<Part> {
    let has = |root| selection.includes().iter().any(|include| include.root == root);
    if request.is_location {
        return vec![Part { to: request.to.into(), roots: vec![Root::Context, Root::Absolute] }];
    }
    let part = |root, to: &Path| has(root).then(|| Part { to: to.into(), roots: vec![root] });
    [part(Root::Context, request.to), part(Root::Absolute, Path::new("/"))]
        .into_iter()
        .flatten()
        .collect()
}

impl Part {
    fn wanted(&self, selection: &Selection, path: &[u8], is_directory: bool) -> Wanted {
        let verdicts = self.roots.iter().map(|root| selection.classify(*root, path, is_directory));
        let mut wanted = Wanted::No;
        for verdict in verdicts {
            match verdict {
                Verdict::Take => return Wanted::Yes,
                Verdict::Descend => wanted = Wanted::Container,
                // What stands in the tree was stored, whatever the patterns would say now.
                Verdict::Excluded { .. } if wanted == Wanted::No => wanted = Wanted::Container,
                Verdict::Excluded { .. } | Verdict::Outside => {}
            }
        }
        wanted
    }
}

fn add(sum: &mut CheckoutReport, part: CheckoutReport) {
    sum.files_restored += part.files_restored;
    sum.files_replaced += part.files_replaced;
    sum.files_unchanged += part.files_unchanged;
    sum.directories += part.directories;
    sum.bytes_restored += part.bytes_restored;
    sum.bytes_skipped += part.bytes_skipped;
    sum.errors += part.errors;
    sum.damaged += part.damaged;
    for (what, count) in part.not_kept {
        *sum.not_kept.entry(what).or_default() += count;
    }
}
