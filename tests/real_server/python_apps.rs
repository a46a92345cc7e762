//! Servers that people write themselves on a framework: `FastAPI`, `LitServe`, `BentoML`.
//!
//! Each serves the model of `servers/tumours.py` as `POST /predict` with `{"instances": [[…], …]}`.

use super::{Launch, RealServer, bring, environment};

/// The key that the `LitServe` server demands in the header `X-API-Key`.
pub const LITSERVE_KEY: &str = "litserve-key-of-the-tests";

impl RealServer {
    /// A `FastAPI` application under uvicorn, which names its version with each answer.
    pub fn fastapi() -> Self {
        Self::start(|port, folder| {
            bring(&["tumours.py", "fastapi_app.py"], folder);
            let mut command = environment::program("apps", "uvicorn");
            command.args(["fastapi_app:app", "--host", "127.0.0.1", "--port", &port.to_string()]);
            Launch::new(command, port, "/health")
        })
    }

    /// A `LitServe` server that wants [`LITSERVE_KEY`].
    pub fn litserve() -> Self {
        Self::start(|port, folder| {
            bring(&["tumours.py", "litserve_app.py"], folder);
            let mut command = environment::program("apps", "python");
            command.args(["litserve_app.py", &port.to_string()]).env("LIT_SERVER_API_KEY", LITSERVE_KEY);
            Launch::new(command, port, "/health").refusing(401)
        })
    }

    /// A `BentoML` service, served from its source.
    pub fn bentoml() -> Self {
        Self::start(|port, folder| {
            bring(&["tumours.py", "bento_service.py"], folder);
            let mut command = environment::program("apps", "bentoml");
            command.args(["serve", "bento_service:Tumours", "--host", "127.0.0.1", "--port", &port.to_string()]);
            command.env("BENTOML_HOME", folder.join("bentoml"));
            Launch::new(command, port, "/readyz").with_metrics(port, "metrics")
        })
    }
}
