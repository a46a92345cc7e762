//! A local command, run without a shell, with a time limit.
//!
//! What must stay true: the command and everything it started is ended by its process group's id when its limit is over,
//! and by nothing else: a restart torn in half because somebody closed the window could leave nothing serving at all. A
//! command that ended well may leave a server behind, which is what a restart is for. Output kept never grows without
//! bound, and is read for as long as somebody writes, so that no server left behind dies of a closed pipe while we run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// Output kept, per stream: the last of it, since a failing command says why at the end.
const KEPT_BYTES: usize = 16 * 1024;
/// How long output is waited for after the command ended: a server that it started may hold the stream open for ever.
const DRAIN: Duration = Duration::from_millis(250);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The way in which it ended.
    pub(crate) how: How,
    /// The end of its standard output.
    pub(crate) stdout: String,
    /// The end of its standard error.
    pub(crate) stderr: String,
}

/// The way in which a command ended.
#[derive(Debug)]
pub(crate) enum How {
    /// By itself.
    Exited(ExitStatus),
    /// Its time was over, and it was ended with its process group.
    OutOfTime,
    /// It was started, but its end could not be seen.
    Unseen(String),
}

/// Runs `program` to its end. The error is that of starting it: then nothing was run. A caller that goes away leaves it
/// running.
pub(crate) async fn run(program: &Path, args: &[String], timeout: Duration) -> std::io::Result<Ended> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that a script's children can be ended with it.
    #[cfg(unix)]
    command.process_group(0);
    let child = command.spawn()?;
    // A task of its own, so that the limit holds on when the caller is gone.
    Ok(tokio::spawn(until_ended(child, timeout)).await.unwrap_or_else(|error| Ended {
        how: How::Unseen(error.to_string()),
        stdout: String::new(),
        stderr: String::new(),
    }))
}

async fn until_ended(mut child: Child, timeout: Duration) -> Ended {
    let stdout = Tail::follow(child.stdout.take());
    let stderr = Tail::follow(child.stderr.take());
    let how = if let Ok(status) = tokio::time::timeout(timeout, child.wait()).await {
        status.map_or_else(|error| How::Unseen(error.to_string()), How::Exited)
    } else {
        // The group is ended before the child is waited for, so that its id cannot have passed to a stranger.
        end_group(&child);
        child.start_kill().ok();
        child.wait().await.ok();
        How::OutOfTime
    };
    Ended { how, stdout: stdout.text().await, stderr: stderr.text().await }
}

/// The file that would be run, found as the system would: a path as it is, a bare name along `PATH`.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 || program.is_absolute() {
        return runnable(program).then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    along(&path, program)
}

fn along(path: &OsStr, program: &Path) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| runnable(file))
}

#[cfg(unix)]
fn runnable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn runnable(file: &Path) -> bool {
    file.is_file() || file.with_extension("exe").is_file()
}

/// Ends the process group that a running child leads.
#[cfg(unix)]
fn end_group(child: &Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself a moment ago, which is as good.
        rustix::process::kill_process_group(id, rustix::process::Signal::KILL).ok();
    }
}

#[cfg(not(unix))]
fn end_group(_child: &Child) {}

/// The last bytes of a stream, read in the background so that the command never blocks on a full pipe.
struct Tail {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Tail {
    fn follow(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let Some(mut stream) = stream else { return };
            let mut buffer = vec![0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..read]);
                let over = kept.len().saturating_sub(KEPT_BYTES);
                kept.drain(..over);
            }
        });
        Self { kept, reader }
    }

    async fn text(mut self) -> String {
        // When somebody still writes, the reader goes on by itself.
        tokio::time::timeout(DRAIN, &mut self.reader).await.ok();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> (PathBuf, Vec<String>) {
        ("/bin/sh".into(), vec!["-c".into(), script.into()])
    }

    /// Whether a process is there and not merely waiting to be reaped.
    fn lives(pid: &str) -> bool {
        std::process::Command::new("ps")
            .args(["-o", "stat=", "-p", pid.trim()])
            .output()
            .is_ok_and(|found| found.status.success() && !String::from_utf8_lossy(&found.stdout).starts_with('Z'))
    }

    async fn until(mut condition: impl FnMut() -> bool) {
        for _ in 0..500 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the condition did not come true within ten seconds");
    }

    #[tokio::test]
    async fn output_and_exit_code_are_told() {
        let (program, args) = shell("echo out; echo err >&2; exit 3");
        let ended = run(&program, &args, LONG).await.unwrap();
        assert!(matches!(ended.how, How::Exited(status) if status.code() == Some(3)), "{ended:?}");
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
    }

    #[tokio::test]
    async fn arguments_reach_the_program_as_they_are() {
        let args = ["%s|", "a b", "$HOME", "; echo x", "*"].map(String::from);
        let ended = run(Path::new("printf"), &args, LONG).await.unwrap();
        assert_eq!(ended.stdout, "a b|$HOME|; echo x|*|");
    }

    #[tokio::test]
    async fn a_late_command_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let (program, args) = shell(&format!("sleep 600 & echo $! > {}; wait", file.display()));
        let task = {
            let (program, args) = (program.clone(), args.clone());
            tokio::spawn(async move { run(&program, &args, Duration::from_secs(2)).await })
        };
        until(|| std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n'))).await;
        let child = std::fs::read_to_string(&file).unwrap();
        let ended = task.await.unwrap().unwrap();
        assert!(matches!(ended.how, How::OutOfTime), "{ended:?}");
        until(|| !lives(&child)).await;
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_does_not_tear_it_in_half() {
        let folder = tempfile::tempdir().unwrap();
        let (begun, go, ended) = (folder.path().join("begun"), folder.path().join("go"), folder.path().join("ended"));
        let script = format!(
            "echo > {}; until test -e {}; do sleep 0.05; done; echo stopped; echo > {}",
            begun.display(),
            go.display(),
            ended.display()
        );
        let (program, args) = shell(&script);
        let task = tokio::spawn(async move { run(&program, &args, LONG).await });
        until(|| begun.exists()).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        std::fs::write(go, "").unwrap();
        until(|| ended.exists()).await;
    }

    #[tokio::test]
    async fn a_server_left_behind_neither_hangs_nor_dies() {
        // The child inherits the pipes and keeps them open, as a restarted server does.
        let (program, args) = shell("sleep 600 & echo $!");
        let ended = run(&program, &args, LONG).await.unwrap();
        assert!(matches!(ended.how, How::Exited(status) if status.success()), "{ended:?}");
        let child = ended.stdout.trim().to_owned();
        assert!(lives(&child));
        std::process::Command::new("kill").arg(&child).status().unwrap();
    }

    #[tokio::test]
    async fn much_output_is_kept_short() {
        let (program, args) = shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end");
        let ended = run(&program, &args, LONG).await.unwrap();
        assert_eq!(ended.stdout.len(), KEPT_BYTES);
        assert!(ended.stdout.ends_with("xend\n"));
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_an_error() {
        assert!(run(Path::new("/nonexistent/program"), &[], LONG).await.is_err());
        assert!(find(Path::new("/nonexistent/program")).is_none());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        std::fs::write(&file, "not a program").unwrap();
        assert!(find(&file).is_none(), "not executable");
        assert!(find(Path::new("sh")).is_some());
    }
}
