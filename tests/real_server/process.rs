//! A server's process under a guard, which ends it with everything it started as soon as we are gone.
//!
//! What must stay true: nothing is ended by name; a test that is killed leaves no server behind, since the guard sees
//! its standard input close.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{SCRIPTS, environment};

/// A running server with its guard (`servers/guard.py`); ended on drop.
#[derive(Debug)]
pub(super) struct Guarded {
    guard: Child,
}

impl Guarded {
    /// Starts `command` in `folder`; both outputs go to the end of the file `log`.
    pub(super) fn start(command: &Command, folder: &Path, log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        let mut guard = Command::new(environment::folder("uv").join("bin/python"));
        guard.arg(format!("{SCRIPTS}/guard.py")).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guard.env(name, value),
                None => guard.env_remove(name),
            };
        }
        guard.current_dir(folder).stdin(Stdio::piped());
        guard.stdout(log.try_clone().expect("a second handle")).stderr(log);
        own_group(&mut guard);
        let guard = guard.spawn().unwrap_or_else(|error| panic!("{command:?} could not be started: {error}"));
        Self { guard }
    }

    /// Whether the server has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.guard.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The guard reads the end of its input, ends all that it started, and then itself.
        drop(self.guard.stdin.take());
        self.guard.wait().ok();
    }
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

/// Ends the process group whose id, that of its first process, stands in `file`.
pub(super) fn end_group_of(file: &Path) {
    if let Some(id) = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
        end_group(id);
    }
}

#[cfg(unix)]
fn end_group(id: i32) {
    if let Some(id) = rustix::process::Pid::from_raw(id) {
        rustix::process::kill_process_group(id, rustix::process::Signal::KILL).ok();
    }
}

#[cfg(not(unix))]
fn end_group(_id: i32) {}
