//! `runup write-snapshot`: a tree becomes a job.

use serde_json::json;

use super::environment::{Globals, date, host, user};
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::output::Output;
use super::{Command, Layer};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::snapshot::{BytesText, Counts, RootRecord};
use crate::format::tree::{self, Node};
use crate::ops::ls_tree::ls_tree;
use crate::ops::write_snapshot::{SnapshotLabels, write_snapshot};
use crate::repository::{Repository, RevisionError};

/// Most bytes of a record on standard input.
const RECORD_BYTES_MAX: u64 = 256 << 20;

/// Arguments of `runup write-snapshot`.
#[derive(Debug, clap::Args)]
pub struct WriteSnapshot {
    /// The tree; without this, the record that write-tree prints is read from standard input
    #[arg(long, value_name = "ID")]
    tree: Option<String>,
    /// With --tree, the groups of paths that share an inode
    #[arg(long, value_name = "ID", requires = "tree")]
    links: Option<Id>,
    /// The project that the snapshot is of
    #[arg(long, value_name = "PROJECT")]
    project: String,
    /// A text to find the snapshot by
    #[arg(short = 'm', long = "message", value_name = "TEXT")]
    description: Option<String>,
    /// A word to find the snapshot by; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Print the bare id of the snapshot
    #[arg(long)]
    plain: bool,
}

impl Command for WriteSnapshot {
    const NAME: &'static str = "write-snapshot";
    const ABOUT: &'static str = "Publish a tree as a snapshot, in a job of its own";
    const LAYER: Layer = Layer::Plumbing;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        if !crate::format::snapshot::is_project_name(&self.project) {
            return Err(Failure::usage(format!("{:?} is no name for a project", self.project)));
        }
        let root = match &self.tree {
            Some(tree) => self.root_of_tree(&repository, tree)?,
            None => read_record()?,
        };
        let labels = SnapshotLabels {
            project: self.project.clone(),
            time: date()?,
            host: host(),
            user: user(),
            description: self.description.clone(),
            tags: self.tags.clone(),
        };
        let written = write_snapshot(&repository, root.clone(), &labels)?;
        if self.plain {
            output.line(written.id.to_hex().as_bytes())?;
        } else {
            let record = json!({
                "id": written.id,
                "job": written.job,
                "project": self.project,
                "tree": root.tree,
                "parent": written.parent,
                "time": labels.time,
            });
            output.record(&record, false)?;
        }
        Ok(Exit::Done)
    }
}

fn read_record() -> Result<RootRecord, Failure> {
    let bytes = input::read_all(RECORD_BYTES_MAX)?;
    let refuse = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("standard input is not the record of one tree: {error}"))
    };
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err(refuse(&"it is empty"));
    }
    let record: RootRecord = serde_json::from_slice(text).map_err(|error| refuse(&error))?;
    let texts = record.includes.iter().chain(&record.excludes).chain([&record.context]);
    let skipped = record.skipped.iter().map(|skipped| &skipped.path);
    if texts.chain(skipped).any(|text| text.bytes().is_none()) {
        return Err(refuse(&"`path` and `path_b64` disagree"));
    }
    if record.root.as_ref().is_some_and(|root| root.decode().is_none()) {
        return Err(refuse(&"the metadata of the root is not valid"));
    }
    Ok(record)
}

impl WriteSnapshot {
    /// The record of a tree that nothing but its id is known of.
    fn root_of_tree(&self, repository: &Repository, tree: &str) -> Result<RootRecord, Failure> {
        let id = repository.resolve_object(tree)?;
        let kind = repository.store().find(&id)?.map(|found| found.kind);
        if kind != Some(Kind::Tree) {
            let unknown = || RevisionError::Unknown { revision: tree.to_owned() };
            let kind = kind.ok_or_else(unknown)?;
            return Err(Failure::usage(format!("{tree} is a {kind}, not a tree")));
        }
        let mut counts = Counts::default();
        ls_tree(repository.store(), &id, b"", &mut |_, entry: &tree::Entry| {
            match entry.node {
                Node::Directory { .. } => counts.directories += 1,
                Node::File { size_bytes, .. } => {
                    counts.files += 1;
                    counts.size_bytes = counts.size_bytes.saturating_add(size_bytes);
                }
                Node::Symlink { .. } => counts.symlinks += 1,
                _ => counts.others += 1,
            }
            Ok::<_, Failure>(true)
        })?;
        Ok(RootRecord {
            tree: id,
            links: self.links,
            root: None,
            context: BytesText::new(b"/"),
            includes: vec![BytesText::new(b".")],
            excludes: Vec::new(),
            skipped: Vec::new(),
            users: std::collections::BTreeMap::new(),
            groups: std::collections::BTreeMap::new(),
            counts,
        })
    }
}
