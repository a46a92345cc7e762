//! Servers of the Open Inference Protocol: `MLServer`, Triton, `KServe`.

use std::path::{Path, PathBuf};

use super::{Launch, METRICS_PORT_ABOVE, RealServer, SCRIPTS, bring, environment, free_port};

/// The value of the header `triton-grpc-protocol-key`, without which a guarded Triton answers no call of gRPC.
pub const TRITON_KEY: &str = "triton-key-of-the-tests";

impl RealServer {
    /// An MLServer with the model `bc`: version 1 is good, version 2 bad and, as the highest, the default.
    pub fn mlserver() -> Self {
        Self::start(|port, folder| {
            let (models, metrics, grpc) = (folder.join("models"), port + METRICS_PORT_ABOVE, free_port());
            let mut script = environment::program("mlserver", "python");
            script.arg(format!("{SCRIPTS}/mlserver_models.py")).arg("--out").arg(&models);
            script.args(["--http-port", &port.to_string(), "--grpc-port", &grpc.to_string()]);
            environment::run(script.args(["--metrics-port", &metrics.to_string()]));
            let mut command = environment::program("mlserver", "mlserver");
            command.arg("start").arg(models);
            Launch::new(command, port, "/v2/models/bc/ready").with_metrics(metrics, "metrics").with_grpc(grpc)
        })
    }

    /// The model repository of an MLServer or a Triton: one folder per model, and in it one per version.
    pub fn model_repository(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    /// NVIDIA's Triton with the model `tumours` of its Python backend: version 1 is good; version 2, bad, is not loaded.
    /// The model takes two numbers per row.
    ///
    /// The server is the binary that the `nvidia-pytriton` wheel brings; it needs no GPU. Its stub for the Python backend
    /// is linked against the shared library of the very Python that made the environment.
    pub fn triton() -> Self {
        Self::triton_with(|_| Vec::new())
    }

    /// The same, which demands [`TRITON_KEY`] of each call over gRPC.
    pub fn triton_guarded() -> Self {
        let guard = "--grpc-restricted-protocol=health,metadata,inference,model-repository:key=";
        Self::triton_with(|_| vec![format!("{guard}{TRITON_KEY}")])
    }

    /// The same with this certificate and its key, both PEM, on its port of gRPC.
    pub fn triton_over_tls(chain: &str, key: &str) -> Self {
        Self::triton_with(|folder| {
            let written = [("chain.pem", chain, "cert"), ("key.pem", key, "key")].map(|(name, text, option)| {
                let file = folder.join(name);
                std::fs::write(&file, text).expect("a file");
                format!("--grpc-server-{option}={}", file.display())
            });
            [vec!["--grpc-use-ssl=true".to_owned()], written.to_vec()].concat()
        })
    }

    fn triton_with(options: impl Fn(&Path) -> Vec<String>) -> Self {
        Self::start(|port, folder| {
            let grpc = free_port();
            let metrics = port + METRICS_PORT_ABOVE;
            let site_packages = lines_of("import sysconfig; print(sysconfig.get_path('purelib'))").remove(0);
            let [base, version, libraries] = <[String; 3]>::try_from(lines_of(
                "import sys, sysconfig; print(sys.base_prefix); print('%d.%d' % sys.version_info[:2]); \
                 print(sysconfig.get_config_var('LIBDIR'))",
            ))
            .expect("three lines");
            let bundled = Path::new(&site_packages).join("pytriton/tritonserver");
            write_triton_repository(&folder.join("models"));
            // The backend looks for its stub beside itself.
            let backend = folder.join("backends/python");
            std::fs::create_dir_all(&backend).expect("a folder");
            copy_files(&bundled.join("backends/python"), &backend);
            let stub = bundled.join("python_backend_stubs").join(version).join("triton_python_backend_stub");
            std::fs::copy(&stub, backend.join("triton_python_backend_stub"))
                .unwrap_or_else(|error| panic!("{}: {error}", stub.display()));

            let mut command = environment::command(&bundled.join("bin/tritonserver"));
            command.env("LD_LIBRARY_PATH", format!("{site_packages}/nvidia_pytriton.libs:{libraries}"));
            command.env("PYTHONHOME", base).env("TUMOURS_SITE_PACKAGES", &site_packages);
            command.arg(format!("--model-repository={}", folder.join("models").display()));
            command.arg(format!("--backend-directory={}", folder.join("backends").display()));
            command.args(["--model-control-mode=explicit", "--load-model=tumours", "--exit-on-error=false"]);
            command.args(["--http-address=127.0.0.1", "--metrics-address=127.0.0.1", "--grpc-address=127.0.0.1"]);
            command.args([format!("--http-port={port}"), format!("--metrics-port={metrics}")]);
            command.arg(format!("--grpc-port={grpc}")).args(options(folder));
            Launch::new(command, port, "/v2/models/tumours/ready").with_metrics(metrics, "metrics").with_grpc(grpc)
        })
    }

    /// KServe's own Python server with the model `tumours`, which takes two numbers per row.
    pub fn kserve() -> Self {
        Self::start(|port, folder| {
            bring(&["tumours.py", "kserve_server.py"], folder);
            let mut command = environment::program("apps", "python");
            command.args(["kserve_server.py", "--model_name", "tumours", "--enable_grpc", "false", "--workers", "1"]);
            command.args(["--http_port", &port.to_string()]);
            Launch::new(command, port, "/v2/models/tumours/ready").with_metrics(port, "metrics")
        })
    }
}

/// What a line of Python prints in Triton's environment.
fn lines_of(script: &str) -> Vec<String> {
    let mut command = environment::program("triton", "python");
    let output = command.args(["-c", script]).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn write_triton_repository(models: &Path) {
    for version in ["1", "2"] {
        let folder = models.join("tumours").join(version);
        std::fs::create_dir_all(&folder).expect("a folder");
        bring(&["triton/model.py", "tumours.py"], &folder);
    }
    bring(&["triton/config.pbtxt"], &models.join("tumours"));
}

fn copy_files(from: &Path, to: &Path) {
    let entries = std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}
