//! Every state that a cut can leave of a disk, from the log of what was written to it.
//!
//! Invariant: a state holds all that was flushed before the cut, and of what came after it all or
//! only some, for a disk may write in any order what it was not told to flush.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::{Disk, Event};
use super::history::{Acknowledged, History, job};
use super::volume::Kind;

/// What was told to somebody who waited for it.
#[derive(Debug, Clone)]
enum Told {
    /// There is a repository.
    Made,
    /// These jobs are there.
    Jobs(Acknowledged),
    /// A forget began, which may show before it is told as done.
    Forgets(u64),
}

type Log = Vec<Event<Told>>;

/// Which of the writes are there that were not flushed before the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unflushed {
    All,
    /// Half of them, by a seed.
    Half(u64),
    /// Half of their pages of 4 KiB.
    HalfOfPages(u64),
}

const PAGE: usize = 4096;

/// Backs up, and tries so many states; what came out, for people.
pub(super) fn try_states(kind: Kind, folder: &Path, wanted: usize) -> String {
    let base = folder.join("base");
    kind.make(&base).unwrap();
    let image = folder.join("image");
    copy_sparse(&base, &image);
    let history = History::new(folder);
    let backups = 4 + wanted / 40;
    let (history, log) = match write(kind, &image, folder, history, backups) {
        Ok(written) => written,
        Err(reason) => return format!("skipped: {reason}"),
    };
    let count = |is: fn(&Event<Told>) -> bool| log.iter().filter(|event| is(event)).count();
    let (writes, flushes) = (
        count(|event| matches!(event, Event::Write { .. })),
        count(|event| matches!(event, Event::Flush)),
    );
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(wanted);
    let next = AtomicUsize::new(0);
    let work = |worker: usize| {
        let folder = folder.join(format!("worker-{worker}"));
        std::fs::create_dir(&folder).unwrap();
        // Parts in order, so that each worker goes through the log once.
        let mut durable = Durable::new(&log, &base, &folder);
        let mut made = 0;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= wanted {
                return made;
            }
            let cut = (number + 1) * log.len() / wanted;
            let seed = number as u64;
            let unflushed = match number % 3 {
                0 => Unflushed::All,
                1 => Unflushed::Half(seed),
                _ => Unflushed::HalfOfPages(seed),
            };
            let judged = durable.state(cut, unflushed).and_then(|told| {
                let judged = judge(kind, &folder, &history, &told)?;
                made += usize::from(judged);
                Ok(())
            });
            if let Err(why) = judged {
                panic!("{}, {unflushed:?} at event {cut}: {why}", kind.name());
            }
        }
    };
    let with_repository: usize = std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    format!(
        "{wanted} states survived, {with_repository} of them with a repository that was told of; \
         {writes} writes and {flushes} flushes of {backups} backups, their forgets and prunes"
    )
}

/// Makes a repository on a disk, backs up and forgets; the log of the disk.
fn write(
    kind: Kind,
    image: &Path,
    folder: &Path,
    mut history: History,
    backups: usize,
) -> Result<(History, Log), String> {
    let disk = Disk::new(image, &folder.join("log"))?;
    let at = folder.join("logged");
    let mounted = kind.mount(disk.path(), &at).unwrap();
    let repository = at.join("repository");
    history.run(&repository, "exec runup init --json").unwrap();
    disk.tell(Told::Made);
    let mut acknowledged = Acknowledged::default();
    for number in 1..=backups {
        let told = history.run(&repository, "exec runup backup --json").unwrap();
        acknowledged.jobs.insert(job(&told).unwrap(), history.source());
        disk.tell(Told::Jobs(acknowledged.clone()));
        history.change();
        if number % 3 == 0 {
            let oldest = *acknowledged.jobs.keys().next().unwrap();
            let oldest = oldest.max(acknowledged.forgotten.last().map_or(0, |last| last + 1));
            disk.tell(Told::Forgets(oldest));
            let script = format!("exec runup forget app --job {oldest} --json");
            history.run(&repository, &script).unwrap();
            acknowledged.forgotten.insert(oldest);
            disk.tell(Told::Jobs(acknowledged.clone()));
        }
        if number % 4 == 0 {
            // It changes nothing of what was told.
            history.run(&repository, "exec runup prune --max-unused 0% --json").unwrap();
        }
    }
    mounted.unmount().unwrap();
    Ok((history, disk.into_log()))
}

