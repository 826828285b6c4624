//! `runup mktree`: records of entries become a tree.

mod item;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::BufRead;

use schemars::JsonSchema;
use serde::Serialize;

use self::item::Item;
use super::entry::EntryRecord;
use super::environment::{self, Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::json::{self, TreeRecord};
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::path::join;
use crate::format::links::{self, Groups};
use crate::format::snapshot::{RootMetadata, RootRecord};
use crate::format::tree::Entry;
use crate::ops::closure::first_absent;
use crate::ops::mktree::{Built, Defaults, Edits, Links, MktreeError, build};
use crate::repository::{Repository, RepositoryError, WriteSession, read_links};
use crate::store::{HashOnly, InsertOptions, Inserter, ObjectSink, Store, put_any};

/// Arguments of `runup mktree`.
#[derive(Debug, clap::Args)]
pub struct Mktree {
    /// Items on standard input, and the record, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Take paths of any depth; the directories on the way are made. Without this each path is one
    /// name
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Begin from this snapshot or tree: only what is named on standard input changes
    #[arg(long, value_name = "REV")]
    base: Option<OsString>,
    /// Store nothing, and look for nothing that entries refer to: only tell the id. Needs no
    /// repository unless --base does
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print the bare id
    #[arg(long)]
    plain: bool,
}

/// What mktree prints, and write-snapshot reads.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "made-tree")]
struct Record {
    #[serde(flatten)]
    root: TreeRecord,
    /// Records and lines that were read.
    entries_named: u64,
}

impl Command for Mktree {
    const NAME: &'static str = "mktree";
    const ABOUT: &'static str = "Make a tree of records of its entries";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];

    const DESCRIPTION: &'static str = "
        Reads records of entries and makes a tree of them, in whatever order they come. It takes the
        records that runup-ls-tree(1), runup-diff-tree(1), runup-hash-object(1) and
        runup-write-tree(1) print, and lines of b3sum(1). What they refer to must be stored.

        A record needs a `path` and, for a file or a tree, an `id`. What else it does not say comes
        from the entry that stood there, or from these defaults: mode 0644, of a directory 0755,
        owned by who runs the program, changed now or at `RUNUP_DATE`.

        With `--recursive` paths may lead into directories. A directory is what is named below it;
        its own record only says its metadata, so that entries that were filtered out of a listing
        are not in the tree. A record with a `tree`, as runup-write-tree(1) prints, puts a whole
        stored tree at its path.

        With `--base` only what is named changes. A record whose `status` is `removed` takes away
        what stands at its path; one that is `renamed` takes away its `old` path. Removals come
        before all else, in whatever order they are read. So the records of runup-diff-tree(1) with
        `-r` and `-t` lead from one tree to another. Directories on the way keep their metadata.

        What is printed is for runup-write-snapshot(1): the tree, the links among its files, the
        metadata of the root where it was named as `.`, and with a snapshot as the base all else
        that it says. Which names share an inode is known from the `link_group` of records, from
        the base, and from trees that are put whole; a name that joins others which are not named
        is not linked to them.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "A backup of what another program lists",
            "find src -name '*.c' -print0 |
  runup-hash-object -w --stdin-paths -z |
  runup-mktree -z --recursive |
  runup-write-snapshot --project sources",
        ),
        Example::new(
            "A snapshot without one of its files",
            r#"echo '{"status":"removed","path":"README"}' |
  runup-mktree --base app | runup-write-snapshot --project app"#,
        ),
        Example::new("An object that is not stored", "echo empty | b3sum - | runup-mktree")
            .exits(Exit::Failed),
    ];
    const SEE_ALSO: &'static [&'static str] = &[
        "runup-diff-tree(1)",
        "runup-hash-object(1)",
        "runup-ls-tree(1)",
        "runup-write-snapshot(1)",
        "runup-write-tree(1)",
    ];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let has_repository = !self.dry_run || self.base.is_some();
        let repository = has_repository.then(|| globals.open_repository()).transpose()?;
        let session = match (&repository, self.dry_run) {
            (Some(repository), false) => Some(repository.write_session()?),
            _ => None,
        };
        let base = match (&repository, &self.base) {
            (Some(repository), Some(revision)) => Base::find(repository, revision)?,
            _ => Base { root: None, links: Groups::new() },
        };
        let mut named = Named { is_recursive: self.recursive, ..Named::default() };
        input::for_each_item(self.nul, |item| named.take(item))?;
        let made = match (&repository, &session) {
            (Some(repository), Some(session)) => {
                // What other programs have stored while they wrote their records.
                repository.store().reload()?;
                store(repository, session, named, base)?
            }
            _ => make(named, base, repository.as_ref().map(Repository::store), &mut HashOnly)?,
        };
        match self.plain {
            true => output.line(made.root.tree.to_hex().as_bytes())?,
            false => output.record(&made, self.nul)?,
        }
        Ok(Exit::Done)
    }
}

