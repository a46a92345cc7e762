//! Where the environments are, and how their programs are called.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::SCRIPTS;

/// The folder of an environment; panics with the command that makes it when it is missing.
pub(super) fn folder(name: &str) -> PathBuf {
    let folder = servers_folder().join(name);
    let all = if requirements(name).1 { " --all" } else { "" };
    assert!(
        folder.join(".stamp").exists(),
        "the real server `{name}` is not set up in {}; run `cargo xtask setup{all}`",
        folder.display(),
    );
    folder
}

/// The version of a package that an environment pins.
pub fn pinned(environment: &str, package: &str) -> String {
    let (file, _) = requirements(environment);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let version = text.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
    version.unwrap_or_else(|| panic!("{} does not pin {package}", file.display())).trim().to_owned()
}

/// An environment's requirements, and whether it is one of the heavy ones.
fn requirements(environment: &str) -> (PathBuf, bool) {
    let name = format!("requirements-{environment}.txt");
    let heavy = Path::new(SCRIPTS).join("heavy").join(&name);
    if heavy.exists() { (heavy, true) } else { (Path::new(SCRIPTS).join(name), false) }
}

pub(super) fn servers_folder() -> PathBuf {
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

/// `bin/PROGRAM` of an environment.
pub(super) fn program(environment: &str, program: &str) -> Command {
    command(&folder(environment).join("bin").join(program))
}

/// A program of an environment, without what would make it slow, chatty or take a proxy to loopback.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = program.parent().map(Path::to_path_buf);
    let folders = own.into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).expect("folders without a separator in their names"));
    // MLflow would start half a dozen further processes for jobs that no test gives it.
    command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
    for (name, value) in [
        ("NO_PROXY", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
        ("DO_NOT_TRACK", "1"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("BENTOML_DO_NOT_TRACK", "True"),
        ("GIT_PYTHON_REFRESH", "quiet"),
        ("HF_HUB_OFFLINE", "1"),
    ] {
        command.env(name, value);
    }
    command.env_remove("PYTHONDONTWRITEBYTECODE");
    command
}

/// Runs a script to its end and gives the last line of its output; panics with its error output when it fails.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} could not be run: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}\n{errors}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim_end().lines().next_back().unwrap_or_default().to_owned()
}
