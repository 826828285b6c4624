//! Project files.

use super::{APP, YAML, told};
use crate::sandbox::Sandbox;

#[test]
fn project_files_of_every_bad_sort_are_refused_with_their_line() {
    let sandbox = Sandbox::with_projects(APP);
    let head = "version: '1'\nproject:\n  app:\n";
    let deep = format!("{head}    include: {}{}\n", "[".repeat(40), "]".repeat(40));
    let long = format!("{YAML}#{}\n", "x".repeat(1 << 20));
    let bad: [(&[u8], usize); 26] = [
        (b"", 1),
        (b"# nothing\n", 1),
        (b"just text\n", 1),
        (b"\xef\xbb\xbfversion: '1'\n", 1),
        (b"version: '1'\nproject: \xff\n", 2),
        (b"version: '1'\nproject:\0\n", 2),
        (b"version: '1'\n\x1b[2J\n", 2),
        (b"\xff\xfev\0e\0", 1),
        (b"version: 1\nproject: {a: {include: [.]}}\n", 1),
        (b"version: '9'\nproject: {a: {include: [.]}}\n", 1),
        (b"version: '1'\n", 1),
        (b"version: '1'\nproject: {}\n", 2),
        (b"version: '1'\nproject:\n  app: {}\n", 3),
        (b"version: '1'\nproject:\n  ../x: {include: [.]}\n", 3),
        (b"version: '1'\nproject:\n  yes: {include: [.]}\n", 3),
        (b"version: '1'\nproject: {a: {include: [.]}}\nmore: 1\n", 3),
        (b"version: '1'\nproject: {a: {include: [.]}}\nversion: '1'\n", 3),
        (b"version: '1'\nproject: {a: {include: [.]}}\njobs: 257\n", 3),
        (b"version: '1'\nproject: {a: {include: [.]}}\n---\nversion: '1'\n", 3),
        (b"version: '1'\nproject:\n  app:\n    include: &a [.]\n", 4),
        (b"version: '1'\nproject:\n  app:\n    include: *a\n", 4),
        (b"version: '1'\nproject:\n  app:\n    include: !!set [.]\n", 4),
        (b"version: '1'\nproject:\n  app:\n    include: [..]\n", 4),
        (b"version: '1'\nproject:\n  app:\n    include: .\n", 4),
        (deep.as_bytes(), 4),
        (long.as_bytes(), 5),
    ];
    for (bytes, line) in bad {
        sandbox.write("runup.yaml", bytes);
        for command in ["backup", "restore -f", "init"] {
            let error = told(&sandbox, &format!("runup --json {command}"), 2);
            let message = error["message"].as_str().unwrap();
            assert_eq!(error["code"], "project_file", "{message}");
            assert!(message.contains("runup.yaml"), "{message}");
            assert!(message.contains(&format!("line {line}")), "{line}: {message}");
            assert!(message.len() < 500 && !message.contains('\x1b'), "{message}");
        }
        told(&sandbox, "runup-ls-tree app", 2);
    }
    for script in ["mkdir runup.yaml", "mkfifo runup.yaml", "ln -s runup.yaml runup.yaml"] {
        sandbox.run(&format!("rm -rf runup.yaml; {script}")).succeeds();
        let error = told(&sandbox, "timeout -s KILL 10 runup --json backup", 2);
        assert!(error["message"].as_str().unwrap().contains("runup.yaml"), "{error}");
    }
    sandbox.run("rm -rf runup.yaml; ln -s absent runup.yaml; runup backup").exits(2);
    assert!(!sandbox.exists("absent"));
    assert_eq!(sandbox.run("rm runup.yaml; runup-ls-snapshots").succeeds().stdout(), "");
}
