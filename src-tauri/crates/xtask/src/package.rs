//! `cargo xtask package`: the installable package, made by the Tauri CLI of the UI's node modules. It holds the app and
//! `pilothousectl`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use crate::{files, process};

/// Builds the Debian package and prints where it is.
pub(crate) fn run(workspace: &Workspace, debug: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("packages are made on Linux; on this system run `ui/node_modules/.bin/tauri build` yourself");
    }
    setup::prepare(workspace, Needs { app: true, ui: true, ..Needs::default() })?;
    let profile = if debug { "debug" } else { "release" };
    let mut build = workspace.cargo(&["build", "--package", "pilothouse-cli", "--bin", "pilothousectl"]);
    if !debug {
        build.arg("--release");
    }
    process::run(&mut build)?;
    let mut command = workspace.command(workspace.ui().join("node_modules").join(".bin").join("tauri"));
    command.args(["build", "--bundles", "deb", "--config", &with_cli(&workspace.target.join(profile))]);
    if debug {
        command.arg("--debug");
    }
    // The bundler takes `CI=1` (not the common `CI=true`) for a boolean of its own; it needs none here.
    command.env_remove("CI");
    process::run(&mut command)?;
    println!("package: {}", newest_package(&workspace.target.join(profile).join("bundle").join("deb"))?.display());
    Ok(())
}

/// What is added to `tauri.conf.json`: where the built command line program lies is known only here.
fn with_cli(folder: &Path) -> String {
    let files = serde_json::json!({ "/usr/bin/pilothousectl": folder.join("pilothousectl") });
    serde_json::json!({ "bundle": { "linux": { "deb": { "files": files } } } }).to_string()
}

fn newest_package(folder: &Path) -> Result<PathBuf> {
    let modified = |file: &PathBuf| file.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    files::walk(folder, &|_| true)?
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "deb"))
        .max_by_key(modified)
        .with_context(|| format!("the build ended well, but there is no .deb in `{}`", folder.display()))
}