/// What was told before a cut.
#[derive(Debug, Default)]
struct Before {
    is_made: bool,
    acknowledged: Acknowledged,
    maybe_forgotten: Option<u64>,
}

/// The disk as it was flushed up to some event.
struct Durable<'a> {
    log: &'a Log,
    folder: &'a Path,
    image: File,
    /// Events up to here are in the image.
    done: usize,
    told: Before,
    /// Events up to here are in `told`.
    heard: usize,
}

impl<'a> Durable<'a> {
    fn new(log: &'a Log, base: &Path, folder: &'a Path) -> Self {
        let path = folder.join("durable");
        copy_sparse(base, &path);
        let image = File::options().read(true).write(true).open(path).unwrap();
        Self { log, folder, image, done: 0, told: Before::default(), heard: 0 }
    }

    /// Makes the state after a cut, as `state` in the folder; what was told before. Cuts are asked for
    /// in their order.
    fn state(&mut self, cut: usize, unflushed: Unflushed) -> Result<Before, String> {
        let is_flush = |event: &Event<Told>| matches!(event, Event::Flush);
        let flushed = self.log[..cut].iter().rposition(is_flush).unwrap_or(0);
        for event in &self.log[self.done..flushed.max(self.done)] {
            put(&self.image, event, Unflushed::All, &mut 0);
        }
        self.done = self.done.max(flushed);
        let path = self.folder.join("state");
        copy_sparse(&self.folder.join("durable"), &path);
        let state = File::options().write(true).open(path).map_err(|error| error.to_string())?;
        let mut random = match unflushed {
            Unflushed::All => 0,
            Unflushed::Half(seed) | Unflushed::HalfOfPages(seed) => seed,
        };
        for event in &self.log[flushed..cut] {
            put(&state, event, unflushed, &mut random);
        }
        self.hear(cut);
        Ok(Before {
            is_made: self.told.is_made,
            acknowledged: self.told.acknowledged.clone(),
            maybe_forgotten: self.told.maybe_forgotten,
        })
    }

    fn hear(&mut self, cut: usize) {
        for event in &self.log[self.heard..cut] {
            match event {
                Event::Told(Told::Made) => self.told.is_made = true,
                Event::Told(Told::Jobs(acknowledged)) => {
                    self.told.acknowledged = acknowledged.clone();
                    self.told.maybe_forgotten = None;
                }
                Event::Told(Told::Forgets(job)) => self.told.maybe_forgotten = Some(*job),
                Event::Write { .. } | Event::Flush => {}
            }
        }
        self.heard = cut;
    }
}

/// The next of a sequence of bits without a pattern (splitmix64).
fn flip(random: &mut u64) -> bool {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & 1 == 1
}

fn put(image: &File, event: &Event<Told>, which: Unflushed, random: &mut u64) {
    let Event::Write { offset, bytes } = event else { return };
    match which {
        Unflushed::All => image.write_all_at(bytes, *offset).unwrap(),
        Unflushed::Half(_) => {
            if flip(random) {
                image.write_all_at(bytes, *offset).unwrap();
            }
        }
        Unflushed::HalfOfPages(_) => {
            for (number, page) in bytes.chunks(PAGE).enumerate() {
                if flip(random) {
                    image.write_all_at(page, offset + (number * PAGE) as u64).unwrap();
                }
            }
        }
    }
}

/// Mounts the state and judges what is on it; whether a repository was told of.
fn judge(kind: Kind, folder: &Path, history: &History, told: &Before) -> Result<bool, String> {
    let at = folder.join("volume");
    let (repository, out) = (at.join("repository"), folder.join("out"));
    let cache = tempfile::tempdir_in(folder).unwrap();
    let mounted = kind.mount(&folder.join("state"), &at).map_err(|why| format!("mount: {why}"))?;
    if !told.is_made {
        // Perhaps it is there, perhaps not: then it is made now.
        let made = history.start(&repository, "exec runup init --json").end()?.exits(&[0, 1])?;
        made.told()?;
    }
    history.judge(&repository, &out, &told.acknowledged, told.maybe_forgotten)?;
    let job = history.back_up(&repository, cache.path())?;
    history.restores(&repository, &out, job, &history.source())?;
    mounted.unmount().map_err(|error| format!("unmount: {error}"))?;
    Ok(told.is_made)
}

/// Copies a file that is mostly holes.
fn copy_sparse(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("--sparse=always").args([from, to]).status();
    assert!(copied.unwrap().success());
}
