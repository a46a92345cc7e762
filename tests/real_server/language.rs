//! Servers of language models, with tiny random weights: llama.cpp, vLLM, transformers serve.
//!
//! The last two are among the heavy ones; only `cargo xtask test --all` sets them up.

use std::path::Path;

use super::{Launch, RealServer, SCRIPTS, environment};

/// The key that [`RealServer::llamacpp`] and [`RealServer::vllm`] demand as a bearer token.
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

    /// vLLM on the CPU, which wants [`LANGUAGE_KEY`] below `/v1`.
    pub fn vllm() -> Self {
        Self::start(|port, folder| {
            let model = tiny_model("vllm", folder);
            let mut command = environment::program("vllm", "vllm");
            command.arg("serve").arg(model).args(["--served-model-name", "tiny", "--api-key", LANGUAGE_KEY]);
            command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--max-model-len", "256"]);
            command.args(["--enforce-eager", "--dtype", "bfloat16", "--max-num-seqs", "4"]);
            for (name, value) in [
                ("VLLM_NO_USAGE_STATS", "1"),
                ("VLLM_CPU_KVCACHE_SPACE", "1"),
                ("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
                ("VLLM_HOST_IP", "127.0.0.1"),
                ("GLOO_SOCKET_IFNAME", "lo"),
                ("OMP_NUM_THREADS", "1"),
                ("TORCHINDUCTOR_COMPILE_THREADS", "1"),
            ] {
                command.env(name, value);
            }
            command.env("VLLM_CACHE_ROOT", folder.join("cache"));
            Launch::new(command, port, "/health").with_metrics(port, "metrics")
        })
    }

    /// transformers serve, which knows no key. Its model is called as the path that it was given,
    /// [`model_path`](Self::model_path).
    pub fn transformers_serve() -> Self {
        Self::start(|port, folder| {
            let model = tiny_model("transformers", folder);
            let mut command = environment::program("transformers", "transformers");
            command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]).arg(model);
            // Its list of models reads this cache, and answers 500 when there is none.
            let cache = folder.join("cache/hub");
            std::fs::create_dir_all(&cache).expect("a folder");
            command.env("HF_HOME", folder.join("cache")).env("OMP_NUM_THREADS", "1");
            Launch::new(command, port, "/health")
        })
    }

    /// Where the model of a vLLM or of a transformers serve lies.
    pub fn model_path(&self) -> String {
        self.folder.path().join("tiny").to_str().expect("a UTF-8 path").to_owned()
    }
}

fn tiny_model(environment: &str, folder: &Path) -> std::path::PathBuf {
    let model = folder.join("tiny");
    let mut script = environment::program(environment, "python");
    environment::run(script.arg(format!("{SCRIPTS}/heavy/tiny_model.py")).arg(&model));
    model
}
