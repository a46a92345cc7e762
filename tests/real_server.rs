//! Real model servers as processes, started from the environments that `servers/README.md` describes.
//!
//! What it hides: ports, waiting until a server answers, logs, and ending everything. What must stay true: no server
//! outlives its [`RealServer`], not even when the test is killed; a server that does not start fails the test with the
//! end of its log.

mod container;
mod docker;
mod environment;
mod heavy;
mod kubernetes;
mod language;
mod mlflow;
mod open_inference;
mod openssh;
mod process;
mod prometheus;
mod python_apps;
mod sagemaker;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use url::Url;

pub use self::docker::DockerEngine;
pub use self::environment::pinned;
pub use self::kubernetes::KubernetesCluster;
pub use self::language::LANGUAGE_KEY;
pub use self::mlflow::{Registered, RegisteredVersion};
pub use self::open_inference::TRITON_KEY;
pub use self::openssh::{Agent, OpenSsh, PASSPHRASE};
use self::process::Guarded;
pub use self::python_apps::LITSERVE_KEY;
pub use self::sagemaker::AwsAccess;

/// How long a server may take to answer for the first time. The first start after the set-up compiles all of Python's
/// imports, on two cores that others keep busy.
const START_LIMIT: Duration = Duration::from_mins(10);
/// Tries with another port, for the case that somebody took the free one in between.
const PORT_TRIES: u32 = 3;
/// How far the port with the metrics stands above the one for HTTP, where it is another one.
const METRICS_PORT_ABOVE: u16 = 2;
/// The scripts and requirement files.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/servers");

/// A server process with everything that it started; ended on drop.
#[derive(Debug)]
pub struct RealServer {
    /// Its base URL, on loopback.
    pub url: Url,
    /// Where it shows its metrics, if it does.
    pub metrics_url: Option<Url>,
    /// Where it is reached over gRPC, if it is.
    pub grpc_url: Option<Url>,
    /// Its working folder: data, logs, model repository.
    folder: TempDir,
    running: Running,
}

#[derive(Debug)]
enum Running {
    /// A process that we hold, and what starts it again: `None` while it was killed.
    Held { command: Box<Command>, ready: Ready, process: Option<Guarded> },
    /// A process group named in a file, since a reload replaces it behind our back.
    PidFile { file: PathBuf, restart: Vec<String> },
}

/// When a server counts as started: this route answers with this status.
#[derive(Debug, Clone)]
struct Ready {
    port: u16,
    path: &'static str,
    status: u16,
    /// A port that must be listened on as well.
    also: Option<u16>,
}

/// How a server is started.
struct Launch {
    command: Command,
    ready: Ready,
    metrics_url: Option<Url>,
    grpc_url: Option<Url>,
}

impl Launch {
    fn new(command: Command, port: u16, ready: &'static str) -> Self {
        Self { command, ready: Ready { port, path: ready, status: 200, also: None }, metrics_url: None, grpc_url: None }
    }

    /// For a server that refuses even its health route without a credential.
    fn refusing(mut self, status: u16) -> Self {
        self.ready.status = status;
        self
    }

    fn with_metrics(mut self, port: u16, path: &str) -> Self {
        self.metrics_url = Some(loopback(port).join(path).expect("a path"));
        self
    }

    fn with_grpc(mut self, port: u16) -> Self {
        self.grpc_url = Some(loopback(port));
        self.ready.also = Some(port);
        self
    }
}

impl RealServer {
    /// The same server, to be reached over gRPC.
    #[must_use]
    pub fn over_grpc(mut self) -> Self {
        self.url = self.grpc_url.clone().expect("the server speaks gRPC");
        self
    }

    /// Ends it at once, with everything that it started, as a crash or a lost machine would.
    pub fn kill(&mut self) {
        match &mut self.running {
            Running::Held { process, .. } => drop(process.take()),
            Running::PidFile { file, .. } => process::end_group_of(file),
        }
    }

    /// Starts it again after [`kill`](Self::kill), at the same URL and in the same folder, and waits until it answers.
    pub fn start_again(&mut self) {
        let log = self.log_file();
        match &mut self.running {
            Running::Held { command, ready, process } => {
                let started = process.insert(Guarded::start(command, self.folder.path(), &log));
                assert!(answers_in_time(started, ready), "it ended while it started again:\n{}", tail(&log));
            }
            Running::PidFile { restart, .. } => {
                let words = restart.clone();
                environment::run(environment::command(Path::new(&words[0])).args(&words[1..]));
            }
        }
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn start(launch: impl Fn(u16, &Path) -> Launch) -> Self {
        let mut last = String::new();
        for _ in 0..PORT_TRIES {
            let folder = TempDir::new().expect("a temporary folder");
            let port = free_port_with_another_two_above();
            let Launch { command, ready, metrics_url, grpc_url } = launch(port, folder.path());
            let mut process = Guarded::start(&command, folder.path(), &folder.path().join("log"));
            let is_up = answers_in_time(&mut process, &ready);
            let running = Running::Held { command: Box::new(command), ready, process: Some(process) };
            let server = Self { url: loopback(port), metrics_url, grpc_url, folder, running };
            if is_up {
                return server;
            }
            last = server.log_tail();
        }
        panic!("a server ended while it started, {PORT_TRIES} times; the end of its log:\n{last}");
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report(&format!("--- the end of the log of {} ---\n{}", self.url, self.log_tail()));
        }
        self.kill();
    }
}

/// Whether it answers; `false` when it ended by itself. Panics when it does neither in time.
fn answers_in_time(process: &mut Guarded, ready: &Ready) -> bool {
    let started = Instant::now();
    while started.elapsed() < START_LIMIT {
        if process.has_ended() {
            return false;
        }
        if status_of(ready.port, ready.path) == Some(ready.status) && ready.also.is_none_or(is_listened_on) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} did not answer {} within {} s", ready.path, ready.status, START_LIMIT.as_secs());
}

/// Copies scripts into a server's own folder: imported from there, they leave nothing behind in the checkout.
fn bring(names: &[&str], folder: &Path) {
    for name in names {
        let target = folder.join(Path::new(name).file_name().expect("a file"));
        std::fs::copy(Path::new(SCRIPTS).join(name), &target)
            .unwrap_or_else(|error| panic!("{name} could not be copied to {}: {error}", target.display()));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// `MLServer`, Triton and `TorchServe` keep their metrics two ports above their HTTP port; so do those that are started here.
fn free_port_with_another_two_above() -> u16 {
    let two_above_is_free = |port: &u16| {
        let above = port.checked_add(METRICS_PORT_ABOVE);
        above.is_some_and(|above| TcpListener::bind((Ipv4Addr::LOCALHOST, above)).is_ok())
    };
    std::iter::repeat_with(free_port).find(two_above_is_free).expect("an endless iterator")
}

fn loopback(port: u16) -> Url {
    format!("http://127.0.0.1:{port}/").parse().expect("a valid URL")
}

fn is_listened_on(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_secs(1)).is_ok()
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
    // Any version: Python's own server speaks HTTP/1.0.
    std::str::from_utf8(&head).ok()?.get(9..)?.parse().ok()
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
