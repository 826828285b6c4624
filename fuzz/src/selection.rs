//! Includes and excludes, and the paths they are asked about.
//!
//! The bytes are lines: patterns with `+` or `-` before them, paths with anything else.

use runup::source::selection::{Pattern, Root, Selection, Verdict, escape};

/// Whether the patterns make a selection.
pub fn check(bytes: &[u8]) -> bool {
    let (mut includes, mut excludes, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    for line in bytes.split(|byte| *byte == b'\n') {
        match line.split_first() {
            Some((b'+', pattern)) => includes.push(pattern),
            Some((b'-', pattern)) => excludes.push(pattern),
            Some((_, path)) => paths.push(normal(path)),
            None => {}
        }
    }
    paths.iter().for_each(|path| finds_itself(path));
    let Ok(selection) = Selection::new(b"/srv/app", &includes, &excludes) else { return false };
    assert_eq!(selection.excludes().len(), excludes.len());
    let _idle = selection.idle_excludes().count();
    for path in &paths {
        for root in [Root::Context, Root::Absolute] {
            for is_dir in [false, true] {
                let verdict = selection.classify(root, path, is_dir);
                if let Verdict::Excluded { pattern } = verdict {
                    assert!(pattern < excludes.len());
                    assert!(selection.explain(root, path, is_dir).is_some());
                }
                let _decision = selection.decide(root, path, is_dir);
            }
        }
        let _exclusion = selection.exclusion(path, true);
    }
    true
}

/// The path without what no path in a tree has.
fn normal(path: &[u8]) -> Vec<u8> {
    let names = path.split(|byte| *byte == b'/');
    let names: Vec<_> = names.filter(|name| !matches!(*name, b"" | b"." | b"..")).collect();
    let mut path = names.join(&b'/');
    path.retain(|byte| *byte != 0);
    path
}

/// Escaped, a path is the pattern that includes it, and nothing beside it.
fn finds_itself(path: &[u8]) {
    if path.is_empty()
        || path.split(|byte| *byte == b'/').any(|name| matches!(name, b"" | b"." | b".."))
    {
        return;
    }
    let text = escape(path);
    let Ok(pattern) = Pattern::parse(&text) else {
        assert!(text.len() > 1024, "{} cannot be escaped", path.escape_ascii());
        return;
    };
    assert!(!pattern.is_glob() && !pattern.is_negated());
    let selection = Selection::new(b"/srv/app", &[&text], &[b""; 0]).expect("one plain path");
    assert_eq!(selection.classify(Root::Context, path, false), Verdict::Take);
    let other = [path, b"x"].concat();
    assert_eq!(selection.classify(Root::Context, &other, false), Verdict::Outside);
}
