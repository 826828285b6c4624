//! What jobs and refs need: every object from a live snapshot down, and the paths that want a lost one.
//!
//! Invariant: where nothing is amiss, each distinct tree and list is read once. Else all are read again,
//! by one thread that keeps account; and trees that lead to something lost once more, to name paths.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::objects::{Objects, not_sound};
use super::report::{AFFECTED_MAX, Affected, Finding, FsckReport, Holder, Number};
use super::sound::{Sound, walk};
use super::{Depth, FsckOptions};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::join;
use crate::format::codec::DecodeError;
use crate::format::links;
use crate::format::snapshot::Snapshot;
use crate::format::tree::{self, Entry, Node};
use crate::ops::closure::{of_entry, of_root};
use crate::repository::{Job, RefTarget, Refs, RepositoryError};

/// Findings, each with the number of paths that it affects.
type Needs = BTreeMap<Number, u64>;

/// A tree that is lost, or leads to something that is.
#[derive(Debug, Default)]
struct Dirty {
    /// Why the tree itself cannot be used.
    own: Vec<Number>,
    /// Findings that affect it or something below it.
    needs: Needs,
}

/// A snapshot of a live job, or the target of a ref.
struct Root {
    holder: Holder,
    tree: Option<Id>,
    /// Why the object itself, or links or the attributes of the root of a snapshot, cannot be used.
    own: Vec<Number>,
}

/// What is known of a tree that was walked.
#[derive(Debug, Clone)]
enum Walked {
    Clean,
    Dirty(Rc<Dirty>),
}

/// Walks from jobs to objects.
pub(super) struct Closure<'a> {
    objects: Objects<'a>,
    clean_trees: HashSet<Id>,
    dirty_trees: HashMap<Id, Rc<Dirty>>,
    roots: Vec<Root>,
    /// Trees that are to be walked.
    trees: Vec<Id>,
    /// What was found to be sound without account of paths.
    sound: Sound,
    /// Snapshots of jobs with a parent: the job and the parent.
    pub(super) parents: Vec<(u64, Id)>,
}

