//! A real Kubernetes cluster of one node, as root on Linux: see `servers/heavy/kubernetes.py`.
//!
//! What it hides: network and mount namespaces of its own, of which only the API server can be reached from outside. What
//! must stay true: it ends with its value, and its pods with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::container::{ContainedMlserver, HTTP_PORT, add_unpacked_to_path};
use super::process::Guarded;
use super::{SCRIPTS, START_LIMIT, environment, free_port, tail};

/// A started cluster.
#[derive(Debug)]
pub struct KubernetesCluster {
    folder: TempDir,
    programs: PathBuf,
    process: Option<Guarded>,
}

impl KubernetesCluster {
    /// Starts one, and waits until its node is ready.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("pilothouse-kube-").tempdir().expect("a temporary folder");
        let port = free_port();
        let mut command = environment::program("apps", "python");
        command.arg(format!("{SCRIPTS}/heavy/in_namespace.py")).arg(format!("{port}:{port}"));
        command.args(["--", "unshare", "--mount", "--propagation", "private"]);
        command.arg(environment::folder("apps").join("bin/python")).arg(format!("{SCRIPTS}/heavy/kubernetes.py"));
        command.arg(folder.path()).arg(port.to_string());
        add_unpacked_to_path(&mut command, "docker");
        let programs = add_unpacked_to_path(&mut command, "kubernetes");
        command.env("KUBERNETES_ROOT", &programs);
        let log = folder.path().join("log");
        let mut process = Guarded::start(&command, folder.path(), &log);
        let limit = Instant::now() + START_LIMIT;
        while !folder.path().join("ready").exists() {
            let logs = || every_log(folder.path());
            assert!(!process.has_ended(), "the cluster ended; it needs root on Linux:\n{}", logs());
            assert!(Instant::now() < limit, "the cluster did not become ready:\n{}", logs());
            std::thread::sleep(Duration::from_millis(100));
        }
        Self { folder, programs, process: Some(process) }
    }

    /// Its kubeconfig, with the contexts `admin` (a client certificate, every right) and `viewer` (a token, no right).
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Deploys a real `MLServer` under this name, with a Service in front of it. It serves the model `bc`.
    pub fn deploy_mlserver(&self, name: &str) {
        let server = ContainedMlserver::new(self.folder.path());
        let volumes: Vec<_> = server
            .folders
            .iter()
            .enumerate()
            .map(|(index, path)| json!({"name": format!("v{index}"), "hostPath": {"path": path}}))
            .chain([json!({"name": "tmp", "emptyDir": {}})])
            .collect();
        let mounts: Vec<_> = server
            .folders
            .iter()
            .enumerate()
            .map(|(index, path)| json!({"name": format!("v{index}"), "mountPath": path, "readOnly": true}))
            .chain([json!({"name": "tmp", "mountPath": "/tmp"})])
            .collect();
        let container = json!({
            "name": "server", "image": "seldonio/mlserver:1.7.1", "imagePullPolicy": "Never",
            "command": server.command, "volumeMounts": mounts,
            "readinessProbe": {"httpGet": {"path": "/v2/models/bc/ready", "port": HTTP_PORT}, "periodSeconds": 1, "failureThreshold": 600},
        });
        let labels = json!({"app": name});
        let pod = json!({
            "nodeName": "node", "containers": [container], "volumes": volumes, "automountServiceAccountToken": false, "dnsPolicy": "Default",
            "terminationGracePeriodSeconds": 1,
        });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": HTTP_PORT}]},
        });
        for object in [deployment, service] {
            self.apply(&object);
        }
    }

    /// Creates or changes an object.
    pub fn apply(&self, object: &serde_json::Value) {
        let mut command = self.kubectl(&["apply", "--filename", "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("kubectl starts");
        child.stdin.take().expect("its input").write_all(object.to_string().as_bytes()).expect("kubectl reads");
        assert!(child.wait().expect("kubectl ends").success(), "kubectl apply {object}");
    }

    /// Runs kubectl to its end; panics with what it wrote when it fails.
    pub fn must(&self, arguments: &[&str]) {
        let output = self.kubectl(arguments).output().expect("kubectl starts");
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends the whole cluster at once.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("usr/bin/kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments).env("HOME", self.folder.path());
        command
    }
}

fn every_log(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("the cluster's folder").flatten().map(|entry| entry.path());
    let logs =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "log") || path.ends_with("log"));
    let shown: Vec<String> = logs.map(|path| format!("--- {}\n{}", path.display(), tail(&path))).collect();
    shown.join("\n")
}
