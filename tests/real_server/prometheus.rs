//! A real Prometheus that scrapes other servers of a test.

use std::fmt::Write as _;
use std::path::PathBuf;

use url::Url;

use super::{Launch, RealServer, environment};

impl RealServer {
    /// A Prometheus that scrapes each of `targets` (the URL of an exposition) every second, each as a job of its own:
    /// `target-0`, `target-1`, ….
    pub fn prometheus(targets: &[Url]) -> Self {
        Self::start(|port, folder| {
            let mut text = "global:\n  scrape_interval: 1s\nscrape_configs:\n".to_owned();
            for (index, target) in targets.iter().enumerate() {
                let address = format!(
                    "{}:{}",
                    target.host_str().expect("a host"),
                    target.port_or_known_default().expect("a port")
                );
                let path = target.path();
                write!(
                    text,
                    "  - job_name: target-{index}\n    metrics_path: {path}\n    static_configs:\n      - targets: \
                     ['{address}']\n"
                )
                .expect("a text takes everything");
            }
            let configuration = folder.join("prometheus.yml");
            std::fs::write(&configuration, text).expect("a file in an empty folder");
            let mut command = environment::command(&binary());
            command.arg(format!("--config.file={}", configuration.display()));
            command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            Launch::new(command, port, "/-/ready").with_metrics(port, "metrics")
        })
    }
}

/// The one that the set-up unpacked, else the one on PATH.
fn binary() -> PathBuf {
    let unpacked = environment::servers_folder().join("prometheus/usr/bin/prometheus");
    if unpacked.exists() { unpacked } else { "prometheus".into() }
}
