//! File systems in image files.
//!
//! Invariant: a loop device lives as long as its mount.

use std::path::Path;
use std::process::{Command, Output};

use crate::mounts::Mounted;

/// A file system that survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ext4,
    Xfs,
}

/// What `FS_IOC_SHUTDOWN` is on every architecture of Linux that RunUp runs on.
const FS_IOC_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
/// Nothing that is still in memory is written any more, not even the journal.
const SHUTDOWN_AT_ONCE: u32 = 2;

fn system(program: &str, arguments: &[&str], last: &[&Path]) -> std::io::Result<Output> {
    let mut command = Command::new(program);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(arguments).args(last).output()
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Makes a new file system of a few dozen MiB in a file.
    pub(super) fn make(self, image: &Path) -> Result<(), String> {
        let (program, arguments, mib): (_, &[&str], u64) = match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"], 64),
            // The smallest that it makes without a warning, and nearly all holes.
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"], 300),
        };
        let file = std::fs::File::create(image).unwrap();
        file.set_len(mib << 20).unwrap();
        match system(program, arguments, &[image]) {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("{program}: {error}")),
        }
    }

    /// Mounts the file system in a file by a loop device.
    ///
    /// # Errors
    ///
    /// What mount(8) says.
    pub(super) fn mount(self, image: &Path, at: &Path) -> Result<Mounted, String> {
        std::fs::create_dir_all(at).unwrap();
        let options = match self {
            Self::Ext4 => "loop",
            // Copies of one volume are mounted at the same time.
            Self::Xfs => "loop,nouuid",
        };
        let output = system("mount", &["-t", self.name(), "-o", options], &[image, at]);
        match output {
            Ok(output) if output.status.success() => Ok(Mounted::adopt(at)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Why nothing of this kind can be made or mounted here.
    pub(super) fn is_missing(self, folder: &Path) -> Option<String> {
        let image = folder.join("image that is tried");
        let tried = self
            .make(&image)
            .and_then(|()| self.mount(&image, &folder.join("mount that is tried")))
            .map(drop);
        std::fs::remove_file(&image).unwrap();
        tried.err()
    }
}

/// Stops a file system as a power cut does.
#[expect(unsafe_code, reason = "there is no safe call for it")]
pub(super) fn cut_power(at: &Path) {
    let directory = std::fs::File::open(at).unwrap();
    // SAFETY: the call reads one number of 32 bits, and keeps no pointer to it.
    let cut = unsafe {
        let flag = rustix::ioctl::Setter::<FS_IOC_SHUTDOWN, u32>::new(SHUTDOWN_AT_ONCE);
        rustix::ioctl::ioctl(&directory, flag)
    };
    cut.unwrap();
}
