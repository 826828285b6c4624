//! The context in which the examples of manual pages and the completions run.
//!
//! Two projects and five jobs, on the first five days of November 2026:
//!
//! | job | projects | what is new |
//! |---|---|---|
//! | 1 | `app`, `notes` | all |
//! | 2 | `app`, `notes` | `src/main.c` |
//! | 3 | `notes` | `notes/plan.txt` was deleted |
//! | 4 | `app`, `notes` | `src/list.c` is called `src/queue.c`; the tag `release` |
//! | 5 | `app`, `notes` | `README`, and `src/table.bin`, which is stored as a list |
//!
//! The tag `tag/v1` leads to job 4 of `app`, the pin `pin/old` to job 1. Nothing was changed since
//! job 5.

use crate::sandbox::Sandbox;

const PROJECTS: &str = "  app:
    include: [src, README]
    exclude: ['*.o']
  notes:
    include: [notes]
";

/// Makes the context, in a sandbox of its own.
pub(super) fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_projects(PROJECTS);
    let job = |day: u8, arguments: &str| {
        let date = format!("RUNUP_DATE=2026-11-0{day}T08:00:00Z");
        sandbox.run(&format!("{date} runup backup {arguments}")).succeeds();
    };
    sandbox.write("README", b"An example.\n");
    sandbox.write("src/main.c", b"int main(void) { return 0; }\n");
    sandbox.write("src/list.c", b"#include \"list.h\"\n");
    sandbox.write("src/list.h", b"struct list;\n");
    sandbox.write("src/main.o", b"object\n");
    sandbox.write("notes/plan.txt", b"first\n");
    sandbox.write("notes/todo list.txt", b"buy milk\n");
    job(1, "");
    sandbox.write("src/main.c", b"int main(void) { return 1; }\n");
    job(2, "");
    sandbox.run("rm notes/plan.txt").succeeds();
    job(3, "notes");
    sandbox.run("mv src/list.c src/queue.c").succeeds();
    job(4, "-m 'before the release' --tag release");
    sandbox.write("README", b"An example, explained.\n");
    let table: Vec<u8> = (0..700_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    sandbox.write("src/table.bin", &table);
    job(5, "");
    sandbox.run("runup-update-ref tag/v1 app@4; runup-update-ref pin/old app@1").succeeds();
    sandbox
}

/// Makes another sandbox with all that a first one has in its context.
pub(super) fn copy(sandbox: &Sandbox) -> Sandbox {
    let copy = Sandbox::new();
    let script = format!("cp -a '{}/.' .", sandbox.context().display());
    copy.run(&script).succeeds();
    copy
}
