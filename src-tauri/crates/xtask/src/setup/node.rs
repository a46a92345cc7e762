//! The UI's side: Node's version, `npm ci` when the lock file changed, a build when a source changed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{files, process};

/// The oldest Node that the UI's build tool (Vite 8) runs on.
const OLDEST_NODE: (u32, u32) = (20, 19);

const HOW_TO_INSTALL: &str = "install Node 20.19 or newer with npm: https://nodejs.org/en/download";

/// Node and npm are there and new enough.
pub(crate) fn check() -> Result<()> {
    let Some(version) = process::output(Command::new("node").arg("--version")) else {
        bail!("`node` was not found on PATH; {HOW_TO_INSTALL}");
    };
    let version = version.trim();
    match parse_version(version) {
        Some(found) if found >= OLDEST_NODE => {}
        Some(_) => bail!("node {version} is too old; {HOW_TO_INSTALL}"),
        None => bail!("cannot read node's version from `{version}`; {HOW_TO_INSTALL}"),
    }
    if process::find_program("npm").is_none() && cfg!(unix) {
        bail!("`npm` was not found on PATH; {HOW_TO_INSTALL}");
    }
    Ok(())
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// `npm` in the UI's folder.
pub(crate) fn npm(workspace: &Workspace, arguments: &[&str]) -> Command {
    // On Windows npm is a batch file, which only its full name starts.
    let mut command = workspace.command(if cfg!(windows) { "npm.cmd" } else { "npm" });
    command.current_dir(workspace.ui()).args(arguments);
    command
}

/// Installs exactly what package-lock.json says, unless `node_modules` was made from this lock file.
pub(crate) fn packages(workspace: &Workspace) -> Result<()> {
    let ui = workspace.ui();
    let stamp = ui.join("node_modules").join(".pilothouse-lock");
    let hash = files::hash_file(&ui.join("package-lock.json"))?;
    if files::stamped(&stamp, &hash) {
        println!("node modules: present");
        return Ok(());
    }
    process::run(&mut npm(workspace, &["ci", "--no-audit", "--no-fund"]))?;
    files::write_stamp(&stamp, &hash)
}

/// Builds the UI, unless the built files were made from these sources.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let ui = workspace.ui();
    // Not inside dist: the app embeds every file in there.
    let stamp = ui.join("node_modules").join(".pilothouse-build");
    let hash = files::hash_files(&ui, &sources(workspace)?)?;
    if files::stamped(&stamp, &hash) && ui.join("dist").join("index.html").is_file() {
        println!("UI build: present");
        return Ok(());
    }
    process::run(&mut npm(workspace, &["run", "build"])).context("the UI did not build")?;
    files::write_stamp(&stamp, &hash)
}

fn sources(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    files::walk(&workspace.ui(), &|name| matches!(name, "node_modules" | "dist" | "coverage") || name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions() {
        assert_eq!(parse_version("v20.20.2"), Some((20, 20)));
        assert_eq!(parse_version("v18.13.0"), Some((18, 13)));
        assert_eq!(parse_version("nonsense"), None);
        assert!(parse_version("v18.13.0").unwrap() < OLDEST_NODE);
        assert!(parse_version("v22.1.0").unwrap() > OLDEST_NODE);
    }
}
