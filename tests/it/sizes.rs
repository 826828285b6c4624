//! How big the programs are.
//!
//! There is a program for each step of a pipeline, so what one takes is taken some thirty times on
//! disk, and once more in memory for each that runs. The budget keeps the whole set near 100 MiB at
//! the worst and a single program below what is read from a cold disk without being noticed; it
//! leaves a third over what they are today. What breaks it is mostly code of other commands that a
//! program drags in, a new dependency, or a table that nobody needs.
//!
//! Invariant: what is counted is what the kernel maps, so debug information does not matter.

use std::path::{Path, PathBuf};

use runup::cli::Layer;
use runup::cli::commands;

const MIB: u64 = 1 << 20;
/// Budgets of a plumbing program and of `runup`, which holds all of them: as released, and with the
/// settings of tests, which optimise less.
const RELEASED: (u64, u64) = (4 * MIB, 8 * MIB);
const TESTED: (u64, u64) = (6 * MIB, 12 * MIB);

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let mut eight = [0; 8];
    eight[..length].copy_from_slice(&bytes[at..at + length]);
    u64::from_le_bytes(eight)
}

/// Bytes of the file that are mapped when it runs: its segments of type `PT_LOAD` (elf(5)).
fn mapped_bytes(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..5], b"\x7fELF\x02", "{}: not a 64-bit ELF file", path.display());
    let (table, entry) = (number(&bytes, 32, 8) as usize, number(&bytes, 54, 2) as usize);
    let headers = (0..number(&bytes, 56, 2) as usize).map(|header| table + header * entry);
    let loaded = headers.filter(|at| number(&bytes, *at, 4) == 1);
    loaded.map(|at| number(&bytes, at + 32, 8)).sum()
}

/// The programs in `RUNUP_PROGRAMS`, which were built for release, or those that were built for
/// tests.
fn programs() -> (PathBuf, (u64, u64)) {
    if let Some(folder) = std::env::var_os("RUNUP_PROGRAMS") {
        return (folder.into(), RELEASED);
    }
    let folder = Path::new(env!("CARGO_BIN_EXE_runup")).parent().unwrap().to_owned();
    (folder, if cfg!(debug_assertions) { TESTED } else { RELEASED })
}

#[test]
fn programs_keep_within_their_budget() {
    let (folder, (plumbing, porcelain)) = programs();
    let names = commands::ALL.iter().filter(|listed| listed.layer == Layer::Plumbing);
    for name in names.map(|listed| format!("runup-{}", listed.name)) {
        let bytes = mapped_bytes(&folder.join(&name));
        assert!((MIB..=plumbing).contains(&bytes), "{name} has {bytes} bytes of {plumbing}");
    }
    let bytes = mapped_bytes(&folder.join("runup"));
    assert!((MIB..=porcelain).contains(&bytes), "runup has {bytes} bytes of {porcelain}");
}
