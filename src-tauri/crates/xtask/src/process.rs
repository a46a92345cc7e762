//! Child processes: run one and stream it, keep its summary lines, or hold one in the background and end it.
//!
//! Hides signals. What must stay true: an interrupt (Ctrl-C, SIGTERM) ends every child before xtask itself ends, and a
//! background child is ended by its own process group, never by name.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How often a waiting loop looks again.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// How long a child may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(8);

/// From now on Ctrl-C and SIGTERM set a flag, so that children can be ended in order. A second one ends at once.
pub(crate) fn listen_for_interrupts() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    #[cfg(unix)]
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // Order matters: the shutdown handler must see the flag of the *previous* signal.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag))?;
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    let _ = flag;
    Ok(())
}

/// Whether the person asked to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::SeqCst))
}

/// Runs `command` to its end with our own streams; an error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", shown(command)))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupted() {
            // The terminal has told the child too; a SIGTERM sent to us alone has not.
            ask_to_end(&child, false);
            child.wait()?;
            bail!("interrupted");
        }
        std::thread::sleep(POLL);
    };
    judge(command, status)
}

/// Runs `command` quietly and returns what it printed, or `None` when it is missing or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command`, streams both its outputs, and hands back the lines `keep` chose (without colours), also on failure.
pub(crate) fn run_keeping(command: &mut Command, keep: fn(&str) -> bool) -> (Vec<String>, Result<()>) {
    announce(command);
    let mut kept = Vec::new();
    let result = stream(command, |line| {
        let plain = without_colours(line);
        let plain = plain.trim();
        if keep(plain) {
            kept.push(plain.to_owned());
        }
    });
    (kept, result)
}

/// Runs `command`, streams both its outputs, and hands back every line without colours but with its indentation.
pub(crate) fn run_keeping_raw(command: &mut Command) -> (Vec<String>, Result<()>) {
    announce(command);
    let mut kept = Vec::new();
    let result = stream(command, |line| kept.push(without_colours(line).trim_end().to_owned()));
    (kept, result)
}

