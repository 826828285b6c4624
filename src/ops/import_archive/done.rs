//! What an import has come to: the tree so far, what is not in it, who owns what.
//!
//! Invariant: each member that is left out is told once and stands in the record.

use std::collections::BTreeMap;

use super::tree_builder::TreeBuilder;
use super::{ImportError, ImportReport};
use crate::base::kind::Kind;
use crate::base::monitor::{Monitor, Problem};
use crate::format::links;
use crate::format::snapshot::{BytesText, RootMetadata, RootRecord, Skipped};
use crate::format::tar::Member;
use crate::store::{InsertReport, ObjectSink, put_any};

/// What has come of an archive so far.
pub(super) struct Done<'m> {
    pub(super) builder: TreeBuilder,
    pub(super) monitor: &'m dyn Monitor,
    skipped: Vec<Skipped>,
    pub(super) errors: u64,
    pub(super) bytes_read: u64,
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl<'m> Done<'m> {
    pub(super) fn new(monitor: &'m dyn Monitor) -> Self {
        Self {
            builder: TreeBuilder::new(),
            monitor,
            skipped: Vec::new(),
            errors: 0,
            bytes_read: 0,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// Tells a problem.
    pub(super) fn tell(&self, code: &'static str, path: &[u8], message: String) {
        self.monitor.problem(Problem { code, subject: path.to_vec(), message });
    }

    /// Records that a member is not in the tree.
    pub(super) fn fail(&mut self, code: &'static str, path: &[u8], reason: String) {
        self.tell(code, path, reason.clone());
        self.errors += 1;
        self.skipped.push(Skipped { path: BytesText::new(path), reason });
    }

    /// Notes the names of the owner and group. The first name of a number holds.
    pub(super) fn owner(&mut self, member: &Member) {
        let owners = [
            (&mut self.users, member.uid, &member.user),
            (&mut self.groups, member.gid, &member.group),
        ];
        for (names, number, name) in owners {
            if let Ok(name) = std::str::from_utf8(name)
                && !name.is_empty()
            {
                names.entry(number).or_insert_with(|| name.to_owned());
            }
        }
    }

    /// Stores the trees and the links.
    pub(super) fn finish<S: ObjectSink + ?Sized>(
        mut self,
        sink: &mut S,
    ) -> Result<ImportReport, ImportError> {
        let built = self.builder.finish(sink)?;
        let links = match built.links.is_empty() {
            true => None,
            false => Some(put_any(sink, Kind::Links, &links::encode(built.links))?),
        };
        self.skipped.sort();
        self.skipped.dedup();
        let named = |names: BTreeMap<u32, String>| {
            names.into_iter().map(|(number, name)| (number.to_string(), name)).collect()
        };
        let record = RootRecord {
            tree: built.tree,
            links,
            root: built.root.as_ref().map(RootMetadata::from),
            context: BytesText::new(b"/"),
            includes: vec![BytesText::new(b".")],
            excludes: Vec::new(),
            skipped: self.skipped,
            users: named(self.users),
            groups: named(self.groups),
            counts: built.counts,
        };
        let (errors, bytes_read) = (self.errors, self.bytes_read);
        Ok(ImportReport { record, errors, bytes_read, inserted: InsertReport::default() })
    }
}
