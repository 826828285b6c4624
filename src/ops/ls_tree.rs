//! The entries of a tree, and of those below it.
//!
//! Invariant: entries come in the order of their names, a directory before what is in it.

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::join;
use crate::format::codec::DecodeError;
use crate::format::tree::{self, Entry, Node};
use crate::store::{ReadError, Store};

/// Receives the path of an entry and the entry; says whether to go down into it.
pub type Visit<'v, E> = dyn FnMut(&[u8], &Entry) -> Result<bool, E> + 'v;

/// Calls `each` with every entry of a tree; below a directory for which it returns true, too.
///
/// # Errors
///
/// A tree is missing, damaged or too deep; whatever `each` returns.
pub fn ls_tree<E: From<ReadError>>(
    store: &Store,
    tree: &Id,
    each: &mut Visit<'_, E>,
) -> Result<(), E> {
    let mut open = vec![(Vec::new(), load(store, tree)?.into_iter())];
    while let Some((directory, entries)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let path = join(directory, &entry.name);
        if !each(&path, &entry)? {
            continue;
        }
        let Node::Directory { tree } = entry.node else { continue };
        if open.len() > DEPTH_MAX {
            return Err(
                damaged(&tree, DecodeError { what: "over 4096 levels deep", offset: 0 }).into()
            );
        }
        open.push((path, load(store, &tree)?.into_iter()));
    }
    Ok(())
}

fn load(store: &Store, id: &Id) -> Result<Vec<Entry>, ReadError> {
    let bytes = store.read(id, Kind::Tree)?;
    tree::entries(&bytes).collect::<Result<_, _>>().map_err(|source| damaged(id, source))
}

fn damaged(id: &Id, source: DecodeError) -> ReadError {
    ReadError::Damaged { id: *id, kind: Kind::Tree, file: "the repository".into(), source }
}
