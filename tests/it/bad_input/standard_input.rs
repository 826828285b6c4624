//! Records and other items on standard input.

use super::{APP, fed, told};
use crate::sandbox::Sandbox;

#[test]
fn records_on_standard_input_are_whole_or_refused() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("src/file", b"1");
    let record = sandbox.run("runup-write-tree src").succeeds().stdout();
    let record = record.trim_end();
    let swap = |from: &str, to: &str| {
        assert!(record.contains(from), "{from}: {record}");
        record.replacen(from, to, 1).into_bytes()
    };
    let dot = r#"{"path":".","path_b64":null}"#;
    let absent = "7".repeat(64);
    let tree = serde_json::from_str::<serde_json::Value>(record).unwrap()["tree"].clone();
    let tree = tree.as_str().unwrap().to_owned();
    let mut bad: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\r\n \n".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"\xff".to_vec(),
        tree[..63].to_owned().into_bytes(),
        "[".repeat(100_000).into_bytes(),
        format!("{{\"more\":{}", "[".repeat(100_000)).into_bytes(),
        format!("{{\"more\":{}", "{\"a\":".repeat(100_000)).into_bytes(),
        format!("{record} x").into_bytes(),
        format!("{record}\n{record}\n").into_bytes(),
        format!("{record}\0{record}\0").into_bytes(),
        swap("\"files\":1", "\"files\":NaN"),
        swap("\"files\":1", "\"files\":1e999"),
        swap("\"files\":1", "\"files\":-1"),
        swap("\"files\":1", "\"files\":1.5"),
        swap("\"files\":1", "\"files\":\"1\""),
        swap("\"files\":1", "\"files\":18446744073709551616"),
        swap("\"files\":1", "\"files\":1,\"files\":1"),
        swap("{", &format!("{{\"tree\":\"{tree}\",")),
        swap(&tree, &tree.to_uppercase()),
        swap(&tree, &tree[..63]),
        swap(dot, r#"{"path":"\ud800","path_b64":null}"#),
        swap(dot, r#"{"path":"a","path_b64":"Yg=="}"#),
        swap(dot, r#"{"path":"a","path_b64":"YQ=="}"#),
        swap(dot, r#"{"path":"a","path_b64":"!"}"#),
        swap("\"mode\":\"0755\"", "\"mode\":\"10000\""),
        swap("\"mode\":\"0755\"", "\"mode\":\"755\""),
        swap("\"skipped\":[]", "\"skipped\":[{}]"),
        swap("\"links\":null", "\"links\":\"x\""),
    ];
    bad.extend((1..record.len()).step_by(37).map(|length| record.as_bytes()[..length].to_vec()));
    for bytes in bad {
        let start = bytes[..bytes.len().min(300)].escape_ascii().to_string();
        // Far less memory than a parser without limits would take.
        let script = "ulimit -v 2000000; runup-write-snapshot --project app";
        let output = fed(&sandbox, script, &bytes);
        assert_eq!(output.status.code(), Some(2), "{start}: {output:?}");
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["exit_code"], 2, "{start}");
    }
    // Well formed, but of what is not there.
    let output = fed(&sandbox, "runup-write-snapshot --project app", &swap(&tree, &absent));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(sandbox.run("runup-ls-snapshots").succeeds().stdout(), "");
    let output =
        fed(&sandbox, "runup-write-snapshot --project app", format!("{record}\r\n").as_bytes());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    sandbox.run("runup check").succeeds();
}

#[test]
fn records_without_end_are_refused_in_bounded_memory() {
    let sandbox = Sandbox::with_projects(APP);
    let script =
        "ulimit -v 2000000; head -c 300000000 /dev/zero | runup-write-snapshot --project app";
    told(&sandbox, script, 2);
    let script = "head -c 5000000 /dev/zero | tr '\\0' a | runup-cat-object --batch-check";
    told(&sandbox, script, 2);
    let script = "head -c 5000000 /dev/zero | tr '\\0' a | runup-hash-object --stdin-paths";
    told(&sandbox, script, 2);
}

/// Records that are none, whoever reads them.
fn broken_records() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"path":}"#,
        r#"{"path":"a",}"#,
        r#"{"path":"a"}}"#,
        r#"{"path":"a"} {"path":"b"}"#,
        r#"{"path":NaN}"#,
        r#"{"path":"a","id":Infinity}"#,
        r#"{"path":"\x41"}"#,
        r#"{"path":'a'}"#,
        r#"{"path":"a" "id":"b"}"#,
        "{\"path\":\"\u{1}\"}",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Items of which a program may make something, or nothing.
fn odd_items() -> Vec<Vec<u8>> {
    let texts = [
        "\0",
        "{",
        "{\"",
        "\r\n",
        "[]",
        "null",
        "{\"path\":\"a\"",
        r#"{"path":["a"]}"#,
        r#"{"path":1e999,"id":1e999}"#,
        r#"{"path":"\ud800","id":"\udc00"}"#,
        r#"{"path":"a","path_b64":"Yg==","id":7}"#,
        r#"{"path":"a","path":"b","id":"c","id":"d"}"#,
    ];
    let mut items: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).to_vec();
    items.push(b"\xff".to_vec());
    items.push(b"{\"path\":\"\xff\",\"id\":\"\xff\"}".to_vec());
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    items.push(format!("{{\"path\":{open}1{close}}}").into());
    items.push(format!("{{\"more\":{open}1{close}}}").into());
    items.push(format!("{{\"path\":{}1}}", "{\"path\":".repeat(100_000)).into());
    items
}

/// Every program that reads items, with what it needs to do so.
const READERS: [&str; 13] = [
    "runup-cat-object --batch",
    "runup-cat-object --batch-check",
    "runup-cat-snapshot --stdin",
    "runup-check-ignore -n --stdin",
    "runup-checkout app --to ../out --stdin",
    "runup-hash-object --stdin-paths",
    "runup-mktree",
    "runup-mktree --recursive",
    "runup-pack-objects --stdin",
    "runup-rev-list --objects --stdin",
    "runup-rev-parse --stdin",
    "runup-update-ref --stdin",
    "runup-verify-pack --stdin",
];

#[test]
fn broken_records_are_refused_by_every_program_that_reads_some() {
    let sandbox = Sandbox::with_projects(APP);
    sandbox.write("file", b"1");
    sandbox.run("runup backup").succeeds();
    let files = || sandbox.run("find .runup ../out -type f | sort").stdout();
    let before = files();
    for reader in READERS {
        for record in broken_records() {
            let start = record[..record.len().min(100)].escape_ascii().to_string();
            let output = fed(&sandbox, &format!("ulimit -v 2000000; {reader}"), &record);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{reader}: {start}: {stderr}");
            let error: serde_json::Value = serde_json::from_str(stderr.trim_end()).expect(&stderr);
            assert_eq!(error["exit_code"], 2, "{reader}: {start}");
            assert!(stderr.len() < 1000, "{reader}: {start}: {} bytes", stderr.len());
        }
    }
    assert_eq!(files(), before);
    for reader in READERS {
        // No reason to panic, and none to take more memory than is there.
        for item in odd_items() {
            let output = fed(&sandbox, &format!("ulimit -v 2000000; {reader}"), &item);
            let start = item[..item.len().min(100)].escape_ascii().to_string();
            let code = output.status.code();
            assert!(matches!(code, Some(0..=5)), "{reader}: {start}: {output:?}");
        }
    }
}
