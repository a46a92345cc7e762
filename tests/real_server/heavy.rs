//! The servers of `servers/heavy`: Ray Serve.
//!
//! They weigh gigabytes together, so that only `cargo xtask test --all` sets them up.

use super::{Launch, RealServer, SCRIPTS, bring, environment, free_port};

impl RealServer {
    /// A Ray node with the application `tumours` below `/tumours`.
    ///
    /// Ray listens on every interface, so it runs in a network namespace of its own; only the HTTP proxy and the dashboard
    /// are relayed to our loopback.
    pub fn ray_serve() -> Self {
        Self::start(|port, folder| {
            bring(&["tumours.py", "heavy/ray_app.py", "heavy/ray_serve.py"], folder);
            let mut command = environment::program("ray", "python");
            command.arg(format!("{SCRIPTS}/heavy/in_namespace.py"));
            command.args([format!("{port}:8000"), format!("{}:8265", free_port()), "--".into()]);
            command.arg(environment::folder("ray").join("bin/python")).arg("ray_serve.py");
            command.env("PYTHONPATH", folder).env("RAY_USAGE_STATS_ENABLED", "0");
            Launch::new(command, port, "/-/healthz")
        })
    }
}
