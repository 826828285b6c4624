//! A wall that the kernel puts up: nothing is made, written or removed beyond it.
//!
//! Invariant: only the thread that works behind it, and those that it starts, are held back.

use std::path::Path;

use landlock::{
    ABI, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
};

/// Does some work on a thread that may make, write and remove names only below a directory, where the
/// kernel can see to that.
pub(super) fn within<T: Send>(directory: &Path, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let walled = scope.spawn(|| {
            restrict(directory);
            work()
        });
        match walled.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Whether the kernel holds this thread back from now on.
fn restrict(directory: &Path) -> bool {
    let writes = AccessFs::from_write(ABI::V3);
    let below = PathBeneath::new(PathFd::new(directory).unwrap(), writes);
    let ruleset = Ruleset::default().handle_access(writes).unwrap().create().unwrap();
    let status = ruleset.add_rule(below).unwrap().restrict_self().unwrap();
    status.ruleset != RulesetStatus::NotEnforced
}

#[test]
fn nothing_is_made_beyond_the_wall() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
    std::fs::create_dir(&inside).unwrap();
    std::fs::create_dir(&outside).unwrap();
    let is_held = std::thread::scope(|scope| scope.spawn(|| restrict(&inside)).join().unwrap());
    if !is_held {
        return crate::mounts::say(
            "hostile repositories: no second wall, as the kernel has no Landlock",
        );
    }
    let refused = within(&inside, || {
        std::fs::write(inside.join("file"), b"inside").unwrap();
        let started = std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(outside.join("started"), b"")).join().unwrap()
        });
        [std::fs::write(outside.join("file"), b""), std::fs::remove_dir(&outside), started]
    });
    for refused in refused {
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    }
    std::fs::write(outside.join("file"), b"not held back here").unwrap();
}
