//! `cargo xtask package`: the installable package, made by the Tauri CLI of the UI's node modules.

use std::path::PathBuf;
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
    let cli = workspace.ui().join("node_modules").join(".bin").join("tauri");
    let mut command = workspace.command(cli);
    command.args(["build", "--bundles", "deb"]);
    if debug {
        command.arg("--debug");
    }
    // The bundler takes `CI=1` (not the common `CI=true`) for a boolean of its own; it needs none here.
    command.env_remove("CI");
    process::run(&mut command)?;
    let profile = if debug { "debug" } else { "release" };
    println!("package: {}", newest_package(&workspace.target.join(profile).join("bundle").join("deb"))?.display());
    Ok(())
}

fn newest_package(folder: &std::path::Path) -> Result<PathBuf> {
    let modified = |file: &PathBuf| file.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    files::walk(folder, &|_| true)?
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "deb"))
        .max_by_key(modified)
        .with_context(|| format!("the build ended well, but there is no .deb in `{}`", folder.display()))
}
