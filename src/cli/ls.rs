//! `runup ls`: the files of a snapshot, for people.

use std::ffi::OsString;

use super::entry::EntryRecord;
use super::environment::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::ls_tree::tree_of;
use super::output::{Output, write_line, write_record};
use super::rendering::print_all;
use super::{Command, Example, Layer, Shape};
use crate::format::tree::{Entry, Node};
use crate::ops::ls_tree::ls_tree;

/// Arguments of `runup ls`.
#[derive(Debug, clap::Args)]
pub struct Ls {
    /// What to list: PROJECT, PROJECT@JOB, PROJECT:PATH, … or an id
    #[arg(value_name = "REV", default_value = "latest")]
    revision: OsString,
    /// Go down into directories
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Show mode, owner, size and time too
    #[arg(short = 'l', long)]
    long: bool,
}

impl Command for Ls {
    const NAME: &'static str = "ls";
    const ABOUT: &'static str = "List the files of a snapshot";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] = &[Shape::of::<EntryRecord>()];

    const DESCRIPTION: &'static str = "
        Lists a directory of a snapshot in the order of names; without `REV` the top of the latest
        snapshot, where the repository has but one project. Directories end with a slash. Paths
        are those below the top of the snapshot.

        With `--long` each line begins with kind and permissions, user and group as numbers, size in
        bytes, and time of modification in the time zone of `TZ`; after a symbolic link stands its
        target.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "All that is in the latest snapshot of a project",
            "runup ls --long --recursive app",
        ),
        Example::new("One directory as of job 2", "runup ls notes@2:notes"),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-ls-tree(1)", "runup-snapshots(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let tree = tree_of(&repository, &self.revision)?;
        let (is_json, is_terminal) = (output.is_json(), output.is_terminal());
        let render = |(path, entry): &(Vec<u8>, Entry), text: &mut Vec<u8>| {
            match is_json {
                true => write_record(text, &EntryRecord::new(path, entry), false)?,
                false => write_line(text, &line(path, entry, self.long), is_terminal)?,
            }
            Ok(())
        };
        print_all(output, &render, |take| {
            ls_tree(repository.store(), &tree, &mut |path, entry| {
                take((path.to_vec(), entry.clone()))?;
                Ok::<_, Failure>(self.recursive)
            })
        })?;
        Ok(Exit::Done)
    }
}

fn line(path: &[u8], entry: &Entry, is_long: bool) -> Vec<u8> {
    let mut line = Vec::new();
    if is_long {
        let metadata = &entry.metadata;
        let size = match entry.node {
            Node::File { size_bytes, .. } => size_bytes,
            _ => 0,
        };
        let time = jiff::Timestamp::from_second(metadata.mtime.seconds).map_or_else(
            |_| metadata.mtime.to_string(),
            |time| {
                time.to_zoned(super::environment::zone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
            },
        );
        let kind = match entry.node {
            Node::Directory { .. } => 'd',
            Node::File { .. } => '-',
            Node::Symlink { .. } => 'l',
            Node::Fifo => 'p',
            Node::Socket => 's',
            Node::CharDevice { .. } => 'c',
            Node::BlockDevice { .. } => 'b',
        };
        let mode = permissions(metadata.mode);
        let (uid, gid) = (metadata.uid, metadata.gid);
        line = format!("{kind}{mode} {uid:>5} {gid:>5} {size:>12} {time} ").into_bytes();
    }
    line.extend_from_slice(path);
    match &entry.node {
        Node::Directory { .. } => line.push(b'/'),
        Node::Symlink { target } if is_long => {
            line.extend_from_slice(b" -> ");
            line.extend_from_slice(target);
        }
        _ => {}
    }
    line
}

/// Permission bits as `ls -l` writes them.
fn permissions(mode: u16) -> String {
    let mut text = String::with_capacity(9);
    for (shift, special, set) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => set,
            (false, true) => set.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_as_ls_writes_them() {
        assert_eq!(permissions(0o4755), "rwsr-xr-x");
        assert_eq!(permissions(0o1666), "rw-rw-rwT");
        assert_eq!(permissions(0o0640), "rw-r-----");
    }
}
