//! What a program told as stored is durable, also where somebody else stored it and was killed before it
//! was.

use std::panic::{AssertUnwindSafe, catch_unwind};

use runup::base::hash::object_id;
use runup::base::kind::Kind;
use runup::store::{InsertOptions, Inserter, LooseSink, ObjectSink};

use super::backend::Machine;
use super::book::open;
use super::schedule::config;
use crate::random::Random;

/// Stores an object as one process, which is killed before its first operation of this name on what holds
/// the object; whether it came to an end.
fn store(machine: &Machine, bytes: &[u8], in_packs: bool, killed_at: Option<&str>) -> bool {
    let process = machine.turns.add();
    let config = config();
    let act = || {
        let repository = open(machine, &config, Some(process));
        let session = repository.write_session().unwrap();
        if in_packs {
            let options = InsertOptions::new(1, config.compression());
            let inserter = Inserter::new(repository.store(), session.id(), options);
            inserter.run_one(|worker| worker.put(Kind::Blob, bytes).map(drop)).unwrap();
        } else {
            LooseSink::new(repository.store(), session.id()).put(Kind::Blob, bytes).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let storing = scope.spawn(|| {
            let ended = catch_unwind(AssertUnwindSafe(act));
            machine.world().release(process);
            machine.turns.end(process);
            ended.is_ok()
        });
        let mut has_published = false;
        while machine.turns.settle().contains(&process) {
            let next = machine.turns.next(process);
            if has_published && killed_at == Some(next) {
                machine.turns.kill(process);
                continue;
            }
            has_published |= next == "publish";
            machine.turns.let_on(process);
        }
        storing.join().unwrap()
    })
}

#[test]
fn what_was_told_as_stored_survives_whoever_stored_it() {
    for in_packs in [false, true] {
        for seed in 0..20 {
            let machine = Machine::default();
            let bytes = b"stored by two".repeat(50);
            assert!(!store(&machine, &bytes, false, Some("sync")));
            assert!(store(&machine, &bytes, in_packs, None));
            machine.world().cut_power(&mut Random(seed));
            let left = open(&machine, &config(), None);
            let id = object_id(Kind::Blob, &bytes);
            let read = left.store().read(&id, Kind::Blob);
            assert_eq!(read.unwrap(), bytes, "in packs: {in_packs}, seed {seed}");
        }
    }
}
