//! File systems that a test mounts for itself.
//!
//! Invariant: they are mounted in a mount namespace that only one thread of the test and its children
//! have. So whatever ends the test, even a kill, the system unmounts them and detaches their loop
//! devices.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

/// Tells something that is to be read also where the test succeeds, whose output is else kept back.
pub(crate) fn say(text: &str) {
    // If standard error is closed there is nobody to tell.
    let _ignored = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Runs a test in a mount namespace of its own, in an empty tmpfs; tells why where that cannot be.
pub(crate) fn privately(test: &str, body: impl FnOnce(&Path) + Send) {
    let run = || match Tmpfs::private() {
        Ok(tmpfs) => body(tmpfs.path()),
        Err(reason) => say(&format!("{test}: skipped: {reason}")),
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// Gives the calling thread, and those that it starts, a mount namespace of their own.
#[expect(unsafe_code, reason = "other flags than this one could take away what others rely on")]
fn unshare_mounts() -> rustix::io::Result<()> {
    // SAFETY: no file descriptor becomes another one; paths mean what they meant.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}

/// A mount, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts `source`, of type `kind`, at a directory that is made if need be.
    pub(crate) fn new(
        source: &Path,
        at: &Path,
        kind: &str,
        options: &str,
    ) -> rustix::io::Result<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount(source, at, kind, MountFlags::empty(), options.as_c_str())?;
        Ok(Self(at.to_owned()))
    }

    /// Takes care of what somebody else has mounted.
    pub(crate) fn adopt(at: &Path) -> Self {
        Self(at.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Unmounts it now; how that ended.
    ///
    /// A program that another thread starts at this moment has copies of all that is open here, until
    /// it becomes that program: so it is tried again while the mount is busy.
    pub(crate) fn unmount(self) -> rustix::io::Result<()> {
        let mount = std::mem::ManuallyDrop::new(self);
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match rustix::mount::unmount(&mount.0, UnmountFlags::empty()) {
                Err(Errno::BUSY) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                unmounted => return unmounted,
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = rustix::mount::unmount(&self.0, UnmountFlags::empty());
        if unmounted.is_err() {
            // Still in use: out of sight now, and gone with its last user.
            let _ignored = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
        }
    }
}

/// A file system in memory.
#[derive(Debug)]
pub(crate) struct Tmpfs {
    // Unmounted before its directory goes.
    mounted: Mounted,
    _folder: Option<tempfile::TempDir>,
}

impl Tmpfs {
    /// In a mount namespace that the calling thread gets.
    fn private() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root may mount file systems".to_owned());
        }
        let failed = |what: &'static str| move |error| format!("{what}: {error}");
        unshare_mounts().map_err(failed("no mount namespace of its own"))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).map_err(failed("mounts cannot be kept apart"))?;
        let folder = tempfile::tempdir().unwrap();
        let mounted = Mounted::new(Path::new("tmpfs"), folder.path(), "tmpfs", "mode=700");
        let mounted = mounted.map_err(failed("no tmpfs"))?;
        Ok(Self { mounted, _folder: Some(folder) })
    }

    /// At a directory, with options such as `size=1m`.
    pub(crate) fn at(path: &Path, options: &str) -> Self {
        let mounted = Mounted::new(Path::new("tmpfs"), path, "tmpfs", options).unwrap();
        Self { mounted, _folder: None }
    }

    /// Gives it other limits.
    pub(crate) fn remount(&self, options: &str) {
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount_remount(self.path(), MountFlags::empty(), options.as_c_str()).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.mounted.path()
    }
}
