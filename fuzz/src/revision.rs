//! Revisions, as a repository with a few jobs, refs and paths resolves them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::tz::TimeZone;
use tempfile::TempDir;

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::compress::Compression;
use runup::format::snapshot::{RootRecord, Snapshot};
use runup::format::tree::{self, Entry, Metadata, Node};
use runup::ops::update_ref::{Change, Expected, RefUpdate, update_refs};
use runup::repository::{InitOptions, RefTarget, Repository};
use runup::store::{InsertOptions, Inserter, WriteError};

/// Whether the bytes are a revision that leads to something.
pub fn check(revision: &[u8]) -> bool {
    let (_, repository) = REPOSITORY.get_or_init(build);
    let Ok(resolved) = repository.resolve(revision, &TimeZone::UTC) else { return false };
    // The id leads to the same object, but for entries that are none.
    if resolved.kind != Kind::Part {
        let by_id = repository.resolve(resolved.id.to_hex().as_bytes(), &TimeZone::UTC);
        let by_id = by_id.expect("an id that is there");
        assert_eq!((by_id.id, by_id.kind), (resolved.id, resolved.kind));
    }
    assert_eq!(resolved.path.is_empty(), resolved.entry.is_none());
    assert!(!resolved.path.starts_with(b"/") && !resolved.path.ends_with(b"/"));
    assert!(resolved.job.is_none() || resolved.project.is_some());
    true
}

static REPOSITORY: OnceLock<(TempDir, Repository)> = OnceLock::new();

fn build() -> (TempDir, Repository) {
    let folder = tempfile::tempdir().expect("a directory");
    let options = InitOptions { created: "2026-11-22T00:00:00Z".into(), ..InitOptions::default() };
    let repository = Repository::init(&folder.path().join("repository"), &options).expect("init");
    for (job, projects) in [(1, &["app", "web"][..]), (2, &["app"]), (3, &["app", "latest"])] {
        let session = repository.write_session().expect("session");
        let inserter = Inserter::new(
            repository.store(),
            session.id(),
            InsertOptions::new(1, Compression::default()),
        );
        let (published, _) = inserter
            .run_one(|worker| -> Result<_, WriteError> {
                let bytes = [b'a' + job];
                let file = worker.put(Kind::Blob, &bytes)?;
                let metadata = Metadata::default();
                let file = Node::File { size_bytes: 1, id: file };
                let below =
                    [Entry { name: b"file"[..].into(), metadata: metadata.clone(), node: file }];
                let below = worker.put(Kind::Tree, &tree::encode(&below))?;
                let target = b"dir/file"[..].into();
                let root = [
                    Entry {
                        name: b"dir"[..].into(),
                        metadata: metadata.clone(),
                        node: Node::Directory { tree: below },
                    },
                    Entry { name: b"link"[..].into(), metadata, node: Node::Symlink { target } },
                ];
                let root = worker.put(Kind::Tree, &tree::encode(&root))?;
                let put = |project: &&str| {
                    let snapshot = snapshot(project, job, root);
                    Ok(((*project).to_owned(), worker.put(Kind::Snapshot, &snapshot.encode())?))
                };
                projects.iter().map(put).collect::<Result<BTreeMap<_, _>, WriteError>>()
            })
            .expect("stored");
        session.publish(&published).expect("published");
    }
    let id = repository.job(1).expect("read").expect("there").projects["app"];
    for name in ["tag/v1", "pin/first"] {
        let change = Change::Set(RefTarget { id, kind: Kind::Snapshot });
        let update = RefUpdate { name: name.into(), expected: Expected::Absent, change };
        update_refs(&repository, &[update]).expect("refs");
    }
    std::fs::create_dir_all(folder.path().join("repository/forgotten/00000002"))
        .expect("directory");
    std::fs::write(folder.path().join("repository/forgotten/00000002/app"), b"").expect("mark");
    (folder, repository)
}

fn snapshot(project: &str, job: u8, tree: Id) -> Snapshot {
    Snapshot {
        project: project.to_owned(),
        root: RootRecord::of_tree(tree),
        parent: None,
        time: format!("2026-11-{:02}T05:00:00+00:00", 20 + job),
        host: "host".into(),
        user: "user".into(),
        description: None,
        tags: vec![],
        program_version: "0.1.0".into(),
    }
}
