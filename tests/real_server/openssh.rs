//! A real OpenSSH server on loopback, as a jump host with keys and a configuration of its own.
//!
//! What must stay true: it lets in two keys and nobody's password; nothing of this machine's own SSH set-up is read or
//! changed. As root it runs as the user `daemon`: a server that is root wants a user and a folder of the system, and one
//! that is not root lets in itself alone, unless its account is locked as that of `nobody` is.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::Guarded;
use super::{environment, free_port, report, tail};

const START_LIMIT: Duration = Duration::from_mins(1);
/// The passphrase of the user's second key.
pub const PASSPHRASE: &str = "marker-5b2e90c4-ssh-passphrase";
/// An installed server; else the one that the set-up unpacked is taken.
const INSTALLED: &str = "/usr/sbin/sshd";

/// An OpenSSH server; ended on drop.
#[derive(Debug)]
pub struct OpenSsh {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The user that it lets in.
    pub user: String,
    folder: TempDir,
    process: Option<Guarded>,
}

impl OpenSsh {
    /// One that lets connections through.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// One with further lines of `sshd_config`.
    pub fn start_with(lines: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut server = Self { port: free_port(), user: user(), folder, process: None };
        server.make_key("host", "ed25519", "");
        server.make_key("host-ecdsa", "ecdsa", "");
        for (name, passphrase) in [("key", ""), ("locked", PASSPHRASE), ("stranger", "")] {
            server.make_key(name, "ed25519", passphrase);
        }
        std::fs::write(server.file("authorized"), server.text("key.pub") + &server.text("locked.pub")).expect("a file");
        let path = |name: &str| server.file(name).display().to_string();
        let mut text = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nLogLevel VERBOSE\n{lines}\n",
            server.port,
            path("host"),
            path("host-ecdsa"),
            path("authorized"),
        );
        // OpenSSH 9.8 and later are several programs.
        for (option, program) in [("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")] {
            if !Path::new(INSTALLED).exists() && unpacked().join("usr/lib/openssh").join(program).exists() {
                text.extend([option, " ", path(program).as_str(), "\n"]);
            }
        }
        std::fs::write(server.file("config"), text).expect("a file");
        server.give_to_the_server();
        server.start_again();
        server
    }

    /// The private key that it lets in.
    pub fn key_file(&self) -> PathBuf {
        self.file("key")
    }

    /// Another one that it lets in, under [`PASSPHRASE`].
    pub fn locked_key_file(&self) -> PathBuf {
        self.file("locked")
    }

    /// One that it does not let in.
    pub fn stranger_key_file(&self) -> PathBuf {
        self.file("stranger")
    }

    /// The fingerprint of its own key of type ed25519, as `ssh-keygen` tells it.
    pub fn fingerprint(&self) -> String {
        self.fingerprint_of("host.pub")
    }

    /// That of its other key, which it shows to those who ask for its algorithm.
    pub fn other_fingerprint(&self) -> String {
        self.fingerprint_of("host-ecdsa.pub")
    }

    /// Its keys as lines for `~/.ssh/known_hosts`.
    pub fn known_hosts(&self) -> String {
        ["host.pub", "host-ecdsa.pub"].map(|name| format!("[127.0.0.1]:{} {}", self.port, self.text(name))).concat()
    }

    /// How often somebody logged in.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey for ").count()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Ends it and every session at once.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Starts it again after [`kill`](Self::kill), at the same port.
    pub fn start_again(&mut self) {
        let own = self.file("sshd");
        let program = if own.exists() { own } else { INSTALLED.into() };
        let mut command = Command::new(if is_root() { Path::new("setpriv") } else { &program });
        if is_root() {
            command.args(["--reuid=daemon", "--regid=daemon", "--clear-groups"]).arg(&program);
        }
        command.args(["-D", "-e", "-f"]).arg(self.file("config")).env("LD_LIBRARY_PATH", self.folder.path());
        let mut process = Guarded::start(&command, self.folder.path(), &self.file("log"));
        let started = Instant::now();
        while !greets(self.port) {
            assert!(!process.has_ended(), "sshd ended while it started:\n{}", tail(&self.file("log")));
            assert!(started.elapsed() < START_LIMIT, "sshd did not greet:\n{}", tail(&self.file("log")));
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
    }

    /// An agent that holds the key.
    pub fn agent(&self) -> Agent {
        let socket = self.file("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket);
        let process = Guarded::start(&command, self.folder.path(), &self.file("agent-log"));
        let started = Instant::now();
        while !socket.exists() {
            assert!(started.elapsed() < START_LIMIT, "ssh-agent made no socket");
            std::thread::sleep(Duration::from_millis(20));
        }
        run(Command::new("ssh-add").arg("-q").arg(self.key_file()).env("SSH_AUTH_SOCK", &socket));
        Agent { socket, _process: process }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).expect("a text file")
    }

    fn fingerprint_of(&self, name: &str) -> String {
        let output = Command::new("ssh-keygen").arg("-lf").arg(self.file(name)).output().expect("ssh-keygen runs");
        let line = String::from_utf8(output.stdout).expect("a text");
        line.split_whitespace().nth(1).expect("a fingerprint").to_owned()
    }

    fn make_key(&self, name: &str, kind: &str, passphrase: &str) {
        run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(self.file(name)));
    }

    /// What it is made of, where another user can read it: the set-up's folder may lie in somebody's home.
    fn give_to_the_server(&self) {
        if !Path::new(INSTALLED).exists() {
            let mut files = vec![unpacked().join("usr/sbin/sshd")];
            assert!(files[0].exists(), "there is no OpenSSH server; run `cargo xtask setup`");
            let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
            for folder in ["usr/lib/openssh".to_owned(), format!("usr/lib/{triple}"), format!("lib/{triple}")] {
                let entries = std::fs::read_dir(unpacked().join(folder)).into_iter().flatten().flatten();
                files.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
            }
            for file in files {
                std::fs::copy(&file, self.file(&file.file_name().expect("a file").to_string_lossy())).expect("a copy");
            }
        }
        if is_root() {
            run(Command::new("chmod").arg("711").arg(self.folder.path()));
            let own = ["host", "host-ecdsa", "config", "authorized"].map(|name| self.file(name));
            run(Command::new("chown").arg("daemon").args(own));
        }
    }
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report(&format!("--- the end of the log of sshd ---\n{}", tail(&self.file("log"))));
        }
    }
}

/// A running SSH agent; ended on drop.
#[derive(Debug)]
pub struct Agent {
    /// Where it listens.
    pub socket: PathBuf,
    _process: Guarded,
}

fn unpacked() -> PathBuf {
    environment::servers_folder().join("openssh")
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

fn user() -> String {
    if is_root() { "daemon".into() } else { std::env::var("USER").expect("USER names the user") }
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} failed");
}

fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok();
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).is_ok() && greeting == *b"SSH-"
}
