"""Runs a Kubernetes cluster of one node: etcd, kube-apiserver, kube-controller-manager, and a kubelet on a Docker engine.

To be run as root in network and mount namespaces of its own (in_namespace.py, unshare). There is no scheduler and no
kube-proxy: pods name the node `node` themselves, and are reached by forwarded ports. Writes FOLDER/kubeconfig with the
contexts `admin` (a client certificate) and `viewer` (a token without any right), and FOLDER/ready once the node is ready.
Usage: KUBERNETES_ROOT=UNPACKED-PACKAGES kubernetes.py FOLDER PORT
"""

import datetime
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

# The bridge of the Docker engine is the only network of the node.
NODE_ADDRESS = "172.30.0.1"
SERVICES = "10.96.0.0/24"
VIEWER_TOKEN = "token-of-the-viewer"
# What a kubelet writes into the kernel's settings goes into files instead: they belong to the whole machine.
TUNABLES = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
            "kernel/keys/root_maxbytes"]


# A kubelet protects its pause containers from running out of memory, which root may not do in every sandbox.
RUNTIME = """#!{python}
import json, os, sys
if "--bundle" in sys.argv:
    path = os.path.join(sys.argv[sys.argv.index("--bundle") + 1], "config.json")
    with open(path) as file:
        config = json.load(file)
    config["process"].pop("oomScoreAdj", None)
    with open(path, "w") as file:
        json.dump(config, file)
os.execvp("runc", ["runc", *sys.argv[1:]])
"""


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


class Authority:
    """Signs the certificates of the cluster."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self.builder(self.name, self.key).add_extension(constraints, critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    def builder(self, subject: x509.Name, key) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
            now + datetime.timedelta(days=1)
        )

    def issue(self, folder: Path, file: str, common_name: str, group: str | None = None) -> None:
        """Writes FILE.crt and FILE.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if group:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = self.builder(x509.Name(attributes), key).add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        (folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{file}.key").write_bytes(pem(key))


def write_files(folder: Path, port: int) -> None:
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    authority.issue(folder, "server", "kube-apiserver")
    authority.issue(folder, "admin", "admin", "system:masters")
    (folder / "tokens.csv").write_text(f"{VIEWER_TOKEN},viewer,1\n")
    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(pem(accounts))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "accounts.pub").write_bytes(accounts.public_key().public_bytes(serialization.Encoding.PEM, public))
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(folder / "ca.crt")}
    admin = {"client-certificate": str(folder / "admin.crt"), "client-key": str(folder / "admin.key")}
    users = {"admin": admin, "viewer": {"token": VIEWER_TOKEN}}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": server}],
        "users": [{"name": name, "user": user} for name, user in users.items()],
        "contexts": [{"name": name, "context": {"cluster": "cluster", "user": name}} for name in users],
        "current-context": "admin",
    }
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))


def shield_tunables(folder: Path) -> None:
    for tunable in TUNABLES:
        setting = Path("/proc/sys") / tunable
        copy = folder / "tunables" / tunable
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(setting.read_text())
        subprocess.run(["mount", "--bind", copy, setting], check=True)


