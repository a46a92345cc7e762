//! Python environments with the real model servers of the integration tests: `<target>/servers/<name>`, one for each
//! `tests/servers/requirements-<name>.txt`.
//!
//! A stamp with the hash of the requirements is written last, so that an environment without it is known to be half-made.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{files, process};

/// The pinned scikit-learn needs the first, MLServer does not run on the second (tests/servers/requirements-*.txt).
const OLDEST: (u32, u32) = (3, 11);
const FIRST_TOO_NEW: (u32, u32) = (3, 13);

/// Names under which distributions keep a fitting Python beside their own, best first.
const VERSIONED: [&str; 2] = ["python3.12", "python3.11"];

/// There is a Python in the range the servers run on, or apt has one; the error says what to do.
pub(crate) fn check() -> Result<()> {
    interpreter().map(|_| ()).or_else(|error| offered_by_apt().map(|_| ()).ok_or(error))
}

/// The first interpreter on PATH that fits: the system's own, else a versioned name.
fn interpreter() -> Result<&'static str> {
    let mut seen = Vec::new();
    for name in [if cfg!(windows) { "python" } else { "python3" }].into_iter().chain(VERSIONED) {
        let script = "import sys; print('%d.%d' % sys.version_info[:2])";
        let Some(version) = process::output(Command::new(name).args(["-c", script])) else { continue };
        match parse_version(version.trim()) {
            Some(found) if (OLDEST..FIRST_TOO_NEW).contains(&found) => return Ok(name),
            _ => seen.push(format!("{name} is {}", version.trim())),
        }
    }
    let seen = if seen.is_empty() { "none was found on PATH".to_owned() } else { seen.join(", ") };
    bail!(
        "the real model servers of the tests need Python 3.11 or 3.12 ({seen}); put one on PATH as `python3.12`, \
         for instance with pyenv or uv, or leave these stages out: `cargo xtask test --skip servers --skip window`"
    )
}

fn offered_by_apt() -> Option<&'static str> {
    VERSIONED.into_iter().find(|name| {
        let known = process::output(Command::new("apt-cache").args(["show", name]));
        known.is_some_and(|text| !text.trim().is_empty())
    })
}

/// The packages of Debian and Ubuntu that are missing for `python3 -m venv`: their Python comes without `ensurepip`.
pub(crate) fn system_packages() -> Vec<String> {
    match interpreter() {
        Ok(name) => {
            let works = process::output(Command::new(name).args(["-c", "import ensurepip, venv"])).is_some();
            if works { Vec::new() } else { vec![format!("{name}-venv")] }
        }
        Err(_) => offered_by_apt().map(|name| vec![name.to_owned(), format!("{name}-venv")]).unwrap_or_default(),
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Makes each environment whose stamp does not match its requirements.
pub(crate) fn servers(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("tests").join("servers");
    let mut found = false;
    for requirements in files::walk(&folder, &|_| true)? {
        let Some(name) = environment_name(&requirements) else { continue };
        found = true;
        environment(workspace, &name, &requirements)
            .with_context(|| format!("cannot make the Python environment `{name}`"))?;
    }
    if !found {
        bail!("no requirements-*.txt in `{}`", folder.display());
    }
    Ok(())
}

/// `requirements-mlflow.txt` → `mlflow`.
fn environment_name(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?.strip_prefix("requirements-")?.strip_suffix(".txt")?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn environment(workspace: &Workspace, name: &str, requirements: &Path) -> Result<()> {
    let folder = workspace.servers().join(name);
    let stamp = folder.join(".stamp");
    let hash = files::hash_file(requirements)?;
    if files::stamped(&stamp, &hash) && runs(&folder) {
        println!("Python environment {name}: present");
        return Ok(());
    }
    if folder.exists() {
        println!("Python environment {name}: half-made or out of date, made anew");
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    std::fs::create_dir_all(workspace.servers())
        .with_context(|| format!("cannot create `{}`", workspace.servers().display()))?;
    process::run(workspace.command(interpreter()?).args(["-m", "venv"]).arg(&folder))?;
    process::run(
        workspace
            .command(program(&folder, "python"))
            .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"])
            .args(["--quiet", "--requirement"])
            .arg(requirements),
    )?;
    files::write_stamp(&stamp, &hash)
}

/// Whether the environment's interpreter still starts: an upgrade of the system's Python breaks it.
fn runs(folder: &Path) -> bool {
    process::output(Command::new(program(folder, "python")).args(["-c", "import sys"])).is_some()
}

fn program(folder: &Path, name: &str) -> PathBuf {
    if cfg!(windows) { folder.join("Scripts").join(format!("{name}.exe")) } else { folder.join("bin").join(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_named_by_their_requirements() {
        let name = |file: &str| environment_name(Path::new(file));
        assert_eq!(name("tests/servers/requirements-mlflow.txt"), Some("mlflow".to_owned()));
        assert_eq!(name("tests/servers/requirements-.txt"), None);
        assert_eq!(name("tests/servers/README.md"), None);
    }

    #[test]
    fn python_versions() {
        assert_eq!(parse_version("3.11"), Some((3, 11)));
        assert!(!(OLDEST..FIRST_TOO_NEW).contains(&parse_version("3.13").unwrap()));
        assert!(!(OLDEST..FIRST_TOO_NEW).contains(&parse_version("3.10").unwrap()));
    }
}
