//! The Kubernetes cluster of the heavy tests, in `<target>/servers/kubernetes`.
//!
//! No distribution packages its servers. Debian's source package holds the whole tree with all that it needs, so they are
//! compiled from that with Debian's Go; etcd and kubectl are Debian's own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::unpacked::Unpacked;
use crate::workspace::Workspace;
use crate::{files, process};

/// What runs: the store, the client, what a kubelet forwards ports with, and a program for pause containers.
const PROGRAMS: Unpacked = Unpacked {
    name: "kubernetes",
    packages: &["etcd-server", "kubernetes-client", "socat", "busybox-static"],
    libraries: &["libwrap0", "libnsl2"],
};

/// What compiles it. Debian 12 is the last with a Go that does.
const COMPILER: Unpacked = Unpacked {
    name: "kubernetes-build",
    packages: &["golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev", "rsync"],
    libraries: &[],
};

/// The source that Debian's `kubernetes-client` was made from, and its SHA-256.
const SOURCE: &str = "kubernetes_1.20.5+really1.20.2.orig.tar.gz";
const SOURCE_HASH: &str = "b83c0780efb182d928dc63d46488a847f161f04e40a94b96bf5247dd671ecdfc";

const SERVERS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kubelet"];

/// Makes sure that there are the programs of a cluster, or says what it takes.
pub(crate) fn cluster(workspace: &Workspace) -> Result<()> {
    if !Unpacked::is_possible() {
        bail!(
            "the heavy tests start a Kubernetes cluster of their own, from the packages of Debian 12: run them there as \
             root, or leave the stage out: `cargo xtask test --all --skip heavy`"
        );
    }
    PROGRAMS.make(workspace)?;
    let folder = PROGRAMS.folder(workspace).join("usr/sbin");
    let stamp = folder.join(".stamp");
    if files::stamped(&stamp, SOURCE_HASH) {
        return Ok(());
    }
    println!("Kubernetes is compiled from its source, which takes about ten minutes and 4 GB for as long");
    let build = COMPILER.folder(workspace);
    compile(workspace, &build, &folder).context("cannot compile Kubernetes from Debian's source package")?;
    files::write_stamp(&stamp, SOURCE_HASH)?;
    std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove `{}`", build.display()))
}

fn compile(workspace: &Workspace, build: &Path, target: &Path) -> Result<()> {
    COMPILER.make(workspace)?;
    let source = build.join("source");
    std::fs::create_dir_all(source.join(".go/src/k8s.io"))?;
    download(build)?;
    let archive = build.join(SOURCE);
    let mut unpack = workspace.command("tar");
    unpack.args(["--extract", "--strip-components=1", "--file"]).arg(&archive).arg("--directory").arg(&source);
    process::run(&mut unpack)?;
    // The reflect2 1.0.1 that it brings makes its server crash when a Go above 1.17 compiled it.
    let reflect = "github.com/modern-go/reflect2";
    let brought = source.join("vendor").join(reflect);
    std::fs::remove_dir_all(&brought).with_context(|| format!("cannot remove `{}`", brought.display()))?;
    let newer = build.join("usr/share/gocode/src").join(reflect);
    process::run(workspace.command("cp").arg("--recursive").arg(newer).arg(&brought))?;
    let link = source.join(".go/src/k8s.io/kubernetes");
    process::run(
        workspace.command("ln").args(["--symbolic", "--force", "--no-target-directory"]).arg(&source).arg(&link),
    )?;

    let go = build.join("usr/lib/go-1.19");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [go.join("bin"), build.join("usr/bin")].into_iter().chain(std::env::split_paths(&path));
    let mut make = Command::new("make");
    make.current_dir(&source).arg(format!("WHAT={}", SERVERS.map(|name| format!("cmd/{name}")).join(" ")));
    make.env("PATH", std::env::join_paths(folders)?).env("GOROOT", go).env("GOPATH", source.join(".go"));
    make.env("HOME", build).env("CGO_ENABLED", "0").env("GOPROXY", "off").env("GO111MODULE", "off");
    make.env_remove("GOFLAGS");
    process::run(&mut make)?;
    std::fs::create_dir_all(target).with_context(|| format!("cannot create `{}`", target.display()))?;
    for name in SERVERS {
        let server = source.join("_output/bin").join(name);
        std::fs::copy(&server, target.join(name)).with_context(|| format!("cannot copy `{}`", server.display()))?;
    }
    Ok(())
}

/// The source stands beside the binary package in the archive of the mirror that apt uses.
fn download(folder: &Path) -> Result<()> {
    let printed = process::output(Command::new("apt-get").args(["download", "--print-uris", "kubernetes-client"]));
    let printed = printed.context("apt knows no package `kubernetes-client`")?;
    let package = printed.split('\'').nth(1).context("apt-get printed no address")?;
    let (pool, _) = package.rsplit_once('/').context("apt-get printed no address")?;
    let mut command = Command::new("/usr/lib/apt/apt-helper");
    command.args(["download-file", &format!("{pool}/{SOURCE}"), SOURCE, &format!("SHA256:{SOURCE_HASH}")]);
    process::run(command.current_dir(folder))
}
