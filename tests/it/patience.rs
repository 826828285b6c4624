//! Programs that are waited for no longer than a limit.
//!
//! Invariant: none of their processes outlives the wait, and one that hangs fails the test.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde_json::Value;

/// Far more than any program here takes, on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(120);

/// A program that runs in a process group of its own.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    script: String,
    stdout: File,
    stderr: File,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) script: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    /// Starts a program; what it says goes to files in `folder`, so that it never waits for a reader.
    pub(crate) fn start(mut command: Command, folder: &Path) -> Self {
        let file = || tempfile::tempfile_in(folder).unwrap();
        let (stdout, stderr) = (file(), file());
        command.process_group(0);
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let script = command.get_args().last().unwrap_or_default().to_string_lossy().into_owned();
        Self { child: command.spawn().unwrap(), script, stdout, stderr }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end, and kills what is left of its process group.
    ///
    /// # Errors
    ///
    /// It did not end in time.
    pub(crate) fn end(mut self) -> Result<Ended, String> {
        let pid = self.pid();
        let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let mut waited = [PollFd::new(&handle, PollFlags::IN)];
        let limit = Timespec::try_from(LIMIT).unwrap();
        let in_time = loop {
            match poll(&mut waited, Some(&limit)) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.unwrap() > 0,
            }
        };
        // Nobody is left in it where all went well.
        let _ignored = kill_process_group(pid, Signal::KILL);
        let status = self.child.wait().unwrap();
        let Self { script, stdout, stderr, .. } = self;
        let ended = Ended { script, status, stdout: text(stdout), stderr: text(stderr) };
        if in_time { Ok(ended) } else { Err(format!("{LIMIT:?} were not enough: {ended}")) }
    }
}

fn text(mut file: File) -> String {
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Ended {
    /// The exit code; `None` where a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether it was killed.
    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }

    /// Asserts by a `Result` that it ended with one of these codes.
    pub(crate) fn exits(self, codes: &[i32]) -> Result<Self, String> {
        match self.code() {
            Some(code) if codes.contains(&code) => Ok(self),
            _ => Err(format!("not one of {codes:?}: {self}")),
        }
    }

    /// The JSON records on standard output.
    pub(crate) fn records(&self) -> Vec<Value> {
        crate::sandbox::records(&self.stdout)
    }

    /// Asserts that what it told on standard error, where it was asked for JSON, is as promised: only
    /// records, the last of which tells the exit code of a failure. The stable word of that.
    pub(crate) fn told(&self) -> Result<String, String> {
        if self.stderr.contains("panicked") || matches!(self.code(), Some(101 | 134)) {
            return Err(format!("a panic: {self}"));
        }
        let lines: Result<Vec<Value>, _> =
            self.stderr.lines().map(serde_json::from_str::<Value>).collect();
        let lines = lines.map_err(|error| format!("not JSON, {error}: {self}"))?;
        let code = self.code().unwrap_or_default();
        let Some(last) = lines.last().filter(|last| last["message_type"] == "exit_error") else {
            let tells = matches!(code, 0 | 3 | 4);
            return if tells { Ok(String::new()) } else { Err(format!("no error: {self}")) };
        };
        if last["exit_code"] != code || last["message"].as_str().is_none_or(str::is_empty) {
            return Err(format!("another error: {self}"));
        }
        Ok(last["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { script, status, stdout, stderr } = self;
        write!(f, "{script}: {status}\n{stdout}{stderr}")
    }
}
