//! The metadata of a member, by the rules of trees: which attributes are kept, and what ACLs are.
//!
//! Invariant: a member gets the metadata that a backup of the extracted file would find.

use std::collections::BTreeMap;

use crate::base::kind::Kind;
use crate::base::limits::{
    NAME_BYTES_MAX, XATTR_INLINE_BYTES_MAX, XATTR_VALUE_BYTES_MAX, XATTRS_MAX,
};
use crate::format::tar::acl::{self, Principal};
use crate::format::tar::{Member, TarError};
use crate::format::tree::{Metadata, Xattr, XattrValue};
use crate::os::xattr::{ACL_ACCESS, ACL_DEFAULT, is_kept};
use crate::source::owners::{gid_of, uid_of};
use crate::store::{ObjectSink, WriteError};

/// Extended attributes by name, ACLs included.
type Attributes = BTreeMap<Box<[u8]>, Vec<u8>>;

/// The attributes of a member that belong in a tree, and why an ACL in text is not among them.
pub(super) fn attributes(member: &mut Member) -> Result<(Attributes, Option<TarError>), TarError> {
    let xattrs = std::mem::take(&mut member.xattrs);
    let mut kept: Attributes = xattrs.into_iter().filter(|(name, _)| is_kept(name)).collect();
    let mut not_kept = None;
    let texts = [(ACL_ACCESS, &member.acls.access), (ACL_DEFAULT, &member.acls.default)];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        // The attribute itself needs no names to be known here.
        if kept.contains_key(name) {
            continue;
        }
        match acl::from_text(text, name == ACL_DEFAULT, &mut number_of) {
            Ok(Some(attribute)) => {
                kept.insert(name.into(), attribute);
            }
            Ok(None) => {}
            Err(error) => not_kept = Some(error),
        }
    }
    let is_name_over = kept.keys().any(|name| name.len() > NAME_BYTES_MAX);
    let is_value_over = kept.values().any(|value| value.len() > XATTR_VALUE_BYTES_MAX);
    if kept.len() > XATTRS_MAX || is_name_over || is_value_over {
        let what = "more extended attributes than a tree holds, or longer ones";
        return Err(TarError::OverLimit(what));
    }
    Ok((kept, not_kept))
}

fn number_of(principal: Principal, name: &str) -> Option<u32> {
    match principal {
        Principal::User => uid_of(name),
        Principal::Group => gid_of(name),
    }
}

/// The metadata of a member; long attributes become blobs.
pub(super) fn metadata<S: ObjectSink + ?Sized>(
    member: &Member,
    attributes: Attributes,
    sink: &mut S,
) -> Result<Metadata, WriteError> {
    let mut xattrs = Vec::with_capacity(attributes.len());
    for (name, value) in attributes {
        let value = if value.len() <= XATTR_INLINE_BYTES_MAX {
            XattrValue::Inline(value.into())
        } else {
            XattrValue::Blob { size_bytes: value.len() as u64, id: sink.put(Kind::Blob, &value)? }
        };
        xattrs.push(Xattr { name, value });
    }
    let &Member { mode, uid, gid, mtime, .. } = member;
    Ok(Metadata { mode, uid, gid, mtime, xattrs })
}
