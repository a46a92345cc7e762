//! Amazon `SageMaker`, emulated by moto, which really checks signatures and policies.

use serde::Deserialize;
use url::Url;

use super::{Launch, RealServer, SCRIPTS, environment};

/// What `moto_sagemaker.py` made: a user with an access key, and an endpoint that it may invoke and describe.
#[derive(Debug, Clone, Deserialize)]
pub struct AwsAccess {
    /// The region of all of it.
    pub region: String,
    /// The key's public half.
    pub access_key_id: String,
    /// The key's secret half.
    pub secret_access_key: String,
    /// The `SageMaker` endpoint.
    pub endpoint: String,
    /// Its two production variants, with their weights.
    pub variants: Vec<(String, f64)>,
}

impl RealServer {
    /// An empty moto server that refuses everything, until [`make_sagemaker_endpoint`](Self::make_sagemaker_endpoint) has
    /// made a user.
    pub fn moto() -> Self {
        Self::start(|port, _| {
            let mut command = environment::program("apps", "moto_server");
            command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            command.env("INITIAL_NO_AUTH_ACTION_COUNT", "0");
            Launch::new(command, port, "/moto-api/")
        })
    }

    /// Makes a user and an endpoint in this moto server. Its memory is empty after a restart; the same user with the same
    /// key then comes back by calling this again.
    pub fn make_sagemaker_endpoint(&self) -> AwsAccess {
        let mut command = environment::program("apps", "python");
        command.arg(format!("{SCRIPTS}/moto_sagemaker.py")).arg(without_slash(&self.url));
        command.arg(self.folder.path().join("access-key"));
        serde_json::from_str(&environment::run(&mut command)).expect("the script prints its JSON last")
    }
}

fn without_slash(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}