/// What the tree begins from.
struct Base {
    root: Option<RootRecord>,
    links: Groups,
}

impl Base {
    fn find(repository: &Repository, revision: &OsString) -> Result<Self, Failure> {
        let resolved = repository.resolve(revision.as_encoded_bytes(), &zone())?;
        match resolved.kind {
            Kind::Tree => {
                let root = Some(RootRecord::of_tree(resolved.id));
                let Some(snapshot) = resolved.snapshot else {
                    return Ok(Self { root, links: Groups::new() });
                };
                let links = repository.links(&repository.snapshot(&snapshot)?.root)?;
                Ok(Self { root, links: below(links, &resolved.path) })
            }
            Kind::Snapshot => {
                let root = repository.snapshot(&resolved.id)?.root;
                let links = repository.links(&root)?;
                Ok(Self { root: Some(root), links })
            }
            other => {
                Err(Failure::usage(format!("{revision:?} is a {other}, not a snapshot or tree")))
            }
        }
    }
}

/// The groups of paths below a place, as they are called from there.
fn below(links: Groups, place: &[u8]) -> Groups {
    if place.is_empty() {
        return links;
    }
    let from_there = |path: &[u8]| -> Option<Box<[u8]>> {
        path.strip_prefix(place)?.strip_prefix(b"/").map(Into::into)
    };
    let groups = links
        .iter()
        .map(|paths| paths.iter().filter_map(|path| from_there(path)).collect::<Vec<_>>());
    groups.filter(|paths| paths.len() > 1).collect()
}

fn store(
    repository: &Repository,
    session: &WriteSession<'_>,
    named: Named,
    base: Base,
) -> Result<Record, Failure> {
    let options = InsertOptions::new(1, repository.config().compression());
    let inserter = Inserter::new(repository.store(), session.id(), options);
    let store = repository.store();
    let (made, _) = inserter.run_one(|worker| make(named, base, Some(store), worker))?;
    Ok(made)
}

/// Makes the tree, and the links that belong to it.
fn make<S: ObjectSink>(
    named: Named,
    base: Base,
    store: Option<&Store>,
    sink: &mut S,
) -> Result<Record, Failure> {
    let entries_named = named.edits.named();
    let defaults = Defaults {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime: environment::file_time()?,
    };
    let mut put = Groups::new();
    for (place, id) in &named.put_links {
        // Without a repository nothing is looked for, links neither.
        let links = store.map_or(Ok(Groups::new()), |store| read_links(store, id))?;
        let at_place = |path: Box<[u8]>| -> Box<[u8]> { join(place, &path).into() };
        put.extend(links.into_iter().map(|paths| paths.into_iter().map(at_place).collect()));
    }
    let groups = named.links.groups(&named.edits, base.links, put);
    let named_root = named.edits.root_metadata(&defaults.metadata("dir"));
    let base_tree = base.root.as_ref().map(|root| root.tree);
    let Built { tree, counts, relied_on } = build(named.edits, base_tree, defaults, store, sink)?;
    if let Some(store) = store
        && let Some((id, kind)) = first_absent(store, relied_on)?
    {
        return Err(RepositoryError::Incomplete { what: kind.word(), id }.into());
    }
    let links = match groups.is_empty() {
        true => None,
        false => Some(put_any(sink, Kind::Links, &links::encode(groups))?),
    };
    let mut root = base.root.unwrap_or_else(|| RootRecord::of_tree(tree));
    root.tree = tree;
    root.links = links;
    if let Some(metadata) = &named_root {
        root.root = Some(RootMetadata::from(metadata));
    }
    root.users.extend(named.users);
    root.groups.extend(named.groups);
    Ok(Record { root: TreeRecord::new(root, counts), entries_named })
}

