//! `runup write-snapshot`: a tree becomes a job.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{Globals, date, host, user};
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::snapshot::{BytesText, Counts, RootMetadata, RootRecord, Skipped};
use crate::format::tree::Entry;
use crate::ops::ls_tree::ls_tree;
use crate::ops::write_snapshot::{SnapshotLabels, write_snapshot};
use crate::repository::{Repository, RepositoryError};

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
    /// The record on standard input, and the one printed, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print the bare id of the snapshot
    #[arg(long)]
    plain: bool,
}

/// A snapshot that was published.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "written-snapshot")]
struct Record<'a> {
    /// The snapshot.
    id: Id,
    /// The job that holds it.
    job: u64,
    /// Its project.
    project: &'a str,
    /// Its tree.
    tree: Id,
    /// The snapshot of the project before it.
    parent: Option<Id>,
    /// When it was taken, RFC 3339.
    time: &'a str,
}

impl Command for WriteSnapshot {
    const NAME: &'static str = "write-snapshot";
    const ABOUT: &'static str = "Publish a tree as a snapshot, in a job of its own";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record<'_>>()];

    const DESCRIPTION: &'static str = "
        Publishes a tree as a snapshot of a project, in a job of its own. The tree is in the record
        that runup-write-tree(1), runup-mktree(1) and runup-import-archive(1) print, read from
        standard input, where a bare id will do too; or it is given by `--tree`, an id or its first
        digits. Nothing is known then of where its files came from.

        All that the tree refers to is looked for first. If any of it is not stored, the exit code
        is 1 and nothing is published. With the exit code 0 the job is there, and still is after a
        power cut.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "A backup by hand, with a description",
            "runup-write-tree --include notes . |
  runup-write-snapshot --project notes -m 'by hand'",
        ),
        Example::new(
            "Make an old state the newest",
            r#"tree=$(runup-rev-parse --plain notes@1:)
runup-write-snapshot --project notes --tree "$tree""#,
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-backup(1)", "runup-cat-snapshot(1)", "runup-rev-parse(1)", "runup-write-tree(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        if !crate::format::snapshot::is_project_name(&self.project) {
            return Err(Failure::usage(format!("{:?} is no name for a project", self.project)));
        }
        // The repository is looked at only once whoever writes the record has stored its tree.
        let record = self.tree.is_none().then(read_record).transpose()?;
        let repository = globals.open_repository()?;
        let (mut root, is_counted) = match (record, &self.tree) {
            (Some(record), _) => record,
            (None, tree) => {
                let tree = repository.resolve_object(tree.as_deref().unwrap_or_default())?;
                (RootRecord { links: self.links, ..RootRecord::of_tree(tree) }, false)
            }
        };
        if !is_counted {
            root.counts = counts_of(&repository, &root.tree)?;
        }
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
            let record = Record {
                id: written.id,
                job: written.job,
                project: &self.project,
                tree: root.tree,
                parent: written.parent,
                time: &labels.time,
            };
            output.record(&record, self.nul)?;
        }
        Ok(Exit::Done)
    }
}

/// What is read of the record of a tree: all that belongs to it, or its bare id.
#[derive(Debug, Default, serde::Deserialize)]
struct TreeFields {
    tree: Option<Id>,
    id: Option<Id>,
    links: Option<Id>,
    root: Option<RootMetadata>,
    context: Option<BytesText>,
    includes: Option<Vec<BytesText>>,
    excludes: Option<Vec<BytesText>>,
    skipped: Option<Vec<Skipped>>,
    users: Option<BTreeMap<String, String>>,
    groups: Option<BTreeMap<String, String>>,
    counts: Option<Counts>,
}

/// The record on standard input, and whether the tree has been counted.
fn read_record() -> Result<(RootRecord, bool), Failure> {
    let bytes = input::read_all(RECORD_BYTES_MAX)?;
    let refuse = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("standard input is not the record of one tree: {error}"))
    };
    let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes).trim_ascii();
    if text.is_empty() {
        return Err(refuse(&"it is empty"));
    }
    let fields: TreeFields = if input::is_record(text) {
        serde_json::from_slice(text).map_err(|error| refuse(&error))?
    } else {
        let id = String::from_utf8_lossy(text).parse().map_err(|error| refuse(&error))?;
        TreeFields { tree: Some(id), ..TreeFields::default() }
    };
    let tree = fields.tree.or(fields.id).ok_or_else(|| refuse(&"it has no `tree`"))?;
    let bare = RootRecord::of_tree(tree);
    let is_counted = fields.counts.is_some();
    let record = RootRecord {
        tree,
        links: fields.links,
        root: fields.root,
        context: fields.context.unwrap_or(bare.context),
        includes: fields.includes.unwrap_or(bare.includes),
        excludes: fields.excludes.unwrap_or(bare.excludes),
        skipped: fields.skipped.unwrap_or(bare.skipped),
        users: fields.users.unwrap_or(bare.users),
        groups: fields.groups.unwrap_or(bare.groups),
        counts: fields.counts.unwrap_or(bare.counts),
    };
    let texts = record.includes.iter().chain(&record.excludes).chain([&record.context]);
    let skipped = record.skipped.iter().map(|skipped| &skipped.path);
    if texts.chain(skipped).any(|text| text.bytes().is_none()) {
        return Err(refuse(&"`path` and `path_b64` disagree"));
    }
    if record.root.as_ref().is_some_and(|root| root.decode().is_none()) {
        return Err(refuse(&"the metadata of the root is not valid"));
    }
    Ok((record, is_counted))
}

/// The figures of a stored tree.
fn counts_of(repository: &Repository, tree: &Id) -> Result<Counts, Failure> {
    let kind = repository.store().find(tree)?.map(|found| found.kind);
    if kind != Some(Kind::Tree) {
        let absent = || RepositoryError::Incomplete { what: Kind::Tree.word(), id: *tree };
        let kind = kind.ok_or_else(absent)?;
        return Err(Failure::usage(format!("{tree} is a {kind}, not a tree")));
    }
    let mut counts = Counts::default();
    ls_tree(repository.store(), tree, &mut |_, entry: &Entry| {
        counts.add(&entry.node);
        Ok::<_, Failure>(true)
    })?;
    Ok(counts)
}
