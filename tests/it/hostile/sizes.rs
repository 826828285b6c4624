//! Files that claim to be longer than anything can be.

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::list::{List, Section, Segment};
use runup::format::tree::Node;

use super::ground::{Ground, entry, root};

/// Stores a list under an id that it claims.
fn claimed(ground: &Ground, mark: u8, length_bytes: u64, segments: Vec<Segment>) -> Id {
    let id = Id::from_bytes([mark; 32]);
    let (segments, values) = (Section::Inline(segments), Section::Inline(vec![[1; 32]]));
    let list = List { length_bytes, segments, values }.encode();
    ground.put(|worker| worker.put_list(id, Kind::Blob, &list));
    id
}

#[test]
fn sizes_that_cannot_be_are_damage_and_reserve_nothing() {
    const HUGE: u64 = (1 << 63) - 1;
    let ground = Ground::new();
    let small = ground.put_one(Kind::Blob, b"small");
    let chunk = |length_bytes| Segment::Chunk { id: small, length_bytes };
    let zeros = |length_bytes| Segment::Zeros { length_bytes };
    let lists = [
        (HUGE, vec![chunk(5)]),
        (HUGE, vec![]),
        (u64::MAX, vec![chunk(u64::MAX >> 1), chunk(u64::MAX >> 1), chunk(5)]),
        (5, vec![chunk(5)]),
        (5, vec![chunk(6)]),
        (0, vec![]),
        (1 << 20, vec![zeros(HUGE)]),
        ((1 << 20) + 5, vec![zeros(1 << 20), chunk(5)]),
    ];
    let mut entries = Vec::new();
    for (number, (size_bytes, segments)) in lists.into_iter().enumerate() {
        let id = claimed(&ground, number as u8 + 1, size_bytes, segments);
        entries.push(entry(format!("list{number}"), Node::File { size_bytes, id }));
    }
    for size_bytes in [0, 4, 6, HUGE, u64::MAX] {
        let name = format!("whole{size_bytes}");
        entries.push(entry(name, Node::File { size_bytes, id: small }));
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let tree = ground.put_tree(&entries);
    ground.attack(&root(tree), |way, outcome| {
        let report = outcome.report();
        let all = entries.len() as u64;
        assert_eq!((report.errors, report.damaged), (all, all), "{way:?}: {outcome:?}");
        for entry in &entries {
            let path = ground.target().join(str::from_utf8(&entry.name).unwrap());
            assert!(path.symlink_metadata().is_err(), "{way:?}: {}", path.display());
        }
    });
}