/// The tree of the items in `reader`, as `mktree --dry-run` prints it. For those who hand it any
/// bytes, to find what it does with them.
///
/// # Errors
///
/// Those of the program.
#[doc(hidden)]
pub fn dry_run(
    reader: &mut dyn BufRead,
    ends_with_nul: bool,
    is_recursive: bool,
) -> Result<Id, Failure> {
    let mut named = Named { is_recursive, ..Named::default() };
    input::for_each_item_of(reader, ends_with_nul, |item| named.take(item))?;
    let base = Base { root: None, links: Groups::new() };
    Ok(make(named, base, None, &mut HashOnly)?.root.tree)
}

/// The items that make a tree of these entries, one a line, as ls-tree prints them.
#[doc(hidden)]
pub fn items_of(entries: &[Entry]) -> Vec<u8> {
    let mut items = Vec::new();
    for entry in entries {
        items.extend_from_slice(json::text(&EntryRecord::new(&entry.name, entry)).as_bytes());
        items.push(b'\n');
    }
    items
}

/// What was named on standard input.
#[derive(Default)]
struct Named {
    is_recursive: bool,
    edits: Edits,
    links: Links,
    /// Where whole trees are put, and the links that belong to them.
    put_links: Vec<(Vec<u8>, Id)>,
    users: BTreeMap<String, String>,
    groups: BTreeMap<String, String>,
}

impl Named {
    fn take(&mut self, item: &[u8]) -> Result<(), Failure> {
        let item = match input::is_record(item) {
            true => input::record(item)?,
            false => Item::from_b3sum(item)?,
        };
        let path = item.path()?;
        let depth = crate::base::path::components(&path).map_or(0, |parts| parts.len());
        if depth > 1 && !self.is_recursive {
            let path = String::from_utf8_lossy(&path).into_owned();
            return Err(Failure::usage(format!(
                "{path:?}: paths of several names need --recursive"
            )));
        }
        if let Some(error) = &item.error {
            let path = String::from_utf8_lossy(&path).into_owned();
            let message = format!("{path:?} is the record of a failure: {}", error.message);
            return Err(Failure::new(Exit::Failed, "failed_record", message));
        }
        match item.status.as_deref() {
            Some("removed") => return Ok(self.edits.remove(&path)?),
            Some("renamed") => {
                if let Some(old) = &item.old {
                    let old = input::path_bytes(old.path.clone(), old.path_b64.clone())?;
                    self.edits.remove(&old)?;
                }
            }
            _ => {}
        }
        if let Some(group) = item.link_group.clone() {
            let parts = crate::base::path::components(&path).unwrap_or_default();
            self.links.add(group, item.id, &parts.join(&b'/'));
        }
        if let (Some(_), Some(links)) = (item.tree, item.links) {
            let parts = crate::base::path::components(&path).unwrap_or_default();
            self.put_links.push((parts.join(&b'/'), links));
        }
        for (number, name, names) in
            [(item.uid, &item.user, &mut self.users), (item.gid, &item.group, &mut self.groups)]
        {
            if let (Some(number), Some(name)) = (number, name) {
                names.entry(number.to_string()).or_insert_with(|| name.clone());
            }
        }
        let metadata = item.metadata(&path)?;
        let content = item.content(&path, self.is_recursive)?;
        Ok(self.edits.put(&path, metadata, content)?)
    }
}

impl From<MktreeError> for Failure {
    fn from(error: MktreeError) -> Self {
        let (exit, code) = match error {
            MktreeError::Read(error) => return error.into(),
            MktreeError::Write(error) => return error.into(),
            MktreeError::Thread(error) => return Self::io("cannot start a thread", &error),
            MktreeError::Absent { .. } => (Exit::Failed, "incomplete_tree"),
            MktreeError::WrongKind { .. } => (Exit::Usage, "wrong_kind"),
            MktreeError::BadPath { .. }
            | MktreeError::Twice { .. }
            | MktreeError::NotADirectory { .. }
            | MktreeError::Invalid { .. } => (Exit::Usage, "bad_entry"),
        };
        Self::new(exit, code, error.to_string())
    }
}
