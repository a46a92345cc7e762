//! The real program, and a demo fleet to point it at.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_domain::{Cell, Label};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing waited for here takes this long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(45);

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) exit: i32,
    pub(crate) json: Value,
    pub(crate) stderr: String,
}

impl Reply {
    /// The answer of a command that had to end with this exit code.
    #[track_caller]
    pub(crate) fn expect(self, exit: i32) -> Value {
        assert_eq!(self.exit, exit, "{} {}", self.json, self.stderr);
        self.json
    }

    /// The error code of a command that had to end with this exit code. Every error has the same three fields.
    #[track_caller]
    pub(crate) fn expect_error(self, exit: i32) -> String {
        let json = self.expect(exit);
        assert_eq!(fields(&json), ["error"], "{json}");
        assert_eq!(fields(&json["error"]), ["code", "hint", "message"], "{json}");
        assert!(json["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{json}");
        json["error"]["code"].as_str().expect("a code").to_owned()
    }
}

/// The names of an object's fields.
pub(crate) fn fields(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Checks that an object has (at least) these fields.
#[track_caller]
pub(crate) fn has_fields(value: &Value, names: &str) {
    for name in names.split_whitespace() {
        assert!(value.get(name).is_some(), "`{name}` is missing in {value}");
    }
}

/// A program that was started and is ended with the test.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("a process of ours");
    }

    /// Waits for its end and reads what it answered.
    pub(crate) fn reply(mut self) -> Reply {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("a process of ours").is_none() {
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("text");
        self.child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        let exit = self.child.wait().expect("it ended").code().unwrap_or(-1);
        assert_eq!(stdout.trim_end().lines().count(), 1, "one document on standard output: {stdout:?} {stderr:?}");
        let json = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout:?}"));
        Reply { exit, json, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the program with `--json`, and without any keyring.
pub(crate) fn start(arguments: &[&str]) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_pilothousectl"))
        .args(arguments)
        .arg("--json")
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    Running { child }
}

/// Runs the program with `--json` to its end.
pub(crate) fn run(arguments: &[&str]) -> Reply {
    start(arguments).reply()
}

/// A database of its own, and a running demo fleet.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) demo: Value,
    _fleet: Running,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut fleet = start(&["demo", "--port", "0", "--quiet"]);
        let mut line = String::new();
        BufReader::new(fleet.child.stdout.take().expect("piped")).read_line(&mut line).expect("the first line");
        let demo = serde_json::from_str(&line).expect("a JSON document");
        Self { folder: tempfile::tempdir().expect("a folder"), demo, _fleet: fleet }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a command on this database.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let database = self.path("fleet.db");
        let mut all = arguments.to_vec();
        all.extend(["--db", database.to_str().expect("UTF-8")]);
        start(&all)
    }

    /// Runs a command on this database.
    pub(crate) fn run(&self, arguments: &[&str]) -> Reply {
        self.start(arguments).reply()
    }

    /// The URL of a demo model.
    pub(crate) fn url(&self, name: &str) -> String {
        let endpoints = self.demo["endpoints"].as_array().expect("endpoints");
        let endpoint = endpoints.iter().find(|endpoint| endpoint["name"] == name).expect("a demo model");
        endpoint["url"].as_str().expect("a URL").to_owned()
    }

    pub(crate) fn control_url(&self) -> &str {
        self.demo["control_url"].as_str().expect("a URL")
    }

    /// Connects `credit-risk` under the name `credit`, with its golden set and its registry.
    pub(crate) fn connect_credit(&self) {
        let golden = golden_csv(&self.path("golden.csv"));
        let golden = golden.to_str().expect("UTF-8");
        let imported =
            self.run(&["golden", "import", "credit-golden", "--file", golden, "--label", "target"]).expect(0);
        assert_eq!(imported["n"], 250);
        let rows = input_csv(&self.path("input.csv"));
        let added = self.run(&[
            "endpoint",
            "add",
            "credit",
            "--url",
            &self.url("credit-risk"),
            "--protocol",
            "v2",
            "--model",
            "credit-risk",
            "--interval-ms",
            "1000",
            "--input",
            rows.to_str().expect("UTF-8"),
            "--golden",
            "credit-golden",
            "--evaluation-interval-ms",
            "5000",
            "--control-plane",
            "demo",
            "--control-url",
            self.control_url(),
        ]);
        has_fields(&added.expect(0), "id name url protocol model environment interval_ms");
    }

    /// Ships the defective version.
    pub(crate) fn inject_defect(&self) {
        let injected =
            self.run(&["demo", "inject", "credit-risk", "version_defect", "--control-url", self.control_url()]);
        assert_eq!(injected.expect(0)["fault"], "version_defect");
    }

    /// Runs a command until its answer fits.
    pub(crate) fn wait_for(&self, arguments: &[&str], fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.run(arguments);
            if fits(&reply.json) {
                return reply.json;
            }
            assert!(Instant::now() < deadline, "{arguments:?} stays at {}", reply.json);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The golden rows of `credit-risk` with their labels in the column `target`.
fn golden_csv(path: &Path) -> PathBuf {
    write_csv(path, usize::MAX, true)
}

/// A few rows of it without labels.
pub(crate) fn input_csv(path: &Path) -> PathBuf {
    write_csv(path, 6, false)
}

fn write_csv(path: &Path, rows: usize, labelled: bool) -> PathBuf {
    let sets = pilothouse_demo::golden_sets();
    let set = sets.iter().find(|set| set.table.columns.iter().any(|column| column.name == "credit_amount"));
    let set = set.expect("the golden set of credit-risk");
    let cell = |cell: &Cell| match cell {
        Cell::Number(value) => value.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Missing => String::new(),
    };
    let mut lines: Vec<Vec<String>> = vec![set.table.columns.iter().map(|column| column.name.clone()).collect()];
    lines.extend(set.table.rows.iter().take(rows).map(|row| row.iter().map(cell).collect()));
    if labelled {
        let class = |label: &Label| match label {
            Label::Class(class) => set.task.classes()[*class as usize].clone(),
            Label::Value(value) => value.to_string(),
        };
        let labels = std::iter::once("target".to_owned()).chain(set.labels.iter().map(class));
        lines.iter_mut().zip(labels).for_each(|(line, label)| line.push(label));
    }
    let text: Vec<String> = lines.iter().map(|line| line.join(",")).collect();
    std::fs::write(path, text.join("\n")).expect("a file");
    path.to_owned()
}
