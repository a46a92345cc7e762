//! The Prometheus server of the tests: unpacked from the distribution's package into `<target>/servers/prometheus`.
//!
//! It is unpacked and not installed, since installing the package would start a service on this machine. Where there is
//! no apt, a `prometheus` on PATH is taken.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Makes sure that there is a Prometheus server, or says how to get one.
pub(crate) fn server(workspace: &Workspace) -> Result<()> {
    let folder = workspace.servers().join("prometheus");
    if answers(&folder.join("usr/bin/prometheus")) {
        println!("Prometheus: present");
        return Ok(());
    }
    if process::find_program("apt-get").is_some() && process::find_program("dpkg-deb").is_some() {
        return unpack(workspace, &folder).context("cannot unpack Prometheus from its package");
    }
    match process::find_program("prometheus") {
        Some(program) if answers(&program) => {
            println!("Prometheus: `{}`", program.display());
            Ok(())
        }
        _ => bail!(
            "the tests need a Prometheus server: put `prometheus` on PATH (macOS: `brew install prometheus`; others: \
             https://prometheus.io/download), or leave the stage out: `cargo xtask test --skip servers`"
        ),
    }
}

fn answers(program: &Path) -> bool {
    process::output(Command::new(program).arg("--version")).is_some()
}

fn unpack(workspace: &Workspace, folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let download = || process::run(Command::new("apt-get").args(["-qq", "download", "prometheus"]).current_dir(folder));
    if download().is_err() {
        // A fresh image has no package lists, or old ones.
        let mut update = super::system::as_root(&["apt-get", "-qq", "update"]);
        process::run(&mut update)?;
        download()?;
    }
    let package = package_in(folder)?;
    process::run(workspace.command("dpkg-deb").arg("--extract").arg(&package).arg(folder))?;
    std::fs::remove_file(&package).with_context(|| format!("cannot remove `{}`", package.display()))?;
    let program = folder.join("usr/bin/prometheus");
    if !answers(&program) {
        bail!("`{}` was unpacked and does not start", program.display());
    }
    Ok(())
}

fn package_in(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut files = entries.flatten().map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "deb")).context("apt-get left no package")
}
