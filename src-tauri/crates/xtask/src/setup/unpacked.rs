//! Programs of the tests from the distribution's packages, unpacked into `<target>/servers/<name>`.
//!
//! They are unpacked and not installed, since installing such a package would start a service on this machine. What must
//! stay true: a folder with a stamp is whole.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{files, process};

/// Packages of Debian and Ubuntu that make up one server.
pub(super) struct Unpacked {
    /// The folder's name below `<target>/servers`.
    pub(super) name: &'static str,
    /// The packages with its programs. Libraries that no ordinary system lacks are left to the system.
    pub(super) packages: &'static [&'static str],
    /// Those with libraries that only it needs; not every release has them.
    pub(super) libraries: &'static [&'static str],
}

impl Unpacked {
    /// Whether this machine can unpack such packages.
    pub(super) fn is_possible() -> bool {
        process::find_program("apt-get").is_some() && process::find_program("dpkg-deb").is_some()
    }

    /// Where it stands once it is [`made`](Self::make).
    pub(super) fn folder(&self, workspace: &Workspace) -> PathBuf {
        workspace.servers().join(self.name)
    }

    /// Downloads and unpacks the packages, unless they are there.
    pub(super) fn make(&self, workspace: &Workspace) -> Result<()> {
        let folder = self.folder(workspace);
        let (stamp, packages) = (folder.join(".stamp"), [self.packages, self.libraries].concat().join(" "));
        if files::stamped(&stamp, &packages) {
            println!("{}: present", self.name);
            return Ok(());
        }
        self.unpack(workspace, &folder).with_context(|| format!("cannot unpack `{packages}` from their packages"))?;
        files::write_stamp(&stamp, &packages)
    }

    fn unpack(&self, workspace: &Workspace, folder: &Path) -> Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
        }
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        let download = |names: &[&str]| {
            let mut command = Command::new("apt-get");
            process::run(command.args(["-qq", "download"]).args(names).current_dir(folder))
        };
        if download(self.packages).is_err() {
            // A fresh image has no package lists, or old ones.
            process::run(&mut super::system::as_root(&["apt-get", "-qq", "update"]))?;
            download(self.packages)?;
        }
        for library in self.libraries {
            download(&[library]).ok();
        }
        let packages = packages_in(folder)?;
        if packages.len() < self.packages.len() {
            bail!("apt-get left {} of {} packages", packages.len(), self.packages.len());
        }
        for package in packages {
            process::run(workspace.command("dpkg-deb").arg("--extract").arg(&package).arg(folder))?;
            std::fs::remove_file(&package).with_context(|| format!("cannot remove `{}`", package.display()))?;
        }
        Ok(())
    }
}

fn packages_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let files = entries.flatten().map(|entry| entry.path());
    Ok(files.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
}
