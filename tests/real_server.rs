//! MLflow and MLServer as real processes, started from the virtual environments of `tests/servers/README.md`.
//!
//! What it hides: ports, waiting until a server answers, logs, and ending everything. What must stay true: no server
//! outlives its [`RealServer`]; a server that does not start fails the test with the end of its log.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;
use url::Url;

/// How long a server may take to answer for the first time. The first start after the set-up compiles all of Python's
/// imports, on two cores that others keep busy.
const START_LIMIT: Duration = Duration::from_mins(5);
/// Tries with another port, for the case that somebody took the free one in between.
const PORT_TRIES: u32 = 3;
/// The scripts and requirement files.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/servers");

/// A server process with everything that it started; ended on drop.
#[derive(Debug)]
pub struct RealServer {
    /// Its base URL, on loopback.
    pub url: Url,
    /// Its working folder: data, logs, model repository.
    folder: TempDir,
    running: Running,
}

#[derive(Debug)]
enum Running {
    /// A child of this process, leader of its process group.
    Child(Child),
    /// A process group named in a file, since a reload replaces it behind our back.
    PidFile { file: PathBuf, restart: Vec<String> },
}

/// What `mlflow_register.py` registered.
#[derive(Debug, Clone, Deserialize)]
pub struct Registered {
    /// The registered model.
    pub model: String,
    /// The alias that was set.
    pub alias: String,
    /// The version that the alias points at.
    pub live: String,
    /// The versions, oldest first.
    pub versions: Vec<RegisteredVersion>,
    /// The names of the 30 features.
    pub columns: Vec<String>,
    /// Three malignant rows: a good version predicts 0 for them, a bad one 1.
    pub rows: Vec<Vec<f64>>,
}

/// One version of [`Registered`].
#[derive(Debug, Clone, Deserialize)]
pub struct RegisteredVersion {
    /// MLflow's number of it.
    pub version: String,
    /// `good` or `bad`.
    pub kind: String,
    /// The metric logged with its run.
    pub accuracy: f64,
    /// What it predicts for [`Registered::rows`].
    pub predictions: Vec<i64>,
}

impl RealServer {
    /// An empty MLflow tracking server with its model registry.
    pub fn mlflow_tracking() -> Self {
        let environment = environment("mlflow");
        Self::start("/health", |port, folder| {
            let mut command = python_command(&environment.join("bin/mlflow"), &environment);
            command.args(["server", "--host", "127.0.0.1", "--workers", "1"]);
            command.args(["--port", &port.to_string()]);
            command.arg("--backend-store-uri").arg(format!("sqlite:///{}", folder.join("mlflow.db").display()));
            command.arg("--artifacts-destination").arg(folder.join("artifacts"));
            command
        })
    }

    /// Registers versions (`good` or `bad`, oldest first) of `model` with this tracking server; `champion` then points at
    /// the last one.
    pub fn register(&self, model: &str, kinds: &[&str]) -> Registered {
        let environment = environment("mlflow");
        let mut command = python_command(&environment.join("bin/python"), &environment);
        command.arg(format!("{SCRIPTS}/mlflow_register.py"));
        command.args(["--tracking-uri", self.url.as_str(), "--model", model, "--versions", &kinds.join(",")]);
        serde_json::from_str(&run(command.current_dir(self.folder.path()))).expect("the script prints its JSON last")
    }

    /// An MLflow scoring server of a model URI such as `models:/bc@champion`, resolved once, at its start.
    pub fn mlflow_scoring(tracking: &Self, model_uri: &str) -> Self {
        let environment = environment("mlflow");
        let folder = TempDir::new().expect("a temporary folder");
        let port = free_port();
        let file = folder.path().join("scoring.pid");
        let path = |path: PathBuf| path.to_str().expect("a UTF-8 path").to_owned();
        let restart = vec![
            path(environment.join("bin/python")),
            format!("{SCRIPTS}/mlflow_scoring.py"),
            "--tracking-uri".into(),
            tracking.url.to_string(),
            "--model-uri".into(),
            model_uri.into(),
            "--port".into(),
            port.to_string(),
            "--pid-file".into(),
            path(file.clone()),
            "--log".into(),
            path(folder.path().join("log")),
            "--seconds".into(),
            START_LIMIT.as_secs().to_string(),
        ];
        let server = Self { url: loopback(port), folder, running: Running::PidFile { file, restart } };
        let words = server.restart_command();
        run(python_command(Path::new(&words[0]), &environment).args(&words[1..]));
        server
    }

    /// The command, program first, that restarts a scoring server so that it resolves its model URI again.
    pub fn restart_command(&self) -> &[String] {
        match &self.running {
            Running::PidFile { restart, .. } => restart,
            Running::Child(_) => panic!("only a scoring server has a restart command"),
        }
    }

