//! Servers of language models, with tiny random weights as the model `tiny`: llama.cpp.

use super::{Launch, RealServer, SCRIPTS, environment};

/// The key that [`RealServer::llamacpp`] demands as a bearer token.
pub const LANGUAGE_KEY: &str = "language-key-of-the-tests";

impl RealServer {
    /// llama.cpp's own server, which wants [`LANGUAGE_KEY`] everywhere but on its health route.
    pub fn llamacpp() -> Self {
        Self::start(|port, folder| {
            let model = folder.join("tiny.gguf");
            let mut script = environment::program("llamacpp", "python");
            environment::run(script.arg(format!("{SCRIPTS}/tiny_gguf.py")).arg(&model));
            let mut command = environment::program("llamacpp", "python");
            command.arg(format!("{SCRIPTS}/llamacpp_server.py")).arg(&model).args([&port.to_string(), LANGUAGE_KEY]);
            Launch::new(command, port, "/health").with_metrics(port, "metrics")
        })
    }
}
