//! Python environments with the real model servers of the tests: `<target>/servers/<name>`, one for each
//! `tests/servers/requirements-<name>.txt`; those of `tests/servers/heavy` only where they are asked for.
//!
//! The first one holds uv, which fills the others several times faster than pip and, but for the heavy ones, at the same
//! time. Beside a requirements file may stand `overrides-<name>.txt` (versions that replace what a package demands) and
//! `after-<name>.py` (run by the finished environment). A stamp with the hash of them all is written last, so that an
//! environment without it is known to be half-made.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

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
    VERSIONED.into_iter().find(|name| is_offered(name))
}

/// The packages of Debian and Ubuntu that are missing for `python3 -m venv`, since their Python comes without
/// `ensurepip`, and for Triton, whose Python backend needs Python as a shared library.
pub(crate) fn system_packages() -> Vec<String> {
    let Ok(name) = interpreter() else {
        return offered_by_apt().map(|name| vec![name.to_owned(), format!("{name}-venv")]).unwrap_or_default();
    };
    let mut packages = Vec::new();
    if process::output(Command::new(name).args(["-c", "import ensurepip, venv"])).is_none() {
        packages.push(format!("{name}-venv"));
    }
    let library = process::output(Command::new(name).args(["-c", MISSING_LIBRARY])).unwrap_or_default();
    packages.extend(Some(library.trim().to_owned()).filter(|library| is_offered(library)));
    packages
}

/// Prints the package of Python's shared library, `libpython3.11`, unless there is such a library.
const MISSING_LIBRARY: &str = "
import ctypes, os, sys, sysconfig
name = 'libpython%d.%d' % sys.version_info[:2]
if not os.path.exists(os.path.join(sysconfig.get_config_var('LIBDIR') or '', name + '.so.1.0')):
    try:
        ctypes.CDLL(name + '.so.1.0')
    except OSError:
        print(name)
";

fn is_offered(package: &str) -> bool {
    let known = |package| process::output(Command::new("apt-cache").args(["show", package]));
    !package.is_empty() && known(package).is_some_and(|text| !text.trim().is_empty())
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The environment that makes the others.
const INSTALLER: &str = "uv";
/// The folder with the requirements of the large ones.
const HEAVY: &str = "heavy";

/// Makes each environment whose stamp does not match, several at once; with `heavy`, also the large ones.
pub(crate) fn servers(workspace: &Workspace, heavy: bool) -> Result<()> {
    let mut recipes = recipes(workspace, heavy)?;
    let Some(position) = recipes.iter().position(|recipe| recipe.name == INSTALLER) else {
        bail!("no requirements-{INSTALLER}.txt in `{}`", scripts(workspace).display());
    };
    let python = interpreter()?;
    recipes.swap_remove(position).make(workspace, &|recipe, folder| with_pip(workspace, python, recipe, folder))?;
    let with_uv = |recipe: &Recipe, folder: &Path| with_uv(workspace, python, recipe, folder);
    let (heavy, light): (Vec<Recipe>, Vec<Recipe>) = recipes.into_iter().partition(Recipe::is_heavy);
    std::thread::scope(|scope| {
        let mut running: Vec<_> = light.iter().map(|recipe| scope.spawn(|| recipe.make(workspace, &with_uv))).collect();
        // One after another: they hold the same PyTorch, of which each would fetch a copy of its own at the same time.
        running.push(scope.spawn(|| heavy.iter().try_for_each(|recipe| recipe.make(workspace, &with_uv))));
        // Every one is waited for: the first failure must not leave another environment half-made behind our back.
        let results: Vec<Result<()>> = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("the thread that made it panicked"))))
            .collect();
        results.into_iter().collect()
    })
}

fn scripts(workspace: &Workspace) -> PathBuf {
    workspace.root.join("tests").join("servers")
}

/// What an environment is made of.
struct Recipe {
    name: String,
    requirements: PathBuf,
    overrides: Option<PathBuf>,
    after: Option<PathBuf>,
}

fn recipes(workspace: &Workspace, heavy: bool) -> Result<Vec<Recipe>> {
    let files = files::walk(&scripts(workspace), &|folder| folder == HEAVY && !heavy)?;
    let recipe = |requirements: PathBuf| {
        let name = environment_name(&requirements)?;
        let beside = |file: String| Some(requirements.with_file_name(file)).filter(|path| path.is_file());
        let (overrides, after) = (beside(format!("overrides-{name}.txt")), beside(format!("after-{name}.py")));
        Some(Recipe { name, requirements, overrides, after })
    };
    Ok(files.into_iter().filter_map(recipe).collect())
}

/// `requirements-mlflow.txt` → `mlflow`.
fn environment_name(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?.strip_prefix("requirements-")?.strip_suffix(".txt")?;
    (!name.is_empty()).then(|| name.to_owned())
}

impl Recipe {
    fn is_heavy(&self) -> bool {
        self.requirements.parent().is_some_and(|folder| folder.ends_with(HEAVY))
    }

    /// Makes the environment with `fill`, unless it is there already.
    fn make(&self, workspace: &Workspace, fill: &dyn Fn(&Self, &Path) -> Result<()>) -> Result<()> {
        self.make_in(&workspace.servers(), fill)
            .with_context(|| format!("cannot make the Python environment `{}`", self.name))
    }