    /// An MLServer with the model `bc`: version 1 is good, version 2 bad and, as the highest, the default.
    pub fn mlserver() -> Self {
        let environment = environment("mlserver");
        Self::start("/v2/models/bc/ready", |port, folder| {
            let models = folder.join("models");
            let mut script = python_command(&environment.join("bin/python"), &environment);
            script.arg(format!("{SCRIPTS}/mlserver_models.py")).arg("--out").arg(&models);
            script.args(["--http-port", &port.to_string(), "--grpc-port", &free_port().to_string()]);
            script.args(["--metrics-port", &free_port().to_string()]);
            run(&mut script);
            let mut command = python_command(&environment.join("bin/mlserver"), &environment);
            command.arg("start").arg(models);
            command
        })
    }

    /// The model repository of an MLServer: one folder per model, and in it one per version.
    pub fn model_repository(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.folder.path().join("log"))
    }

    fn start(ready: &str, command: impl Fn(u16, &Path) -> Command) -> Self {
        let mut last = String::new();
        for _ in 0..PORT_TRIES {
            let folder = TempDir::new().expect("a temporary folder");
            let log = folder.path().join("log");
            let file = std::fs::File::create(&log).expect("a log file");
            let port = free_port();
            let mut command = command(port, folder.path());
            command.current_dir(folder.path()).stdin(Stdio::null());
            command.stdout(file.try_clone().expect("a second handle")).stderr(file);
            own_group(&mut command);
            let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} could not be started: {error}"));
            let mut server = Self { url: loopback(port), folder, running: Running::Child(child) };
            if server.wait_until_ready(port, ready) {
                return server;
            }
            last = server.log_tail();
        }
        panic!("a server ended while it started, {PORT_TRIES} times; the end of its log:\n{last}");
    }

    /// Whether it answers; `false` when it ended by itself. Panics when it does neither in time.
    fn wait_until_ready(&mut self, port: u16, path: &str) -> bool {
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if let Running::Child(child) = &mut self.running
                && let Ok(Some(_)) = child.try_wait()
            {
                return false;
            }
            if status_of(port, path) == Some(200) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{path} did not answer 200 within {} s", START_LIMIT.as_secs());
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report(&format!("--- the end of the log of {} ---\n{}", self.url, self.log_tail()));
        }
        match &mut self.running {
            Running::Child(child) => {
                end_group(child.id());
                child.kill().ok();
                child.wait().ok();
            }
            Running::PidFile { file, .. } => {
                if let Some(id) = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
                    end_group(id);
                }
            }
        }
    }
}

/// The folder of a virtual environment; panics with the command that makes it when it is missing.
fn environment(name: &str) -> PathBuf {
    let folder = servers_folder().join(name);
    assert!(
        folder.join("bin/python").exists(),
        "the real servers are not set up; run `cargo xtask setup`, or\n  python3 -m venv {folder} && {folder}/bin/pip \
         install -r {SCRIPTS}/requirements-{name}.txt",
        folder = folder.display(),
    );
    folder
}

fn servers_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("PILOTHOUSE_SERVERS_DIR") {
        return folder.into();
    }
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        return PathBuf::from(target).join("servers");
    }
    // A test runs from TARGET/PROFILE/deps.
    let program = std::env::current_exe().expect("the test knows its own path");
    program.ancestors().nth(3).expect("a test stands three folders deep in the target directory").join("servers")
}

/// A program of a virtual environment, without what would make it slow, chatty or take a proxy to loopback.
fn python_command(program: &Path, environment: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(environment.join("bin")).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).expect("folders without a separator in their names"));
    // MLflow would start half a dozen further processes for jobs that no test gives it.
    command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
    command.env("MLFLOW_DISABLE_TELEMETRY", "true").env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command.env("GIT_PYTHON_REFRESH", "quiet").env_remove("PYTHONDONTWRITEBYTECODE");
    command
}

/// Runs a script to its end and gives the last line of its output; panics with its error output when it fails.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} could not be run: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}\n{errors}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim_end().lines().next_back().unwrap_or_default().to_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn loopback(port: u16) -> Url {
    format!("http://127.0.0.1:{port}/").parse().expect("a valid URL")
}

/// The status of a GET, if there is an answer.
fn status_of(port: u16, path: &str) -> Option<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").as_bytes())
        .ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[expect(clippy::print_stderr, reason = "the log of a failed test belongs into the test's output")]
fn report(text: &str) {
    eprintln!("{text}");
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

/// Ends a process group, whose id is that of its first process.
#[cfg(unix)]
fn end_group(id: u32) {
    if let Some(id) = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process_group(id, rustix::process::Signal::KILL).ok();
    }
}

#[cfg(not(unix))]
fn end_group(_id: u32) {}