def programs(folder: Path, port: int) -> list[list[str]]:
    """The command lines, in the order of their start."""
    etcd = "http://127.0.0.1:2379"
    docker = f"unix://{folder}/docker.sock"
    return [
        ["etcd", f"--data-dir={folder}/etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
         "--listen-peer-urls=http://127.0.0.1:2380"],
        ["dockerd", f"--data-root={folder}/docker", f"--exec-root={folder}/docker-exec",
         f"--pidfile={folder}/docker.pid", f"--host={docker}", "--iptables=false", "--ip6tables=false",
         "--ip-masq=false", "--storage-driver=vfs", f"--bip={NODE_ADDRESS}/24",
         f"--add-runtime=unprotected={folder}/runtime", "--default-runtime=unprotected"],
        ["kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
         f"--secure-port={port}", f"--tls-cert-file={folder}/server.crt", f"--tls-private-key-file={folder}/server.key",
         f"--cert-dir={folder}/apiserver", f"--client-ca-file={folder}/ca.crt", f"--token-auth-file={folder}/tokens.csv",
         "--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
         f"--service-account-key-file={folder}/accounts.pub",
         f"--service-account-signing-key-file={folder}/accounts.key", f"--service-cluster-ip-range={SERVICES}",
         "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none", "--kubelet-preferred-address-types=InternalIP"],
        ["kube-controller-manager", f"--kubeconfig={folder}/kubeconfig",
         "--controllers=deployment,replicaset,endpoint,endpointslice,garbagecollector,namespace",
         "--bind-address=127.0.0.1", f"--cert-dir={folder}/controllers", "--leader-elect=false"],
        ["kubelet", f"--kubeconfig={folder}/kubeconfig", "--container-runtime=docker", f"--docker-endpoint={docker}",
         f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/kubelet-certificates",
         f"--experimental-dockershim-root-directory={folder}/dockershim", "--pod-infra-container-image=pilothouse/pause:1",
         "--hostname-override=node", f"--node-ip={NODE_ADDRESS}", f"--address={NODE_ADDRESS}", "--read-only-port=0",
         "--healthz-port=0", "--cgroups-per-qos=false", "--enforce-node-allocatable=", "--fail-swap-on=false",
         "--anonymous-auth=true", "--authorization-mode=AlwaysAllow", "--eviction-hard=", "--image-gc-high-threshold=100",
         "--make-iptables-util-chains=false", f"--resolv-conf={folder}/resolv.conf",
         f"--volume-plugin-dir={folder}/volume-plugins", f"--seccomp-profile-root={folder}/seccomp"],
    ]


def asked(folder: Path, port: int, path: str) -> dict | str | None:
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}{path}", context=context, timeout=5) as answer:
            text = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None
    return json.loads(text) if text.startswith("{") else text


def node_is_ready(folder: Path, port: int) -> bool:
    node = asked(folder, port, "/api/v1/nodes/node")
    if not isinstance(node, dict):
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))


def docker(folder: Path, *words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(["docker", "--host", f"unix://{folder}/docker.sock", *words], **options)


def make_images(folder: Path) -> bool:
    """One for MLServer, whose files the pods mount, and one for pause containers: both are busybox alone."""
    if docker(folder, "version", capture_output=True).returncode != 0:
        return False
    archive = subprocess.run(
        ["tar", "--create", f"--directory={os.environ['KUBERNETES_ROOT']}", "bin"], capture_output=True, check=True
    ).stdout
    # A kubelet takes an image without any file for a broken one.
    docker(folder, "import", "-", "seldonio/mlserver:1.7.1", input=archive, check=True)
    change = 'ENTRYPOINT ["/bin/busybox", "sleep", "2147483647"]'
    docker(folder, "import", "--change", change, "-", "pilothouse/pause:1", input=archive, check=True)
    return True


def main() -> int:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    # Of socat, with which a kubelet forwards ports.
    libraries = [str(path) for path in Path(os.environ["KUBERNETES_ROOT"]).glob("usr/lib/*-linux-gnu*")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    write_files(folder, port)
    shield_tunables(folder)
    (folder / "resolv.conf").write_text("")
    (folder / "runtime").write_text(RUNTIME.format(python=sys.executable))
    (folder / "runtime").chmod(0o755)
    running = []
    ready = (
        lambda: True,
        lambda: make_images(folder),
        lambda: asked(folder, port, "/readyz") == "ok",
        lambda: True,
        lambda: node_is_ready(folder, port),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for command, is_ready in zip(programs(folder, port), ready):
        log = open(folder / f"{command[0]}.log", "ab")
        running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        while not is_ready():
            if ended := next((process for process in running if process.poll() is not None), None):
                print(f"{ended.args[0]} ended", flush=True)
                return 1
            time.sleep(0.2)
    (folder / "ready").touch()
    while all(process.poll() is None for process in running):
        time.sleep(0.2)
    return 1


if __name__ == "__main__":
    sys.exit(main())