    fn make_in(&self, servers: &Path, fill: &dyn Fn(&Self, &Path) -> Result<()>) -> Result<()> {
        let name = &self.name;
        let folder = servers.join(name);
        let stamp = folder.join(".stamp");
        let hash = self.hash()?;
        if files::stamped(&stamp, &hash) && runs(&folder) {
            println!("Python environment {name}: present");
            return Ok(());
        }
        if folder.exists() {
            println!("Python environment {name}: half-made or out of date, made anew");
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
        }
        std::fs::create_dir_all(servers).with_context(|| format!("cannot create `{}`", servers.display()))?;
        fill(self, &folder)?;
        if let Some(after) = &self.after {
            process::run(Command::new(program(&folder, "python")).arg(after))?;
        }
        files::write_stamp(&stamp, &hash)
    }

    /// Of the requirements alone where there is nothing else, so that `sha256sum` gives it by hand.
    fn hash(&self) -> Result<String> {
        let more: Vec<PathBuf> = [&self.overrides, &self.after].into_iter().flatten().cloned().collect();
        if more.is_empty() {
            return files::hash_file(&self.requirements);
        }
        let folder = self.requirements.parent().unwrap_or(&self.requirements);
        files::hash_files(folder, &[std::slice::from_ref(&self.requirements), &more].concat())
    }

    /// The Python that a line `# python: 3.12` asks for; by default the one of all others.
    fn python(&self) -> Result<Option<String>> {
        let text = std::fs::read_to_string(&self.requirements)
            .with_context(|| format!("cannot read `{}`", self.requirements.display()))?;
        Ok(text.lines().find_map(|line| Some(format!("python{}", line.strip_prefix("# python: ")?.trim()))))
    }
}

fn with_pip(workspace: &Workspace, python: &str, recipe: &Recipe, folder: &Path) -> Result<()> {
    process::run(workspace.command(python).args(["-m", "venv"]).arg(folder))?;
    process::run(
        workspace
            .command(program(folder, "python"))
            .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"])
            .args(["--quiet", "--requirement"])
            .arg(&recipe.requirements),
    )
}

fn with_uv(workspace: &Workspace, python: &str, recipe: &Recipe, folder: &Path) -> Result<()> {
    let wanted = recipe.python()?;
    let python = wanted.as_deref().unwrap_or(python);
    // The path itself: uv would look for a Python of its own otherwise, and download one.
    let script = "import sys; print(sys.executable)";
    let Some(executable) = process::output(Command::new(python).args(["-c", script])) else {
        bail!("it needs a `{python}` on PATH; put one there, for instance with pyenv, uv or apt-get");
    };
    let uv = || {
        let mut command = workspace.command(program(&workspace.servers().join(INSTALLER), "uv"));
        // Packages that several environments hold are linked from here, and so are on the disk once.
        command.env("UV_CACHE_DIR", workspace.servers().join(".uv-cache")).env("UV_PYTHON_DOWNLOADS", "never");
        command
    };
    process::run(uv().args(["venv", "--quiet", "--python", executable.trim()]).arg(folder))?;
    let mut install = uv();
    install.args(["pip", "install", "--quiet", "--python"]).arg(program(folder, "python"));
    if let Some(overrides) = &recipe.overrides {
        install.arg("--override").arg(overrides);
    }
    process::run(install.arg("--requirement").arg(&recipe.requirements))
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

    #[cfg(unix)]
    #[test]
    fn an_environment_is_made_once_and_again_when_what_it_is_made_of_changes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut recipe = Recipe {
            name: "x".into(),
            requirements: write("requirements-x.txt", "# python: 3.12\nx==1\n"),
            overrides: None,
            after: None,
        };
        assert_eq!(recipe.python().unwrap().as_deref(), Some("python3.12"));
        let count = std::cell::Cell::new(0);
        let servers = folder.path().join("servers");
        let make = |recipe: &Recipe| {
            let fill = |_: &Recipe, folder: &Path| {
                count.set(count.get() + 1);
                let binary = program(folder, "python");
                std::fs::create_dir_all(binary.parent().unwrap())?;
                // Any program that ends well stands for the interpreter.
                std::os::unix::fs::symlink("/bin/true", binary)?;
                Ok(())
            };
            recipe.make_in(&servers, &fill).unwrap();
            count.get()
        };
        assert_eq!((make(&recipe), make(&recipe)), (1, 1), "found again");
        recipe.overrides = Some(write("overrides-x.txt", "y==2\n"));
        assert_eq!((make(&recipe), make(&recipe)), (2, 2));
        std::fs::remove_file(servers.join("x/.stamp")).unwrap();
        assert_eq!(make(&recipe), 3, "half-made");
        let failing = recipe.make_in(&folder.path().join("other"), &|_, _| bail!("no network"));
        assert!(failing.is_err() && !folder.path().join("other/x/.stamp").exists());
    }

    #[test]
    fn python_versions() {
        assert_eq!(parse_version("3.11"), Some((3, 11)));
        assert!(!(OLDEST..FIRST_TOO_NEW).contains(&parse_version("3.13").unwrap()));
        assert!(!(OLDEST..FIRST_TOO_NEW).contains(&parse_version("3.10").unwrap()));
    }
}
