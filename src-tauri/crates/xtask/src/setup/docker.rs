//! The Docker engine of the heavy tests, from Debian's and Ubuntu's packages.

use anyhow::{Result, bail};

use super::unpacked::Unpacked;
use crate::workspace::Workspace;

const DOCKER: Unpacked = Unpacked { name: "docker", packages: &["docker.io", "containerd", "runc"], libraries: &[] };

/// Makes sure that there is a Docker engine to start, or says what it takes.
pub(crate) fn engine(workspace: &Workspace) -> Result<()> {
    if !Unpacked::is_possible() {
        bail!(
            "the heavy tests start a Docker engine of their own, from the packages of Debian or Ubuntu: run them there as \
             root, or leave the stage out: `cargo xtask test --all --skip heavy`"
        );
    }
    DOCKER.make(workspace)
}
