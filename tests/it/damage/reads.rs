//! What can still be had of a repository: its files read one by one, and a job checked out.
//!
//! Invariant: other bytes than those that were stored count as wrong, whatever else is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::monitor::Problems;
use runup::format::tree::{self, Node};
use runup::ops::checkout::{CheckoutError, CheckoutRequest, Wanted, checkout};
use runup::repository::Repository;
use runup::store::Span;
use runup::target::Overwrite;

use super::fixture::{Expected, JOBS, size};

/// A file: its job, project and path.
pub(super) type Key = (u64, String, String);

/// What became of the files of all jobs.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub(super) exact: BTreeSet<Key>,
    /// What could not be read.
    pub(super) refused: Vec<Key>,
    /// What was read with other bytes, or refused for a reason that is not damage.
    pub(super) wrong: Vec<Key>,
}

/// Reads every file of every job.
pub(super) fn read_all(repository: &Repository, expected: &Expected) -> Reads {
    let mut found = BTreeMap::new();
    let mut trees = Vec::new();
    for number in 1..=JOBS {
        let Ok(Some(job)) = repository.job(number) else { continue };
        for (project, id) in job.live() {
            let Ok(snapshot) = repository.snapshot(id) else { continue };
            trees.push((job.number, project.clone(), String::new(), snapshot.root.tree));
        }
    }
    while let Some((job, project, path, id)) = trees.pop() {
        let Ok(bytes) = repository.store().read(&id, Kind::Tree) else { continue };
        for entry in tree::entries(&bytes) {
            let entry = entry.expect("a tree that was proved decodes");
            let name = String::from_utf8(entry.name.to_vec()).expect("name");
            match entry.node {
                Node::Directory { tree } => {
                    trees.push((job, project.clone(), format!("{path}{name}/"), tree));
                }
                Node::File { id, .. } => {
                    found.insert((job, project.clone(), format!("{path}{name}")), id);
                }
                _ => {}
            }
        }
    }
    let mut reads = Reads::default();
    let mut exact: BTreeMap<Id, &Vec<u8>> = BTreeMap::new();
    for (key, bytes) in expected {
        let Some(id) = found.get(key) else {
            reads.refused.push(key.clone());
            continue;
        };
        if exact.get(id).is_some_and(|same| *same == bytes) {
            reads.exact.insert(key.clone());
            continue;
        }
        match read_one(repository, id, bytes) {
            Some(true) => {
                exact.insert(*id, bytes);
                reads.exact.insert(key.clone());
            }
            Some(false) => reads.refused.push(key.clone()),
            None => reads.wrong.push(key.clone()),
        }
    }
    reads
}

/// Whether a file was read, or refused; `None` if it was read wrongly.
fn read_one(repository: &Repository, id: &Id, bytes: &[u8]) -> Option<bool> {
    let mut read = Vec::new();
    let streamed = repository.store().stream(id, Kind::Blob, &mut |span| {
        match span {
            Span::Bytes(bytes) => read.extend_from_slice(bytes),
            Span::Zeros(count) => read.resize(read.len() + size(count), 0),
        }
        Ok(())
    });
    match streamed {
        Ok(_) if read == *bytes => Some(true),
        Err(error) if error.is_damage() && bytes.starts_with(&read) => Some(false),
        _ => None,
    }
}

/// What a checkout left in its target.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Files under their names with the bytes that they should have.
    pub(super) exact: BTreeSet<String>,
    /// Files with other bytes, and names that should not be there.
    pub(super) wrong: Vec<String>,
    /// Why it ended before it had tried all.
    pub(super) failed: Option<CheckoutError>,
}

/// Checks out a project of the last job, if its snapshot can be read; what stands in the target then.
pub(super) fn deliver(
    repository: &Repository,
    expected: &Expected,
    to: &Path,
) -> Option<Delivered> {
    let id = repository.job(JOBS).ok()??.snapshot("app")?;
    let snapshot = repository.snapshot(&id).ok()?;
    fs::create_dir(to).expect("directory");
    let request = CheckoutRequest {
        tree: snapshot.root.tree,
        links: snapshot.root.links,
        root: None,
        to,
        wanted: &|_, _| Wanted::Yes,
        overwrite: Overwrite::Never,
        has_devices: false,
        workers: 1,
    };
    // What failed is told by what is not there.
    let failed = checkout(repository.store(), &request, &Problems::default()).err();
    let mut delivered = Delivered { failed, ..Delivered::default() };
    look(to, "", expected, &mut delivered);
    Some(delivered)
}

fn look(to: &Path, below: &str, expected: &Expected, delivered: &mut Delivered) {
    for entry in fs::read_dir(to.join(below)).expect("list").map(|entry| entry.expect("entry")) {
        let name = entry.file_name().into_string().expect("name");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().expect("type");
        if kind.is_dir() {
            look(to, &path, expected, delivered);
        } else if kind.is_file() {
            let bytes = expected.get(&(JOBS, "app".to_owned(), path.clone()));
            if bytes.is_some_and(|bytes| fs::read(entry.path()).expect("read") == *bytes) {
                delivered.exact.insert(path);
            } else {
                delivered.wrong.push(path);
            }
        }
    }
}
