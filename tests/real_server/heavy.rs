//! The servers of `servers/heavy`: TorchServe, Ray Serve.
//!
//! They weigh gigabytes together, so that only `cargo xtask test --all` sets them up.

use url::Url;

use super::{Launch, METRICS_PORT_ABOVE, RealServer, SCRIPTS, bring, environment, free_port};

impl RealServer {
    /// A TorchServe with the model `tumours` in version 1.0; the archive of version 2.0 is there to be registered. It
    /// demands its own tokens, which [`torchserve_key`](Self::torchserve_key) reads.
    pub fn torchserve() -> Self {
        Self::start(|port, folder| {
            let (management, metrics) = (free_port(), port + METRICS_PORT_ABOVE);
            bring(&["tumours.py", "heavy/torchserve_handler.py"], folder);
            let store = folder.join("store");
            std::fs::create_dir(&store).expect("a folder");
            for version in ["1.0", "2.0"] {
                let mut archiver = environment::program("torchserve", "torch-model-archiver");
                archiver.args(["--model-name", "tumours", "--version", version, "--handler", "torchserve_handler.py"]);
                archiver.args(["--extra-files", "tumours.py", "--export-path", "store"]);
                environment::run(archiver.current_dir(folder));
                std::fs::rename(store.join("tumours.mar"), store.join(format!("tumours_{version}.mar")))
                    .expect("the archive was written");
            }
            let configuration = format!(
                "inference_address=http://127.0.0.1:{port}\nmanagement_address=http://127.0.0.1:{management}\n\
                 metrics_address=http://127.0.0.1:{metrics}\ngrpc_inference_address=127.0.0.1\n\
                 grpc_management_address=127.0.0.1\ngrpc_inference_port={}\ngrpc_management_port={}\n\
                 default_workers_per_model=1\nmodel_store={}\nmetrics_mode=prometheus\n",
                free_port(),
                free_port(),
                store.display(),
            );
            std::fs::write(folder.join("config.properties"), configuration).expect("a file");
            let mut command = environment::program("torchserve", "torchserve");
            command.args(["--foreground", "--ncs", "--ts-config", "config.properties", "--model-store", "store"]);
            command.args(["--models", "tumours=tumours_1.0.mar", "--enable-model-api"]);
            Launch::new(command, port, "/ping").refusing(400).with_metrics(metrics, "metrics")
        })
    }

    /// The key that a TorchServe wrote for one of its interfaces, `inference` or `management`, when it started.
    pub fn torchserve_key(&self, interface: &str) -> String {
        let file = self.folder.path().join("key_file.json");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let keys: serde_json::Value = serde_json::from_str(&text).expect("key_file.json is JSON");
        keys[interface]["key"].as_str().expect("a key").to_owned()
    }

    /// The base URL of a TorchServe's management API.
    pub fn torchserve_management(&self) -> Url {
        let file = self.folder.path().join("config.properties");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let address = text.lines().find_map(|line| line.strip_prefix("management_address=")).expect("it was written");
        address.parse().expect("a URL")
    }

    /// A Ray node with the application `tumours` below `/tumours`.
    ///
    /// Ray listens on every interface, so it runs in a network namespace of its own; only the HTTP proxy, the dashboard and
    /// the page of metrics are relayed to our loopback.
    pub fn ray_serve() -> Self {
        Self::start(|port, folder| {
            bring(&["tumours.py", "heavy/ray_app.py", "heavy/ray_serve.py"], folder);
            let mut command = environment::program("ray", "python");
            command.arg(format!("{SCRIPTS}/heavy/in_namespace.py"));
            let metrics = free_port();
            command.args([
                format!("{port}:8000"),
                format!("{}:8265", free_port()),
                format!("{metrics}:8080"),
                "--".into(),
            ]);
            command.arg(environment::folder("ray").join("bin/python")).arg("ray_serve.py");
            command.env("PYTHONPATH", folder).env("RAY_USAGE_STATS_ENABLED", "0");
            // Its controller replaces a proxy that does not answer within seconds, which on a busy machine none does.
            command.env("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "120");
            command.env("RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S", "120");
            Launch::new(command, port, "/-/healthz").with_metrics(metrics, "metrics")
        })
    }
}
