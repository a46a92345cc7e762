//! The OpenSSH server of the tests: the one that is installed, else the distribution's.

use std::path::Path;

use anyhow::{Result, bail};

use super::unpacked::Unpacked;
use crate::workspace::Workspace;

const OPENSSH: Unpacked =
    Unpacked { name: "openssh", packages: &["openssh-server"], libraries: &["libwrap0", "libnsl2"] };

/// Makes sure that there is an OpenSSH server, or says how to get one.
pub(crate) fn server(workspace: &Workspace) -> Result<()> {
    if Path::new("/usr/sbin/sshd").exists() {
        println!("openssh: installed");
        return Ok(());
    }
    if !Unpacked::is_possible() {
        bail!(
            "the tests need `/usr/sbin/sshd`, which they start themselves on loopback: install the OpenSSH server (it need \
             not run), or leave the stage out: `cargo xtask test --skip servers`"
        );
    }
    OPENSSH.make(workspace)
}
