//! MLflow: tracking server with its registry, scoring server of a registered model, scoring server of a model on disk.

use std::path::PathBuf;

use serde::Deserialize;
use tempfile::TempDir;

use super::{Launch, RealServer, Running, SCRIPTS, START_LIMIT, environment, free_port, loopback};

/// What `mlflow_register.py` registered.
#[derive(Debug, Clone, Deserialize)]
pub struct Registered {
    /// The registered model.
    pub model: String,
    /// The alias that was set.
    pub alias: String,
    /// The version that the alias points at.
    pub live: String,
    /// The versions, oldest first.
    pub versions: Vec<RegisteredVersion>,
    /// The names of the 30 features.
    pub columns: Vec<String>,
    /// Three malignant rows: a good version predicts 0 for them, a bad one 1.
    pub rows: Vec<Vec<f64>>,
}

/// One version of [`Registered`].
#[derive(Debug, Clone, Deserialize)]
pub struct RegisteredVersion {
    /// MLflow's number of it.
    pub version: String,
    /// `good` or `bad`.
    pub kind: String,
    /// The metric logged with its run.
    pub accuracy: f64,
    /// What it predicts for [`Registered::rows`].
    pub predictions: Vec<i64>,
}

impl RealServer {
    /// An empty MLflow tracking server with its model registry.
    pub fn mlflow_tracking() -> Self {
        Self::start(|port, folder| {
            let mut command = environment::program("mlflow", "mlflow");
            command.args(["server", "--host", "127.0.0.1", "--workers", "1"]);
            command.args(["--port", &port.to_string()]);
            command.arg("--backend-store-uri").arg(format!("sqlite:///{}", folder.join("mlflow.db").display()));
            command.arg("--artifacts-destination").arg(folder.join("artifacts"));
            Launch::new(command, port, "/health")
        })
    }

    /// Registers versions (`good` or `bad`, oldest first) of `model` with this tracking server; `champion` then points at
    /// the last one.
    pub fn register(&self, model: &str, kinds: &[&str]) -> Registered {
        let mut command = environment::program("mlflow", "python");
        command.arg(format!("{SCRIPTS}/mlflow_register.py"));
        command.args(["--tracking-uri", self.url.as_str(), "--model", model, "--versions", &kinds.join(",")]);
        let printed = environment::run(command.current_dir(self.folder.path()));
        serde_json::from_str(&printed).expect("the script prints its JSON last")
    }

    /// An MLflow scoring server of a model URI such as `models:/bc@champion`, resolved once, at its start.
    pub fn mlflow_scoring(tracking: &Self, model_uri: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let port = free_port();
        let file = folder.path().join("scoring.pid");
        let path = |path: PathBuf| path.to_str().expect("a UTF-8 path").to_owned();
        let restart = vec![
            path(environment::folder("mlflow").join("bin/python")),
            format!("{SCRIPTS}/mlflow_scoring.py"),
            "--tracking-uri".into(),
            tracking.url.to_string(),
            "--model-uri".into(),
            model_uri.into(),
            "--port".into(),
            port.to_string(),
            "--pid-file".into(),
            path(file.clone()),
            "--log".into(),
            path(folder.path().join("log")),
            "--seconds".into(),
            START_LIMIT.as_secs().to_string(),
        ];
        let running = Running::PidFile { file, restart };
        let mut server = Self { url: loopback(port), metrics_url: None, grpc_url: None, folder, running };
        server.start_again();
        server
    }

    /// The command, program first, that restarts a scoring server so that it resolves its model URI again.
    pub fn restart_command(&self) -> &[String] {
        match &self.running {
            Running::PidFile { restart, .. } => restart,
            Running::Held { .. } => panic!("only a scoring server has a restart command"),
        }
    }

    /// An MLflow scoring server of a model on disk, without any registry. It takes the columns `mean radius` and
    /// `mean texture`.
    pub fn mlflow_model() -> Self {
        Self::start(|port, folder| {
            let model = folder.join("model");
            let mut script = environment::program("mlflow", "python");
            environment::run(script.arg(format!("{SCRIPTS}/mlflow_model.py")).arg("--out").arg(&model));
            let mut command = environment::program("mlflow", "mlflow");
            command.args(["models", "serve", "--env-manager", "local", "--workers", "1", "--host", "127.0.0.1"]);
            command.args(["--port", &port.to_string()]).arg("--model-uri").arg(model);
            Launch::new(command, port, "/ping")
        })
    }
}
