//! Whether everything that jobs and refs need is there and proved: the walk of the good day.
//!
//! Invariant: it answers yes or gives up. Only a walk that finds nothing amiss ends here; what is wrong
//! is found out, and told, by the walk that keeps account of paths.
//!
//! Several threads share the trees, depth first and in the order of names, which is the order in which
//! backups pack them. Each tree and list is claimed by its mark in the table, so it is read once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::queue::Queue;
use super::table::{Claim, Presence, Table};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::monitor::Monitor;
use crate::format::list::{List, Segment};
use crate::format::tree;
use crate::ops::closure::{of_entry, pages};
use crate::store::{ReadError, Store, Stored};

/// References that are gathered before they are looked up in the order of their ids, so that what one
/// look-up fetches from memory serves the next.
const GATHERED_MAX: usize = 1 << 16;

/// What was walked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sound {
    /// Distinct trees.
    pub(super) trees: u64,
    /// Distinct lists.
    pub(super) lists: u64,
    /// Whether something is needed that no index leads to.
    pub(super) needs_unindexed: bool,
}

/// Something to read.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// A tree, and how many trees are above it.
    Tree(Id, usize),
    List(Id, Kind),
}

struct Shared<'a> {
    store: &'a Store,
    table: &'a Table<'a>,
    monitor: &'a dyn Monitor,
    has_failed: AtomicBool,
    /// Claims of what no index leads to.
    claims: Mutex<HashSet<(Id, Kind, Claim)>>,
}

/// Walks from these trees to all that they need, and through all stored lists if asked; `None` if
/// anything is amiss, or the user wants it to stop.
pub(super) fn walk(
    (store, table): (&Store, &Table<'_>),
    roots: &[Id],
    all_lists: bool,
    workers: usize,
    monitor: &dyn Monitor,
) -> Option<Sound> {
    let (has_failed, claims) = (AtomicBool::new(false), Mutex::default());
    let shared = Shared { store, table, monitor, has_failed, claims };
    let mut first = Walker::new(&shared);
    if !roots.iter().all(|root| first.reach(root, Kind::Tree, 0)) {
        return None;
    }
    let lists = table.lists().take_while(|_| all_lists);
    let lists = lists.filter(|(id, kind)| shared.claims(id, *kind, Claim::List));
    let roots = std::mem::take(&mut first.waiting);
    let tasks = roots.into_iter().chain(lists.map(|(id, kind)| Task::List(id, kind)));
    let queue = Queue::new(tasks);
    let mut sound = first.sound;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.max(1))
            .map(|_| scope.spawn(|| Walker::new(&shared).work(&queue)))
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(part) => sound.add(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    (!shared.has_failed.load(Ordering::Relaxed)).then_some(sound)
}

impl Sound {
    fn add(&mut self, other: Self) {
        self.trees += other.trees;
        self.lists += other.lists;
        self.needs_unindexed |= other.needs_unindexed;
    }
}

impl Shared<'_> {
    /// Whether nobody else has claimed this.
    fn claims(&self, id: &Id, kind: Kind, claim: Claim) -> bool {
        self.table.claim(id, kind, claim).unwrap_or_else(|| {
            let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
            claims.insert((*id, kind, claim))
        })
    }
}

struct Walker<'w, 'a> {
    shared: &'w Shared<'a>,
    waiting: Vec<Task>,
    /// What was met, is no tree, and was not looked up yet.
    gathered: Vec<(Id, Kind)>,
    sound: Sound,
}

impl<'w, 'a> Walker<'w, 'a> {
    fn new(shared: &'w Shared<'a>) -> Self {
        Self { shared, waiting: Vec::new(), gathered: Vec::new(), sound: Sound::default() }
    }

    fn work<I: Iterator<Item = Task>>(mut self, queue: &Queue<Task, I>) -> Sound {
        while let Some(task) = queue.next() {
            self.waiting.push(task);
            while let Some(task) = self.waiting.pop() {
                self.step(|walker| walker.task(task));
                if self.waiting.len() > 1 && queue.is_dry() {
                    let half = self.waiting.len() / 2;
                    queue.add(self.waiting.drain(..half).rev());
                }
            }
            queue.done();
        }
        self.step(Self::look_up_gathered);
        while let Some(task) = self.waiting.pop() {
            self.step(|walker| walker.task(task));
        }
        self.sound
    }

