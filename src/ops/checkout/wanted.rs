//! Which entries of a tree are wanted, by a list of paths.
//!
//! Invariant: asking takes a search for each component of a path, however many paths are listed.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Wanted;

/// Paths that are wanted with all that is below them; all of a tree if there are none.
#[derive(Debug, Default)]
pub struct WantedPaths {
    /// Sorted.
    paths: Vec<(Box<[u8]>, AtomicBool)>,
}

impl WantedPaths {
    /// From clean paths, in any order.
    pub fn new(paths: Vec<Vec<u8>>) -> Self {
        let mut paths: Vec<Box<[u8]>> = paths.into_iter().map(Into::into).collect();
        paths.sort_unstable();
        paths.dedup();
        Self { paths: paths.into_iter().map(|path| (path, AtomicBool::new(false))).collect() }
    }

    /// Whether all of the tree is wanted.
    pub fn is_all(&self) -> bool {
        self.paths.is_empty() || self.paths[0].0.is_empty()
    }

    /// Whether the entry at a path is wanted.
    pub fn ask(&self, path: &[u8]) -> Wanted {
        if self.is_all() {
            return Wanted::Yes;
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut is_wanted = false;
        for end in ends.chain([path.len()]) {
            let found = self.paths.binary_search_by(|(wanted, _)| (**wanted).cmp(&path[..end]));
            if let Ok(at) = found {
                self.paths[at].1.store(true, Ordering::Relaxed);
                is_wanted = true;
            }
        }
        if is_wanted {
            return Wanted::Yes;
        }
        let below = [path, b"/"].concat();
        let at = self.paths.partition_point(|(wanted, _)| **wanted < *below);
        match self.paths.get(at) {
            Some((wanted, _)) if wanted.starts_with(&below) => Wanted::Container,
            _ => Wanted::No,
        }
    }

    /// Paths at which nothing was found.
    pub fn missing(&self) -> impl Iterator<Item = &[u8]> {
        let is_missing = |(path, found): &&(Box<[u8]>, AtomicBool)| {
            !path.is_empty() && !found.load(Ordering::Relaxed)
        };
        self.paths.iter().filter(is_missing).map(|(path, _)| &**path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_for_what_is_below_them() {
        let paths = [&b"a/b"[..], b"a.txt", b"c", b"gone/x", b"a/b", b"a/b/c"].map(<[u8]>::to_vec);
        let wanted = WantedPaths::new(paths.to_vec());
        for (path, expected) in [
            (&b"a"[..], Wanted::Container),
            (b"a/b", Wanted::Yes),
            (b"a/b/c", Wanted::Yes),
            (b"a/b/c/d", Wanted::Yes),
            (b"a/bc", Wanted::No),
            (b"a.txt", Wanted::Yes),
            (b"a.", Wanted::No),
            (b"c/d", Wanted::Yes),
            (b"d", Wanted::No),
            (b"gone", Wanted::Container),
        ] {
            assert_eq!(wanted.ask(path), expected, "{}", path.escape_ascii());
        }
        assert_eq!(wanted.missing().collect::<Vec<_>>(), [b"gone/x"]);
        assert_eq!(WantedPaths::default().ask(b"any"), Wanted::Yes);
        assert_eq!(WantedPaths::new(vec![Vec::new()]).ask(b"any"), Wanted::Yes);
    }
}
