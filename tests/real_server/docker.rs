//! A real Docker engine: `dockerd` from the packages of Debian and Ubuntu, started as root on Linux.
//!
//! What it hides: a network and a mount namespace of its own, so that nothing of it (bridge, rules, mounts) is left on
//! this machine or meets an engine that runs already. What must stay true: it ends with its value, and its containers
//! with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

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
        let programs = environment::servers_folder().join("docker");
        assert!(programs.join(".stamp").exists(), "Docker is not set up; run `cargo xtask setup --all`");
        let programs = programs.canonicalize().expect("a folder");
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
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = ["usr/bin", "usr/sbin"].map(|name| programs.join(name));
        let folders = folders.into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).expect("folders without a separator in their names"));
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
        self.run(name, image, options, &[], &["/bin/sleep", "3600"]);
    }

    /// Runs a container with a real `MLServer` in it, published at [`port`](Self::port). It serves the model `bc`, of which
    /// version 2 is the default.
    pub fn run_mlserver(&self, name: &str, image: &str) {
        let models = self.folder.path().join("models");
        let home = environment::folder("mlserver").canonicalize().expect("a folder");
        let mut script = environment::program("mlserver", "python");
        script.arg(format!("{SCRIPTS}/mlserver_models.py")).arg("--out").arg(&models);
        script.args(["--http-port", "8080", "--grpc-port", "8081", "--metrics-port", "8082"]);
        environment::run(&mut script);
        listen_on_every_interface(&models.join("settings.json"));
        let python = home.join("bin/python").canonicalize().expect("a program");
        let python = python.ancestors().nth(2).expect("PREFIX/bin/python");
        let published = [(self.port, 8080), (self.port + METRICS_PORT_ABOVE, 8082)];
        let published = published.map(|(outer, inner)| format!("--publish=127.0.0.1:{outer}:{inner}"));
        let published: Vec<&str> = published.iter().map(String::as_str).collect();
        let options = [&["--expose=8081", "--tmpfs=/tmp:exec"], published.as_slice()].concat();
        let (program, models) = (home.join("bin/mlserver"), models.display().to_string());
        let command = [&program.display().to_string(), "start", &models];
        self.run(name, image, &options, &[&home, python, Path::new(&models)], &command);
    }

    /// Ends a container's processes at once.
    pub fn kill(&self, name: &str) {
        self.must(&["kill", name]);
    }

    /// Starts a container again.
    pub fn start_again(&self, name: &str) {
        self.must(&["start", name]);
    }

    /// The programs come from this machine's own folders, mounted read-only.
    fn run(&self, name: &str, image: &str, options: &[&str], more: &[&Path], command: &[&str]) {
        let own = ["/bin", "/lib", "/lib64", "/usr"].map(Path::new).into_iter().filter(|folder| folder.exists());
        let mounts = own.chain(more.iter().copied()).map(|folder| format!("--volume={0}:{0}:ro", folder.display()));
        let mounts: Vec<String> = mounts.collect();
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

/// In a container, loopback is the container's own.
fn listen_on_every_interface(settings: &Path) {
    let text = std::fs::read_to_string(settings).unwrap_or_else(|error| panic!("{}: {error}", settings.display()));
    let mut read: serde_json::Value = serde_json::from_str(&text).expect("settings.json is JSON");
    read["host"] = "0.0.0.0".into();
    std::fs::write(settings, read.to_string()).expect("a file");
}