    /// Does something, unless nothing more is to be done.
    fn step(&mut self, work: impl FnOnce(&mut Self) -> bool) {
        let has_ended =
            self.shared.has_failed.load(Ordering::Relaxed) || self.shared.monitor.is_cancelled();
        if has_ended || !work(self) {
            self.shared.has_failed.store(true, Ordering::Relaxed);
            self.waiting.clear();
            self.gathered.clear();
        }
    }

    fn look_up_gathered(&mut self) -> bool {
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.sort_unstable_by_key(|(id, _)| id.head());
        gathered.dedup();
        let table = self.shared.table;
        let are_there =
            table.look_up_sorted(&gathered, |id, kind, presence| self.met(id, kind, 0, presence));
        gathered.clear();
        self.gathered = gathered;
        are_there
    }

    fn task(&mut self, task: Task) -> bool {
        let from = self.waiting.len();
        let is_sound = match task {
            Task::Tree(id, depth) => self.tree(&id, depth),
            Task::List(id, kind) => self.list(&id, kind),
        };
        if let Some(found) = self.waiting.get_mut(from..) {
            found.reverse();
        }
        is_sound
    }

    /// Whether a copy of an object can be used; what has to be read for that is put on the stack.
    fn reach(&mut self, id: &Id, kind: Kind, depth: usize) -> bool {
        let presence = self.shared.table.look_up(id, kind);
        self.met(id, kind, depth, presence)
    }

    fn met(&mut self, id: &Id, kind: Kind, depth: usize, presence: Presence) -> bool {
        let Presence::Present { has_list, is_indexed, .. } = presence else { return false };
        self.sound.needs_unindexed |= !is_indexed;
        if kind == Kind::Tree && self.shared.claims(id, kind, Claim::Tree) {
            self.waiting.push(Task::Tree(*id, depth));
        }
        if has_list && self.shared.claims(id, kind, Claim::List) {
            self.waiting.push(Task::List(*id, kind));
        }
        true
    }

    fn tree(&mut self, id: &Id, depth: usize) -> bool {
        self.sound.trees += 1;
        let read = match self.shared.store.load(id, Kind::Tree) {
            Ok(Stored::Whole(bytes)) => return depth < DEPTH_MAX && self.entries(&bytes, depth),
            Ok(Stored::List(_)) => self.shared.store.read(id, Kind::Tree),
            Err(_) => return false,
        };
        depth < DEPTH_MAX && read.is_ok_and(|bytes| self.entries(&bytes, depth))
    }

    fn entries(&mut self, bytes: &[u8], depth: usize) -> bool {
        tree::entries(bytes).all(|entry| {
            entry.is_ok_and(|entry| {
                of_entry(&entry).all(|(id, kind)| {
                    if kind == Kind::Tree {
                        return self.reach(&id, kind, depth + 1);
                    }
                    self.gathered.push((id, kind));
                    self.gathered.len() < GATHERED_MAX || self.look_up_gathered()
                })
            })
        })
    }

    fn list(&mut self, id: &Id, kind: Kind) -> bool {
        match self.shared.store.load(id, kind) {
            Ok(Stored::Whole(_)) => true,
            Ok(Stored::List(list)) => self.list_parts(id, kind, &list),
            Err(_) => false,
        }
    }

    fn list_parts(&mut self, id: &Id, kind: Kind, list: &List) -> bool {
        self.sound.lists += 1;
        let store = self.shared.store;
        let mut are_there = pages(list).all(|page| self.has_piece(&page, Kind::Page));
        let walked = store.prove(id, kind, list).and_then(|()| {
            store.for_each_segment(list, |segment| {
                if let Segment::Chunk { id, .. } = segment {
                    are_there &= self.has_piece(&id, kind.chunk_kind());
                }
                Ok::<_, ReadError>(())
            })
        });
        are_there && walked.is_ok()
    }

    /// Whether a page or chunk of a list, which is no list itself, can be used.
    fn has_piece(&mut self, id: &Id, kind: Kind) -> bool {
        let present = self.shared.table.look_up(id, kind);
        let Presence::Present { has_whole, is_indexed, .. } = present else { return false };
        self.sound.needs_unindexed |= !is_indexed;
        has_whole
    }
}
