//! Where things are: the checkout, the one target directory, and how a child `cargo` is called.
//!
//! Every child `cargo` selects the same packages and features, so that one stage reuses what another one compiled:
//! cargo unifies features over the selected packages, and a different selection would rebuild tauri's whole tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The feature that serves the built UI from the binary; see `Cargo.toml`.
pub(crate) const APP_FEATURE: &str = "pilothouse/custom-protocol";

/// The checkout and its target directory.
pub(crate) struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where child builds write; outside the checkout, so that a fresh clone builds warm.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the checkout this binary was built from, and the target directory from the environment.
    pub(crate) fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.ancestors().nth(3).context("xtask is not three folders below the root")?.to_path_buf();
        let target = target_directory(
            &root,
            std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from),
            std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE")).map(PathBuf::from),
        );
        Ok(Self { root, target })
    }

    /// A command in the checkout with the target directory set.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        // Where the tests find the Python servers that `setup` made.
        command.env("PILOTHOUSE_SERVERS_DIR", self.servers());
        command
    }

    /// `cargo SUBCOMMAND…` in the checkout. In CI the lock file must already be right.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(cargo());
        command.args(arguments);
        command
    }

    /// The arguments every workspace-wide build shares.
    pub(crate) fn selection() -> Vec<&'static str> {
        let mut arguments = vec!["--workspace", "--features", APP_FEATURE];
        if in_ci() {
            arguments.push("--locked");
        }
        arguments
    }

    /// The folder of the Python environments: `<target>/servers/<name>`.
    pub(crate) fn servers(&self) -> PathBuf {
        self.target.join("servers")
    }

    /// The UI's folder.
    pub(crate) fn ui(&self) -> PathBuf {
        self.root.join("ui")
    }

    /// A debug binary in the target directory.
    pub(crate) fn debug_binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}

/// Whether this is an unattended run (`CI` is set by every common runner).
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// The override, else one folder per user, else (no home) inside the checkout. A relative override counts from the root.
fn target_directory(root: &Path, given: Option<PathBuf>, home: Option<PathBuf>) -> PathBuf {
    match (given.filter(|path| !path.as_os_str().is_empty()), home.filter(|path| !path.as_os_str().is_empty())) {
        (Some(given), _) => root.join(given),
        (None, Some(home)) => home.join(".cache").join("pilothouse-target"),
        (None, None) => root.join("target").join("pilothouse-target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_directory_is_overridable_and_outside_the_checkout() {
        let root = Path::new("/clone");
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(target_directory(root, None, path("/h")), Path::new("/h/.cache/pilothouse-target"));
        assert_eq!(target_directory(root, path("/t"), path("/h")), Path::new("/t"));
        assert_eq!(target_directory(root, path("here"), path("/h")), Path::new("/clone/here"));
        assert_eq!(target_directory(root, path(""), path("/h")), Path::new("/h/.cache/pilothouse-target"));
        assert_eq!(target_directory(root, None, None), Path::new("/clone/target/pilothouse-target"));
    }

    #[test]
    fn finds_the_checkout() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.root.join("tauri.conf.json").is_file(), "{}", workspace.root.display());
    }
}
