//! A real `MLServer` for containers of empty images: this machine's own folders, mounted read-only, hold its programs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{SCRIPTS, environment};

/// Inside of its container.
pub(super) const HTTP_PORT: u16 = 8080;
/// Inside of its container.
pub(super) const METRICS_PORT: u16 = 8082;

/// What a container mounts, and what it runs.
pub(super) struct ContainedMlserver {
    /// Folders to mount at their own paths.
    pub(super) folders: Vec<PathBuf>,
    /// The command line.
    pub(super) command: [String; 3],
}

impl ContainedMlserver {
    /// Writes the models `bc`, of which version 2 is the default, into a folder below this one.
    pub(super) fn new(folder: &Path) -> Self {
        let models = folder.join("models");
        let mut script = environment::program("mlserver", "python");
        script.arg(format!("{SCRIPTS}/mlserver_models.py")).arg("--out").arg(&models);
        script.args(["--http-port", &HTTP_PORT.to_string(), "--grpc-port", "8081"]);
        environment::run(script.args(["--metrics-port", &METRICS_PORT.to_string()]));
        listen_on_every_interface(&models.join("settings.json"));
        let home = environment::folder("mlserver").canonicalize().expect("a folder");
        let python = home.join("bin/python").canonicalize().expect("a program");
        let python = python.ancestors().nth(2).expect("PREFIX/bin/python").to_path_buf();
        let command = [home.join("bin/mlserver").display().to_string(), "start".into(), models.display().to_string()];
        let mut folders = system_folders();
        folders.extend([home, python, models]);
        folders.dedup();
        Self { folders, command }
    }
}

/// Those with the programs and libraries of this machine.
pub(super) fn system_folders() -> Vec<PathBuf> {
    ["/bin", "/lib", "/lib64", "/usr"].map(PathBuf::from).into_iter().filter(|folder| folder.exists()).collect()
}

/// Lets a command find the programs of packages that were unpacked into this folder of the set-up.
pub(super) fn add_unpacked_to_path(command: &mut Command, name: &str) -> PathBuf {
    let folder = environment::servers_folder().join(name);
    assert!(folder.join(".stamp").exists(), "`{name}` is not set up; run `cargo xtask setup --all`");
    let folder = folder.canonicalize().expect("a folder");
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value.map(OsString::from));
    let path = path.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let own = ["usr/bin", "usr/sbin", "bin"].map(|inner| folder.join(inner));
    let folders = own.into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).expect("folders without a separator in their names"));
    folder
}

/// In a container, loopback is the container's own.
fn listen_on_every_interface(settings: &Path) {
    let text = std::fs::read_to_string(settings).unwrap_or_else(|error| panic!("{}: {error}", settings.display()));
    let mut read: serde_json::Value = serde_json::from_str(&text).expect("settings.json is JSON");
    read["host"] = "0.0.0.0".into();
    std::fs::write(settings, read.to_string()).expect("a file");
}
