//! A real Docker engine: `dockerd` from the packages of Debian and Ubuntu, started as root on Linux.
//!
//! What it hides: a network and a mount namespace of its own, so that nothing of it (bridge, rules, mounts) is left on
//! this machine or meets an engine that runs already. What must stay true: it ends with its value, and its containers
//! with it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::container::{ContainedMlserver, HTTP_PORT, METRICS_PORT, add_unpacked_to_path, system_folders};
use super::process::Guarded;
use super::{METRICS_PORT_ABOVE, SCRIPTS, START_LIMIT, environment, free_port_with_another_two_above, tail};

/// A started engine; ended on drop, with its containers.
#[derive(Debug)]
pub struct DockerEngine {
    folder: TempDir,
    programs: PathBuf,
    /// The port of ours that leads to the same port in the engine's namespace; so does the one two above it.
    port: u16,
    /// Ends the engine.
    process: Guarded,
}

impl DockerEngine {
    /// Starts one, and waits until it answers.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("pilothouse-docker-").tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let port = free_port_with_another_two_above();
        let mut command = environment::program("uv", "python");
        command.arg(format!("{SCRIPTS}/heavy/in_namespace.py"));
        command.args([port, port + METRICS_PORT_ABOVE].map(|port| format!("{port}:{port}")));
        command.args(["--", "unshare", "--mount", "--propagation", "private", "dockerd"]);
        command.args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")]);
        command.args(["--host", &format!("unix://{}", at("docker.sock"))]);
        command.args(["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--storage-driver=vfs"]);
        let programs = add_unpacked_to_path(&mut command, "docker");
        let log = folder.path().join("log");
        let process = Guarded::start(&command, folder.path(), &log);
        let mut engine = Self { folder, programs, port, process };
        let limit = Instant::now() + START_LIMIT;
        while !engine.command(&["version"]).output().is_ok_and(|output| output.status.success()) {
            assert!(!engine.process.has_ended(), "dockerd ended; it needs root on Linux:\n{}", tail(&log));
            assert!(Instant::now() < limit, "dockerd did not answer:\n{}", tail(&log));
            std::thread::sleep(Duration::from_millis(100));
        }
        engine
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The port of loopback at which a container can be published and reached; with metrics two above.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an image of this name that holds no files.
    pub fn make_empty_image(&self, name: &str) {
        let mut import = self.command(&["import", "-", name]);
        let mut import = import.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("docker import");
        // Two blocks of zeros are an archive without files.
        import.stdin.take().expect("its input").write_all(&[0; 1024]).expect("docker import reads");
        assert!(import.wait().expect("docker import ends").success());
    }

    /// Runs a container that sleeps.
    pub fn run_sleeper(&self, name: &str, image: &str, options: &[&str]) {
        self.run(name, image, options, &system_folders(), &["/bin/sleep", "3600"]);
    }

    /// Runs a container with a real `MLServer` in it, published at [`port`](Self::port). It serves the model `bc`.
    pub fn run_mlserver(&self, name: &str, image: &str) {
        let server = ContainedMlserver::new(self.folder.path());
        let published = [(self.port, HTTP_PORT), (self.port + METRICS_PORT_ABOVE, METRICS_PORT)];
        let published = published.map(|(outer, inner)| format!("--publish=127.0.0.1:{outer}:{inner}"));
        let options = ["--expose=8081", "--tmpfs=/tmp:exec", &published[0], &published[1]];
        self.run(name, image, &options, &server.folders, &server.command.each_ref().map(String::as_str));
    }

    /// Ends a container's processes at once.
    pub fn kill(&self, name: &str) {
        self.must(&["kill", name]);
    }

    /// Starts a container again.
    pub fn start_again(&self, name: &str) {
        self.must(&["start", name]);
    }

    fn run(&self, name: &str, image: &str, options: &[&str], folders: &[PathBuf], command: &[&str]) {
        let mounts: Vec<String> =
            folders.iter().map(|folder| format!("--volume={0}:{0}:ro", folder.display())).collect();
        let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
        self.must(&[&["run", "--detach", "--name", name][..], options, &mounts, &[image], command].concat());
    }

    fn must(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().expect("docker starts");
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("usr/bin/docker"));
        command.arg("--host").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        // The engine takes its containers' control groups away; the guard ends what is left.
        let listed = self.command(&["ps", "--all", "--quiet"]).output().ok();
        let ids = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            self.command(&[&["rm", "--force"][..], &ids].concat()).output().ok();
        }
    }
}
