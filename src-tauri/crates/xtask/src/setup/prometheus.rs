//! The Prometheus server of the tests: the distribution's, or where there is no apt, the `prometheus` on PATH.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::unpacked::Unpacked;
use crate::process;
use crate::workspace::Workspace;

const PROMETHEUS: Unpacked = Unpacked { name: "prometheus", packages: &["prometheus"], libraries: &[] };

/// Makes sure that there is a Prometheus server, or says how to get one.
pub(crate) fn server(workspace: &Workspace) -> Result<()> {
    if Unpacked::is_possible() {
        PROMETHEUS.make(workspace)?;
        let program = PROMETHEUS.folder(workspace).join("usr/bin/prometheus");
        if !answers(&program) {
            bail!("`{}` was unpacked and does not start", program.display());
        }
        return Ok(());
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