impl<'a> Closure<'a> {
    /// Prepares for walks.
    pub(super) fn new(objects: Objects<'a>) -> Self {
        Self {
            objects,
            clean_trees: HashSet::new(),
            dirty_trees: HashMap::new(),
            roots: Vec::new(),
            trees: Vec::new(),
            sound: Sound::default(),
            parents: Vec::new(),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.objects.findings.monitor.is_cancelled()
    }

    /// Reads the snapshots of live jobs; [`Self::walk`] goes on from there.
    pub(super) fn jobs(&mut self, jobs: &[Job]) {
        // The newest first, since its paths are the ones that people ask for.
        for job in jobs.iter().rev() {
            for (project, id) in job.live() {
                if self.is_cancelled() {
                    return;
                }
                let holder = Holder::Job { number: job.number, project: project.clone() };
                let root = self.snapshot(holder, id);
                self.roots.push(root);
            }
        }
    }

    /// Reads what refs lead to; [`Self::walk`] goes on from there.
    pub(super) fn refs(&mut self, refs: &Refs) {
        for (name, RefTarget { id, kind }) in refs {
            if self.is_cancelled() {
                return;
            }
            let holder = Holder::Ref { name: name.clone() };
            let root = match kind {
                Kind::Snapshot => self.snapshot(holder, id),
                Kind::Tree => {
                    self.trees.push(*id);
                    Root { holder, tree: Some(*id), own: Vec::new() }
                }
                Kind::Links => Root { holder, tree: None, own: self.links(id) },
                _ => Root { holder, tree: None, own: self.objects.object(id, *kind) },
            };
            self.roots.push(root);
        }
    }

    fn snapshot(&mut self, holder: Holder, id: &Id) -> Root {
        let mut root = Root { holder, tree: None, own: Vec::new() };
        root.own.extend(self.objects.object(id, Kind::Snapshot));
        if !root.own.is_empty() {
            return root;
        }
        let snapshot = match self.objects.repository.snapshot(id) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                root.own.push(self.objects.damaged(id, Kind::Snapshot, &error));
                return root;
            }
        };
        if let Holder::Job { number, project } = &root.holder {
            if snapshot.project != *project {
                let message =
                    format!("it names a snapshot of {:?} as one of {project:?}", snapshot.project);
                let file = format!("jobs/{number:08}");
                let finding = Finding::damage("damaged_job", message).file(file);
                root.own.push(self.objects.findings.add(finding));
            }
            self.parents.extend(snapshot.parent.map(|parent| (*number, parent)));
        }
        root.own.extend(self.beside_tree(&snapshot));
        self.trees.push(snapshot.root.tree);
        root.tree = Some(snapshot.root.tree);
        root
    }

    /// Walks everything that was met so far, and proves all other lists too if they were read.
    pub(super) fn walk(&mut self, options: &FsckOptions) {
        let Objects { repository, findings, table, .. } = self.objects;
        let all_lists = options.depth == Depth::ReadData;
        let trees = std::mem::take(&mut self.trees);
        let place = (repository.store(), table);
        if let Some(sound) = walk(place, &trees, all_lists, options.workers, findings.monitor) {
            self.objects.unindexed += u64::from(sound.needs_unindexed);
            self.sound = sound;
            return;
        }
        if all_lists {
            self.objects.all_lists();
        }
        trees.into_iter().for_each(|tree| self.tree(tree));
    }

    /// What a snapshot needs besides its tree: links and attributes of the root.
    fn beside_tree(&mut self, snapshot: &Snapshot) -> BTreeSet<Number> {
        let beside = of_root(&snapshot.root).into_iter().filter(|(_, kind)| *kind != Kind::Links);
        let mut own = self.besides_trees(beside);
        own.extend(snapshot.root.links.iter().flat_map(|links| self.links(links)));
        own
    }

    /// Why links cannot be used.
    fn links(&mut self, id: &Id) -> Vec<Number> {
        let mut own = self.objects.object(id, Kind::Links);
        if own.is_empty() {
            let read = self.objects.repository.store().read(id, Kind::Links);
            let decoded = read.map_err(RepositoryError::from).and_then(|bytes| {
                links::decode(&bytes).map_err(|source| not_sound(id, Kind::Links, source))
            });
            if let Err(error) = decoded {
                own.push(self.objects.damaged(id, Kind::Links, &error));
            }
        }
        own
    }

    /// What is known of a tree; `None` if it was not walked yet.
    fn known(&self, id: &Id) -> Option<Walked> {
        if self.clean_trees.contains(id) {
            return Some(Walked::Clean);
        }
        self.dirty_trees.get(id).map(|dirty| Walked::Dirty(Rc::clone(dirty)))
    }

    /// Walks a tree and all below it, children first.
    fn tree(&mut self, root: Id) {
        if self.known(&root).is_some() {
            return;
        }
        let mut stack = vec![self.enter(root)];
        loop {
            let depth = stack.len();
            let Some(top) = stack.last_mut() else { return };
            if let Some(child) = top.children.pop() {
                match self.known(&child) {
                    Some(Walked::Clean) => {}
                    Some(Walked::Dirty(dirty)) => add_needs(&mut top.dirty.needs, &dirty.needs),
                    None if depth >= DEPTH_MAX => {
                        let number = self.too_deep(child);
                        *top.dirty.needs.entry(number).or_default() += 1;
                    }
                    None => stack.push(self.enter(child)),
                }
            } else if let Some(done) = stack.pop() {
                let dirty = self.leave(done);
                if let (Some(dirty), Some(parent)) = (dirty, stack.last_mut()) {
                    add_needs(&mut parent.dirty.needs, &dirty.needs);
                }
            }
        }
    }

    fn too_deep(&mut self, id: Id) -> Number {
        let source = DecodeError { what: "deeper than trees may be", offset: 0 };
        let number = self.objects.damaged(&id, Kind::Tree, &not_sound(&id, Kind::Tree, source));
        self.leave(Open::lost(id, vec![number]));
        number
    }

    /// Reads one tree and looks up its files.
    fn enter(&mut self, id: Id) -> Open {
        let own = self.objects.object(&id, Kind::Tree);
        if !own.is_empty() || self.is_cancelled() {
            return Open::lost(id, own);
        }
        let mut open = Open::lost(id, Vec::new());
        let entries = self.read_tree(&id, |closure, entry| {
            if let Node::Directory { tree } = entry.node {
                open.children.push(tree);
            }
            for number in closure.entry(entry) {
                *open.dirty.needs.entry(number).or_default() += 1;
            }
        });
        match entries {
            Ok(()) => open,
            Err(error) => Open::lost(id, vec![self.objects.damaged(&id, Kind::Tree, &error)]),
        }
    }

    fn read_tree(
        &mut self,
        id: &Id,
        mut each: impl FnMut(&mut Self, &Entry),
    ) -> Result<(), RepositoryError> {
        let bytes = self.objects.repository.store().read(id, Kind::Tree)?;
        for entry in tree::entries(&bytes) {
            let entry = entry.map_err(|source| not_sound(id, Kind::Tree, source))?;
            each(self, &entry);
        }
        Ok(())
    }

    /// Why an entry cannot be restored, apart from what is below it.
    fn entry(&mut self, entry: &Entry) -> BTreeSet<Number> {
        self.besides_trees(of_entry(entry))
    }

    /// Why some of what is referred to cannot be used, apart from trees.
    fn besides_trees(&mut self, references: impl Iterator<Item = (Id, Kind)>) -> BTreeSet<Number> {
        let others = references.filter(|(_, kind)| *kind != Kind::Tree);
        others.flat_map(|(id, kind)| self.objects.object(&id, kind)).collect()
    }

    fn leave(&mut self, open: Open) -> Option<Rc<Dirty>> {
        if open.dirty.needs.is_empty() {
            self.clean_trees.insert(open.id);
            return None;
        }
        let dirty = Rc::new(open.dirty);
        self.dirty_trees.insert(open.id, Rc::clone(&dirty));
        Some(dirty)
    }

    /// Names the paths that each finding affects, and moves figures into the report.
    pub(super) fn finish(mut self, report: &mut FsckReport) {
        let of_jobs = self.roots.iter().filter(|root| matches!(root.holder, Holder::Job { .. }));
        report.snapshots = of_jobs.count() as u64;
        report.trees = (self.clean_trees.len() + self.dirty_trees.len()) as u64;
        report.trees += self.sound.trees;
        report.lists = self.objects.lists + self.sound.lists;
        if self.objects.unindexed > 0 {
            let message = "jobs or refs need objects of packs that no sound index covers; they can be \
                           read, slowly";
            self.objects.findings.add(Finding::damage("missing_index", message).file("index"));
        }
        let mut listing = Listing::default();
        let roots = std::mem::take(&mut self.roots);
        for root in &roots {
            root.own.iter().for_each(|number| listing.name(*number, root, &[]));
            root.own.iter().for_each(|number| listing.count(*number, 1));
            let Some(tree) = root.tree else { continue };
            let Some(Walked::Dirty(dirty)) = self.known(&tree) else { continue };
            dirty.needs.iter().for_each(|(number, count)| listing.count(*number, *count));
            self.name_paths(root, tree, &mut listing);
        }
        for (number, (affected, count)) in listing.0 {
            self.objects.findings.affect(number, affected, count);
        }
    }

    fn name_paths(&mut self, root: &Root, tree: Id, listing: &mut Listing) {
        let mut waiting = vec![(tree, Vec::new())];
        while let Some((id, path)) = waiting.pop() {
            let Some(Walked::Dirty(dirty)) = self.known(&id) else { continue };
            if !dirty.needs.keys().any(|number| listing.has_room(*number)) {
                continue;
            }
            dirty.own.iter().for_each(|number| listing.name(*number, root, &path));
            if !dirty.own.is_empty() {
                continue;
            }
            let mut below = Vec::new();
            // It was read before; what cannot be read now has its finding from then.
            let _again = self.read_tree(&id, |closure, entry| {
                let path = join(&path, &entry.name);
                for number in closure.entry(entry) {
                    listing.name(number, root, &path);
                }
                match entry.node {
                    Node::Directory { tree } if closure.dirty_trees.contains_key(&tree) => {
                        below.push((tree, path));
                    }
                    _ => {}
                }
            });
            waiting.extend(below.into_iter().rev());
        }
    }
}

