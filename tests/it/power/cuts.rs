//! Cuts at a moment of a backup, a forget or a prune.
//!
//! Invariant: all that outlives a cut is what the file system had written by then, and what the
//! programs keep elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::history::{Acknowledged, History, job};
use super::volume::{Kind, cut_power};

/// Cuts after which there is a new repository, so that the volume does not fill.
const CUTS_OF_ONE: u64 = 40;

const CANARY: &[u8] = &[b'c'; 20_000];

/// Cuts the power so often; what came out, for people.
pub(super) fn cut(kind: Kind, folder: &Path, cuts: u64) -> String {
    let mut told = BTreeMap::new();
    let mut done = 0;
    while done < cuts {
        let folder = tempfile::tempdir_in(folder).unwrap();
        let more = CUTS_OF_ONE.min(cuts - done);
        Series::new(kind, folder.path()).run(done, more, &mut told);
        done += more;
    }
    assert!(told["files lost that were not flushed"] > 0, "nothing was cut: {told:?}");
    let told: Vec<_> = told.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
    format!("{cuts} cuts survived: {}", told.join(", "))
}

struct Series<'a> {
    kind: Kind,
    folder: &'a Path,
    history: History,
    acknowledged: Acknowledged,
    /// How long a backup takes that is not cut.
    usual: Duration,
}

impl<'a> Series<'a> {
    fn new(kind: Kind, folder: &'a Path) -> Self {
        kind.make(&folder.join("image")).unwrap();
        let history = History::new(folder);
        Self { kind, folder, history, acknowledged: Acknowledged::default(), usual: Duration::ZERO }
    }

    fn run(&mut self, first: u64, cuts: u64, told: &mut BTreeMap<&'static str, u64>) {
        let (image, at) = (self.folder.join("image"), self.folder.join("volume"));
        let repository = at.join("repository");
        let mut mounted = self.kind.mount(&image, &at).unwrap();
        self.history.run(&repository, "exec runup init --json").unwrap();
        self.back_up(&repository);
        self.history.change();
        self.back_up(&repository);
        self.history.run(&repository, "exec runup forget app --job 1").unwrap();
        self.acknowledged.forgotten.insert(1);
        for number in first..first + cuts {
            // What nobody flushes shows that the power was cut.
            let canary = at.join(format!("canary-{number}"));
            std::fs::write(&canary, CANARY).unwrap();
            let (what, maybe_forgotten) = self.cut_one(number, &repository);
            *told.entry(what).or_default() += 1;
            mounted.unmount().unwrap();
            mounted = self.kind.mount(&image, &at).unwrap();
            let is_lost = std::fs::read(&canary).map_or(true, |found| found != CANARY);
            *told.entry("files lost that were not flushed").or_default() += u64::from(is_lost);
            let listed = self
                .history
                .judge(&repository, &self.folder.join("out"), &self.acknowledged, maybe_forgotten)
                .unwrap_or_else(|why| panic!("{}, cut {number}: {why}", self.kind.name()));
            if let Some(job) = maybe_forgotten.filter(|job| !listed.contains(job)) {
                self.acknowledged.forgotten.insert(job);
            }
            // One that was published, but not told any more, has to be right as well.
            for job in listed {
                let source = || self.history.source();
                self.acknowledged.jobs.entry(job).or_insert_with(source);
            }
            self.history.change();
            self.back_up(&repository);
        }
    }

    fn back_up(&mut self, repository: &Path) {
        let began = Instant::now();
        let told = self.history.run(repository, "exec runup backup --json").unwrap();
        self.usual = began.elapsed();
        self.acknowledged.jobs.insert(job(&told).unwrap(), self.history.source());
    }

    /// Cuts one command; what became of it, and which job may have been forgotten.
    fn cut_one(&mut self, number: u64, repository: &Path) -> (&'static str, Option<u64>) {
        self.history.change();
        let forgotten = &self.acknowledged.forgotten;
        let oldest = self.acknowledged.jobs.keys().find(|job| !forgotten.contains(job)).copied();
        let oldest = oldest.filter(|_| number % 4 == 3);
        let prunes = number % 4 == 2;
        let (script, span) = match oldest {
            Some(job) => (format!("exec runup forget app --job {job} --json"), self.usual / 3),
            None if prunes => ("exec runup prune --max-unused 0% --json".to_owned(), self.usual),
            None => ("exec runup backup --json".to_owned(), self.usual * 5 / 4),
        };
        let running = self.history.start(repository, &script);
        // Spread over the whole of it, in an order of no pattern.
        std::thread::sleep(span * (number * 7919 % 1000) as u32 / 1000);
        cut_power(repository.parent().unwrap());
        // Unlike with the power gone, the program goes on for a moment. What it tells of a file system
        // that was stopped has to be true as well.
        let ended = running.end().unwrap();
        let is_done = ended.code() == Some(0);
        if !is_done {
            ended.told().unwrap();
        }
        match (oldest, is_done) {
            (Some(job), true) => {
                self.acknowledged.forgotten.insert(job);
                ("forgets told as done", None)
            }
            (Some(job), false) => ("forgets cut", Some(job)),
            (None, true) if prunes => ("prunes told as done", None),
            (None, false) if prunes => ("prunes cut", None),
            (None, true) => {
                let job = job(&ended).unwrap();
                self.acknowledged.jobs.insert(job, self.history.source());
                ("backups told as done", None)
            }
            (None, false) => ("backups cut", None),
        }
    }
}
