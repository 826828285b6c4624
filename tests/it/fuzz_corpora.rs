//! The corpora of the fuzz targets, replayed: what was found there once is found here for ever.
//!
//! Invariant: the checks are those of the targets, from the same files; and each decoder takes the seeds
//! of its corpus, so that fuzzing goes on from what is valid when a format has changed. `RUNUP_REWRITE=1`
//! writes the seeds again; `RUNUP_MUTATIONS` is how many times each input is changed at random.

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "the modules are those of another crate")]
mod checks;
mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use self::checks::{ALL, Check};

/// What the names of seeds begin with; any other input was found by a target.
const SEED: &str = "seed-";
/// Bytes of all corpora together, at most.
const CORPORA_BYTES_MAX: u64 = 400 << 10;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// The inputs of a target by name, in order.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let listed = fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("{target}: {error}"));
    let mut inputs: Vec<_> = listed
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Runs a check; its answer, or what it panicked with.
fn outcome(check: Check, bytes: &[u8]) -> Result<bool, String> {
    catch_unwind(AssertUnwindSafe(|| check(bytes))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    })
}

#[test]
fn each_decoder_takes_its_seeds() {
    if std::env::var_os("RUNUP_REWRITE").is_some() {
        for (target, name, bytes) in seeds::all() {
            fs::create_dir_all(folder(target)).unwrap();
            fs::write(folder(target).join(format!("{SEED}{name}")), bytes).unwrap();
        }
    }
    let expected: BTreeSet<_> = seeds::all()
        .into_iter()
        .map(|(target, name, _)| (target, format!("{SEED}{name}")))
        .collect();
    let mut found = BTreeSet::new();
    let mut corpora_bytes = 0;
    for (target, check) in ALL {
        for (name, bytes) in inputs(target) {
            corpora_bytes += bytes.len() as u64;
            if name.starts_with(SEED) {
                assert_eq!(outcome(check, &bytes), Ok(true), "{target}/{name}");
                found.insert((target, name));
            }
        }
        assert!(found.iter().any(|(of, _)| *of == target), "{target} has no seed");
    }
    assert_eq!(found, expected, "RUNUP_REWRITE=1 writes them, but removes none");
    assert!(corpora_bytes < CORPORA_BYTES_MAX, "{corpora_bytes} bytes");
}

#[test]
fn what_was_found_is_survived() {
    for (target, check) in ALL {
        for (name, bytes) in inputs(target) {
            let outcome = outcome(check, &bytes);
            assert!(outcome.is_ok(), "{target}/{name}: {outcome:?}");
        }
    }
}

/// Numbers that look random, the same ones every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }

    /// Changes bytes as damage, mistakes and malice do.
    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.below(256) as u8,
            2 => bytes.insert(at, self.below(256) as u8),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + 1 + self.below(8)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            5 => {
                // Lengths and counts at their bounds.
                let extremes: [&[u8]; 4] = [&[0; 8], &[0xff; 8], &[0xff; 9], &[0x80; 4]];
                let end = bytes.len().min(at + 8);
                bytes.splice(at..end, extremes[self.below(4)].iter().copied());
            }
            _ => {
                let from = self.below(other.len() + 1);
                let length = self.below(64).min(other.len() - from);
                bytes.splice(at..at, other[from..from + length].iter().copied());
            }
        }
    }
}

#[test]
fn changed_inputs_are_survived() {
    let mutations = std::env::var("RUNUP_MUTATIONS").ok();
    let mutations: usize = mutations.map_or(300, |count| count.parse().unwrap());
    for (target, check) in ALL {
        let inputs = inputs(target);
        let mut numbers = Numbers(7);
        for (name, bytes) in &inputs {
            for mutation in 0..mutations {
                let mut changed = bytes.clone();
                for _ in 0..=numbers.below(4) {
                    let other = &inputs[numbers.below(inputs.len())].1;
                    numbers.change(&mut changed, other);
                }
                let outcome = outcome(check, &changed);
                let shown = changed[..changed.len().min(600)].escape_ascii().to_string();
                assert!(
                    outcome.is_ok(),
                    "{target}/{name}, change {mutation}: {outcome:?}\n{shown}"
                );
            }
        }
    }
}
