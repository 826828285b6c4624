//! `runup session run`: a pipeline in one session, so that nothing it stores is pruned before its end.
//!
//! Invariant: the session stands as long as the command runs, unless a prune fences it; the command's
//! programs are told by their environment, and each looks for itself whether the session stands.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::environment::{Globals, session_variables};
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::{Command, Example, Layer, Shape};

/// What can be done with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Action {
    /// Run a command in one, and end with its exit code
    Run,
}

/// Arguments of `runup session`.
#[derive(Debug, clap::Args)]
pub struct Session {
    /// What to do
    #[arg(value_name = "ACTION")]
    action: Action,
    /// A command and its arguments, such as `sh -c '…'`
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

impl Command for Session {
    const NAME: &'static str = "session";
    const ABOUT: &'static str = "Run a pipeline in one session, which a prune waits for or ends";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[];

    const DESCRIPTION: &'static str = "
        Runs a command in a session of the repository, and ends with its exit code. The programs
        that it runs store and publish in this session: a prune that begins meanwhile waits for its
        end, so nothing that one program stored is pruned before the next one refers to it. A prune
        that cannot wait ends the session, and then the programs refuse to publish anything and say
        `session_ended`: the pipeline is to be run again.

        Without a session a pipeline is safe, too: runup-write-snapshot(1) and runup-mktree(1)
        refuse what refers to objects that are gone or about to be. A session spares a long pipeline
        that.

        The command gets `RUNUP_SESSION` and `RUNUP_REPOSITORY` in its environment. The exit code is
        127 if it is not found, 126 if it cannot be run, and 128 and the number of the signal if one
        ended it.
    ";
    const EXAMPLES: &'static [Example] = &[Example::new(
        "Several steps that belong together",
        r"runup-session run -- sh -ec '
  seq 1000 | runup-hash-object -w --stdin --path numbers >../numbers
  runup-mktree <../numbers | runup-write-snapshot --project numbers'",
    )];
    const SEE_ALSO: &'static [&'static str] = &["runup-mktree(1)", "runup-write-snapshot(1)"];

    fn run(self, globals: &Globals, _output: &mut Output) -> Result<Exit, Failure> {
        match self.action {
            Action::Run => run(&self.command, globals),
        }
    }
}

fn run(command: &[OsString], globals: &Globals) -> Result<Exit, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::usage("no command to run"));
    };
    let repository = globals.open_repository()?;
    let session = repository.pipeline_session()?;
    let (ours, handler) = UnixStream::pair()?;
    // Handlers, unlike ignored signals, do not pass to the command. An interrupt from the terminal
    // reaches it without help.
    signal_hook::low_level::pipe::register(SIGTERM, handler.try_clone()?)?;
    let (_unread, swallowed) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGINT, swallowed)?;
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .envs(session_variables(&repository, session.id()))
        .spawn()
        .map_err(|error| not_run(program, &error))?;
    pass_on_terminations(ours, &child);
    let status = child.wait()?;
    drop(session);
    Ok(exit_of(status))
}

/// As a shell tells it: 127 where there is no such command, 126 where it cannot be run.
fn not_run(program: &OsString, error: &std::io::Error) -> Failure {
    let message = format!("{}: {error}", program.to_string_lossy());
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(Exit::Of(127), "command_not_found", message),
        _ => Failure::new(Exit::Of(126), "command_not_run", message),
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    let by_signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(by_signal).and_then(|code| u8::try_from(code).ok());
    code.map_or(Exit::Failed, Exit::Of)
}

/// Sends the child each SIGTERM that comes here, until this process ends.
fn pass_on_terminations(mut terminations: UnixStream, child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // By descriptor, since the number may be another process's once the child is gone. A kernel that
    // has no such descriptors leaves the child alone.
    let child: Option<OwnedFd> = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let Some(child) = child else { return };
    std::thread::spawn(move || {
        while let Ok(1) = terminations.read(&mut [0]) {
            // A child that is gone needs no signal.
            let _ignored = pidfd_send_signal(&child, Signal::TERM);
        }
    });
}