fn stream(command: &mut Command, mut each_line: impl FnMut(&str)) -> Result<()> {
    if std::io::stdout().is_terminal() {
        // The child writes into a pipe; it would drop its colours otherwise.
        command.env("CARGO_TERM_COLOR", "always").env("FORCE_COLOR", "1");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Background::start(command)?;
    let (sender, lines) = mpsc::channel::<Vec<u8>>();
    let readers: [Option<Box<dyn Read + Send>>; 2] = [
        child.child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    for reader in readers.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut ended: Option<(ExitStatus, Instant)> = None;
    let status = loop {
        match lines.recv_timeout(POLL) {
            Ok(line) => {
                std::io::stdout().write_all(&line).context("cannot write to standard output")?;
                each_line(&String::from_utf8_lossy(&line));
            }
            Err(RecvTimeoutError::Disconnected) => break child.wait()?,
            Err(RecvTimeoutError::Timeout) => {
                if interrupted() {
                    child.end();
                    bail!("interrupted");
                }
                // A daemon the child left behind may hold the pipe open; the child's own end decides.
                match ended {
                    None => ended = child.child.try_wait()?.map(|status| (status, Instant::now())),
                    Some((status, since)) if since.elapsed() > Duration::from_secs(2) => break status,
                    Some(_) => {}
                }
            }
        }
    };
    judge(command, status)
}

fn judge(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    if interrupted() {
        bail!("interrupted");
    }
    bail!("`{}` failed ({status})", shown(command));
}

/// A child in its own process group, ended with all its children when dropped.
pub(crate) struct Background {
    child: Child,
}

impl Background {
    /// Starts `command` in a process group of its own, out of the terminal's Ctrl-C, so that we decide the order.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", shown(command)))?;
        Ok(Self { child })
    }

    /// How it ended, or `None` while it lives.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Takes its standard output, when that was piped.
    pub(crate) fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Name and proportional share of the memory (PSS, in bytes) of each process of the group, where the system tells it.
    pub(crate) fn memory(&self) -> Vec<(String, u64)> {
        #[cfg(target_os = "linux")]
        let memory = group(&self.child)
            .into_iter()
            .filter_map(|(number, name)| {
                let rollup = std::fs::read_to_string(format!("/proc/{number}/smaps_rollup")).ok()?;
                let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
                Some((name, line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1_024))
            })
            .collect();
        #[cfg(not(target_os = "linux"))]
        let memory = Vec::new();
        memory
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Asks the group to end, waits, then insists.
    pub(crate) fn end(&mut self) {
        ask_to_end(&self.child, true);
        let since = Instant::now();
        while since.elapsed() < GRACE {
            let leader_ended = !matches!(self.child.try_wait(), Ok(None));
            if leader_ended && !group_lives(&self.child) {
                return;
            }
            std::thread::sleep(POLL);
        }
        insist(&mut self.child);
        let _ = self.child.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(unix)]
fn pid(child: &Child) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(child.id()).ok()?)
}

#[cfg(unix)]
fn ask_to_end(child: &Child, group: bool) {
    if let Some(pid) = pid(child) {
        let _ = if group {
            rustix::process::kill_process_group(pid, rustix::process::Signal::TERM)
        } else {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        };
    }
}

/// Number and name of each process of the group that still runs. Zombies do not: in a container, nobody may ever collect
/// them.
#[cfg(target_os = "linux")]
fn group(child: &Child) -> Vec<(String, String)> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let group = child.id().to_string();
    let of_group = |process: std::fs::DirEntry| {
        // proc(5): pid (name) state ppid pgrp …; the name may hold anything, so count from its last bracket.
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let (head, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let member = fields.next().is_some_and(|state| state != "Z") && fields.nth(1) == Some(group.as_str());
        let (number, name) = head.split_once(" (")?;
        member.then(|| (number.to_owned(), name.to_owned()))
    };
    processes.flatten().filter_map(of_group).collect()
}

#[cfg(target_os = "linux")]
fn group_lives(child: &Child) -> bool {
    !group(child).is_empty()
}

#[cfg(all(unix, not(target_os = "linux")))]
fn group_lives(child: &Child) -> bool {
    pid(child).is_some_and(|pid| rustix::process::test_kill_process_group(pid).is_ok())
}

#[cfg(unix)]
fn insist(child: &mut Child) {
    if let Some(pid) = pid(child) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

// Without process groups the child is ended at once; there is no polite signal to send.
#[cfg(not(unix))]
fn ask_to_end(_child: &Child, _group: bool) {}

#[cfg(not(unix))]
fn group_lives(_child: &Child) -> bool {
    false
}

#[cfg(not(unix))]
fn insist(child: &mut Child) {
    let _ = child.kill();
}

/// The first `name` on `PATH` that is a file.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        .find(|candidate| candidate.is_file())
}

fn announce(command: &Command) {
    println!("$ {}", shown(command));
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = PathBuf::from(command.get_program()).file_name().map_or_else(
        || command.get_program().to_string_lossy().into_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        text.push(' ');
        if argument.is_empty() || argument.contains([' ', '"', '\'', '$', '&', '|', ';', '(', ')', '\n']) {
            text.push('\'');
            text.push_str(&argument.replace('\'', r"'\''"));
            text.push('\'');
        } else {
            text.push_str(&argument);
        }
    }
    text
}

/// Drops terminal colour sequences (`ESC [ … letter`).
pub(crate) fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        if characters.next() == Some('[') {
            for character in characters.by_ref() {
                if character.is_ascii_alphabetic() {
                    break;
                }
            }
        }
    }
    plain
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn colours_are_dropped() {
        assert_eq!(without_colours("\u{1b}[32;1m     Summary\u{1b}[0m [1s] 3 tests"), "     Summary [1s] 3 tests");
        assert_eq!(without_colours("plain [x]"), "plain [x]");
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/usr/bin/sh");
        command.args(["-c", "echo it's"]);
        assert_eq!(shown(&command), r"sh -c 'echo it'\''s'");
    }

    #[test]
    fn kept_lines_come_back_from_both_streams_and_on_failure() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'Tests 1'; echo 'Tests 2' >&2; echo other; exit 3"]);
        let (mut kept, result) = run_keeping(&mut command, |line| line.starts_with("Tests"));
        kept.sort();
        assert_eq!(kept, ["Tests 1", "Tests 2"]);
        assert!(result.unwrap_err().to_string().contains("exit status: 3"));
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_does_not_hold_us() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo done"]);
        let (kept, result) = run_keeping(&mut command, |line| line == "done");
        assert_eq!(kept, ["done"]);
        result.unwrap();
    }

    #[test]
    fn dropping_a_background_process_ends_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped());
        let mut background = Background::start(&mut command).unwrap();
        let mut line = String::new();
        BufReader::new(background.take_stdout().unwrap()).read_line(&mut line).unwrap();
        #[cfg(target_os = "linux")]
        {
            let memory = background.memory();
            assert_eq!(memory.len(), 2, "{memory:?}");
            assert!(memory.iter().any(|(name, bytes)| name == "sh" && *bytes > 0), "{memory:?}");
        }
        let grandchild = rustix::process::Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        drop(background);
        // A zombie still answers to a signal; its state in /proc tells.
        let status = std::fs::read_to_string(format!("/proc/{}/stat", grandchild.as_raw_nonzero()));
        assert!(status.is_err() || status.unwrap().contains(") Z "), "the grandchild still runs");
    }
}
