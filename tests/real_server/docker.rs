//! A real Docker engine, where this machine has one to start: `dockerd` from Debian's `docker.io`, as root.
//!
//! What it hides: a network and a mount namespace of its own, so that nothing of it (bridge, rules, mounts) is left on
//! this machine or meets an engine that runs already. What must stay true: it ends with its value.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::Guarded;

/// A started engine; ended on drop, with its containers.
#[derive(Debug)]
pub struct DockerEngine {
    folder: TempDir,
    /// Ends the engine.
    _process: Guarded,
}

impl DockerEngine {
    /// Starts one; `None` where there is nothing to start (no `dockerd`, no `docker`, no `unshare`, not root, not Linux).
    /// One that is there and does not start fails the test.
    pub fn start() -> Option<Self> {
        let is_root = cfg!(target_os = "linux") && Path::new("/proc/self").exists() && is_root();
        if !is_root || ["dockerd", "docker", "containerd", "runc", "unshare"].iter().any(|name| !is_installed(name)) {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("pilothouse-docker-").tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private", "sh", "-c"]);
        // Loopback is down in a new network namespace.
        command.arg("ip link set lo up; exec dockerd \"$@\"").arg("dockerd");
        command.args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")]);
        command.args(["--host", &format!("unix://{}", at("docker.sock"))]);
        command.args(["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--storage-driver=vfs"]);
        let log = folder.path().join("log");
        let mut process = Guarded::start(&command, folder.path(), &log);
        let limit = Instant::now() + super::START_LIMIT;
        let engine = loop {
            let asked =
                Command::new("docker").args(["--host", &format!("unix://{}", at("docker.sock")), "version"]).output();
            if asked.is_ok_and(|output| output.status.success()) {
                break Self { folder, _process: process };
            }
            let written = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!process.has_ended(), "dockerd ended:\n{}", written());
            assert!(Instant::now() < limit, "dockerd did not answer:\n{}", written());
            thread::sleep(Duration::from_millis(100));
        };
        Some(engine)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Makes an image of this name that holds no files.
    pub fn make_empty_image(&self, name: &str) {
        let mut import = self.command(&["import", "-", name]);
        let mut import = import.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("docker import");
        // Two blocks of zeros are an archive without files.
        import.stdin.take().expect("its input").write_all(&[0; 1024]).expect("docker import reads");
        assert!(import.wait().expect("docker import ends").success());
    }

    /// Runs a container that sleeps, with this machine's own programs mounted read-only.
    pub fn run_sleeper(&self, name: &str, image: &str, options: &[&str]) {
        let mounts = ["/bin", "/lib", "/lib64", "/usr"].iter().filter(|folder| Path::new(folder).exists());
        let mounts: Vec<String> = mounts.map(|folder| format!("--volume={folder}:{folder}:ro")).collect();
        let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
        let arguments = [&["run", "--detach", "--name", name][..], options, &mounts, &[image, "/bin/sleep", "3600"]];
        let output = self.command(&arguments.concat()).output().expect("docker run");
        assert!(output.status.success(), "docker run: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        // The engine takes its containers' control groups away; the guard ends what is left.
        let listed: Option<Output> = self.command(&["ps", "--all", "--quiet"]).output().ok();
        let ids = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            self.command(&[&["rm", "--force"][..], &ids].concat()).output().ok();
        }
    }
}

fn is_installed(name: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