fn add_needs(into: &mut Needs, more: &Needs) {
    for (number, count) in more {
        let sum = into.entry(*number).or_default();
        *sum = sum.saturating_add(*count);
    }
}

/// A tree whose children are being walked.
struct Open {
    id: Id,
    dirty: Dirty,
    children: Vec<Id>,
}

impl Open {
    fn lost(id: Id, own: Vec<Number>) -> Self {
        let needs = own.iter().map(|number| (*number, 1)).collect();
        Self { id, dirty: Dirty { own, needs }, children: Vec::new() }
    }
}

/// The paths of each finding, so far.
#[derive(Default)]
struct Listing(BTreeMap<Number, (Vec<Affected>, u64)>);

impl Listing {
    fn has_room(&self, number: Number) -> bool {
        self.0.get(&number).is_none_or(|(affected, _)| affected.len() < AFFECTED_MAX)
    }

    fn name(&mut self, number: Number, root: &Root, path: &[u8]) {
        if self.has_room(number) {
            let affected = Affected { holder: root.holder.clone(), path: path.to_vec() };
            self.0.entry(number).or_default().0.push(affected);
        }
    }

    fn count(&mut self, number: Number, more: u64) {
        let (_, count) = self.0.entry(number).or_default();
        *count = count.saturating_add(more);
    }
}
