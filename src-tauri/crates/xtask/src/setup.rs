//! What `run` and `test` need on this machine, made once and found again in a moment.
//!
//! What must stay true: every step is idempotent and guarded by a content hash or a look at what is there, a half-made
//! step is made again, and a step that cannot be done here says exactly what the person should do.

mod docker;
mod kubernetes;
pub(crate) mod node;
mod openssh;
mod prometheus;
mod python;
mod system;
mod unpacked;

use anyhow::Result;

use crate::workspace::Workspace;

/// What a command is going to do, and so what it needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent needs, not the states of one thing")]
pub(crate) struct Needs {
    /// Compile the app: C compiler, pkg-config, `WebKitGTK`.
    pub(crate) app: bool,
    /// The UI's packages and its built files.
    pub(crate) ui: bool,
    /// A virtual display and a D-Bus session.
    pub(crate) virtual_display: bool,
    /// A keyring that tests can unlock.
    pub(crate) keyring: bool,
    /// A driver for the real window.
    pub(crate) web_driver: bool,
    /// Python environments with the real model servers, Prometheus and an OpenSSH server.
    pub(crate) servers: bool,
    /// The environments of the heavy model servers, gigabytes of them.
    pub(crate) heavy_servers: bool,
}

impl Needs {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            app: self.app || other.app,
            ui: self.ui || other.ui,
            virtual_display: self.virtual_display || other.virtual_display,
            keyring: self.keyring || other.keyring,
            web_driver: self.web_driver || other.web_driver,
            servers: self.servers || other.servers,
            heavy_servers: self.heavy_servers || other.heavy_servers,
        }
    }
}

/// Prepares everything that `run` and `test` could need; with `heavy_servers`, what `test --all` could.
pub(crate) fn everything(workspace: &Workspace, heavy_servers: bool) -> Result<()> {
    let all = Needs {
        app: true,
        ui: true,
        virtual_display: true,
        keyring: true,
        web_driver: true,
        servers: true,
        heavy_servers,
    };
    prepare(workspace, all)
}

/// Prepares what `needs` names, in the order in which one step builds on another.
pub(crate) fn prepare(workspace: &Workspace, needs: Needs) -> Result<()> {
    if needs.servers || needs.heavy_servers {
        python::check()?;
    }
    if needs.ui {
        node::check()?;
    }
    system::install(needs)?;
    if needs.servers || needs.heavy_servers {
        python::servers(workspace, needs.heavy_servers)?;
        prometheus::server(workspace)?;
        openssh::server(workspace)?;
    }
    if needs.heavy_servers {
        docker::engine(workspace)?;
        kubernetes::cluster(workspace)?;
    }
    if needs.ui {
        node::packages(workspace)?;
        node::build(workspace)?;
    }
    Ok(())
}
