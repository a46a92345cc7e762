//! The OpenSSH server of the tests: unpacked from the distribution's packages into `<target>/servers/openssh`.
//!
//! It is unpacked and not installed, since installing the package would start a service on this machine. A `sshd` that is
//! installed already is taken as it is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// The server, and the libraries that only it needs. Not every release has them.
const SERVER: &str = "openssh-server";
const LIBRARIES: [&str; 2] = ["libwrap0", "libnsl2"];

/// Makes sure that there is an OpenSSH server, or says how to get one.
pub(crate) fn server(workspace: &Workspace) -> Result<()> {
    let folder = workspace.servers().join("openssh");
    if Path::new("/usr/sbin/sshd").exists() || folder.join(".stamp").exists() {
        println!("OpenSSH server: present");
        return Ok(());
    }
    if process::find_program("apt-get").is_none() || process::find_program("dpkg-deb").is_none() {
        bail!(
            "the tests need `/usr/sbin/sshd`, which they start themselves on loopback: install the OpenSSH server (it need \
             not run), or leave the stage out: `cargo xtask test --skip servers`"
        );
    }
    unpack(workspace, &folder).context("cannot unpack the OpenSSH server from its packages")
}

fn unpack(workspace: &Workspace, folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let download =
        |name: &str| process::run(Command::new("apt-get").args(["-qq", "download", name]).current_dir(folder));
    if download(SERVER).is_err() {
        // A fresh image has no package lists, or old ones.
        process::run(&mut super::system::as_root(&["apt-get", "-qq", "update"]))?;
        download(SERVER)?;
    }
    for library in LIBRARIES {
        download(library).ok();
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    for package in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
        process::run(workspace.command("dpkg-deb").arg("--extract").arg(package).arg(folder))?;
        std::fs::remove_file(package).with_context(|| format!("cannot remove `{}`", package.display()))?;
    }
    if !folder.join("usr/sbin/sshd").exists() {
        bail!("`{}` holds no usr/sbin/sshd", folder.display());
    }
    let stamp = folder.join(".stamp");
    std::fs::write(&stamp, "").with_context(|| format!("cannot write `{}`", stamp.display()))
}
