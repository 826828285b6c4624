//! Snapshots that say of their backup what is not true, and those that no backup writes.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use runup::base::kind::Kind;
use runup::base::monitor::Problems;
use runup::format::snapshot::{BytesText, RootRecord, Skipped};
use runup::ops::checkout::{CheckoutRequest, Wanted, checkout};
use runup::ops::restore::selection_of;
use runup::target::Overwrite;

use super::ground::{Ground, Way, directory, look, root, snapshot};

#[test]
fn what_a_snapshot_says_of_its_backup_is_not_believed() {
    let ground = Ground::new();
    let tree = ground.put_tree(&[ground.file("good", b"good")]);
    let texts = |texts: &[&[u8]]| texts.iter().map(|text| BytesText::new(text)).collect::<Vec<_>>();
    let includes: [&[&[u8]]; 6] =
        [&[], &[b".."], &[b"../canary"], &[b"a/../../canary"], &[b""], &[b"/..", b"."]];
    for includes in includes {
        let bad = RootRecord { includes: texts(includes), ..root(tree) };
        ground.attack(&bad, |way, outcome| {
            let is_checkout = matches!(way, Way::Keep | Way::Replace);
            assert!(is_checkout || outcome.is_hostile(), "{way:?}: {outcome:?}");
        });
    }
    for context in [&b""[..], b"context", b"/a/../../b", b"/a\0b"] {
        let bad = RootRecord { context: BytesText::new(context), ..root(tree) };
        // Refused, or of no consequence.
        ground.attack(&bad, |_, outcome| {
            assert!(outcome.is_hostile() || outcome.problems.is_empty());
        });
    }
    let skipped = |path: &[u8]| Skipped { path: BytesText::new(path), reason: "unreadable".into() };
    for path in [&b""[..], b"/", b"..", b"../canary", b"relative/file", b"\xff", b"."] {
        let bad = RootRecord { skipped: vec![skipped(path)], ..root(tree) };
        ground.attack(&bad, |way, outcome| {
            assert_eq!(outcome.report().errors, 0, "{way:?}: {outcome:?}");
            assert_eq!(fs::read(ground.path("good")).unwrap(), b"good");
        });
    }
    // Absolute includes stay below a location.
    let canary = ground.canary();
    let absolute = texts(&[canary.as_os_str().as_bytes()]);
    let bad =
        RootRecord { includes: absolute, context: BytesText::new(b"/elsewhere"), ..root(tree) };
    ground.attack(&bad, |way, outcome| {
        assert_eq!(outcome.report().errors, 0, "{way:?}: {outcome:?}");
    });
}

#[test]
fn snapshots_that_no_backup_writes_are_damage() {
    let ground = Ground::new();
    let good = snapshot(root(ground.put_tree(&[])));
    let text = String::from_utf8(good.encode()).unwrap();
    let stored = |text: &str| {
        let id = ground.put_one(Kind::Snapshot, text.as_bytes());
        ground.repository.snapshot(&id)
    };
    assert_eq!(stored(&text).unwrap(), good);
    let swap = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let dot = r#"{"path":".","path_b64":null}"#;
    let bad = [
        String::new(),
        "null".into(),
        "[".repeat(100_000),
        format!("{text}\n"),
        format!("{text}{text}"),
        swap(",", ", "),
        swap("{", "{\"more\":1,"),
        swap("{", "{\"project\":\"app\","),
        swap("\"project\":\"app\"", "\"project\":\"../app\""),
        swap("\"project\":\"app\"", "\"project\":\"\""),
        swap("\"tags\":[]", "\"tags\":[\"b\",\"a\"]"),
        swap("\"tags\":[]", "\"tags\":[\"a\",\"a\"]"),
        swap("\"files\":0", "\"files\":9007199254740992"),
        swap("\"files\":0", "\"files\":-1"),
        swap("\"files\":0", "\"files\":1e999"),
        swap("\"files\":0", "\"files\":NaN"),
        swap("\"users\":{}", "\"users\":{\"01\":\"a\"}"),
        swap("\"users\":{}", "\"users\":{\"4294967296\":\"a\"}"),
        swap(dot, r#"{"path":".","path_b64":"Lg=="}"#),
        swap(dot, r#"{"path":".","path_b64":"/w=="}"#),
        swap(dot, r#"{"path":".","path_b64":"!"}"#),
        swap(dot, r#"{"path":"\ud800","path_b64":null}"#),
        swap("\"root\":null", r#""root":{"gid":0,"mode":"99","mtime":"0","uid":0,"xattrs":[]}"#),
        swap("\"root\":null", r#""root":{"gid":0,"mode":"10000","mtime":"0","uid":0,"xattrs":[]}"#),
    ];
    for text in bad {
        let start: String = text.chars().take(200).collect();
        assert!(stored(&text).is_err(), "{start}");
    }
}

#[test]
fn a_selection_by_path_leads_nowhere_else() {
    let ground = Ground::new();
    let below = ground.put_tree(&[ground.file("file", b"evil")]);
    let tree = ground.put_tree(&[directory("dir", ground.put_tree(&[directory("deep", below)]))]);
    let verdict = |path: &[u8], is_directory: bool| match (path, is_directory) {
        (b"dir" | b"dir/deep", true) => Wanted::Container,
        _ => Wanted::Yes,
    };
    for overwrite in [Overwrite::Never, Overwrite::Replace] {
        ground.plant();
        let before = look(&ground.canary(), &[]);
        let request = CheckoutRequest {
            tree,
            links: None,
            root: None,
            to: &ground.target(),
            wanted: &verdict,
            overwrite,
            has_devices: false,
            workers: 1,
        };
        let report = checkout(ground.repository.store(), &request, &Problems::default()).unwrap();
        assert_eq!(report.errors, u64::from(overwrite == Overwrite::Never));
        assert_eq!(look(&ground.canary(), &[]), before);
    }
    assert!(selection_of(&snapshot(root(tree))).is_ok());
}
