//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md, held over `cargo metadata` and the sources.
//!
//! Each rule is a pure function from what it reads to the places that break it, so that a test can show that a violation
//! is found. Rules are crude on purpose: a plain search that a person can predict, not a parser.

mod commands;
mod dependencies;
mod sources;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::files;
use crate::workspace::Workspace;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    /// Relative to the root, with `/`.
    path: String,
    /// From 1; 0 when the whole file is meant.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// A text file of the checkout.
#[derive(Debug, Clone)]
struct Source {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

/// Checks every rule and prints what breaks one.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = read_sources(&workspace.root)?;
    let packages = dependencies::read(workspace)?;
    let mut violations = dependencies::check(&packages);
    violations.extend(sources::check(&sources, &places(&workspace.root)));
    violations.extend(commands::check(&sources));
    violations.sort();
    violations.dedup();
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("tidy: {} place(s) break an invariant (ARCHITECTURE.md says why each holds)", violations.len());
    }
    println!("tidy: {} packages and {} files hold the invariants", packages.len(), sources.len());
    Ok(())
}

/// Paths that name this machine: the checkout and the folders beside it, unless it stands among the system's own.
fn places(root: &Path) -> Vec<String> {
    let mut places = vec![root.to_path_buf()];
    if let Some(parent) = root.parent().filter(|parent| parent.parent().is_some() && **parent != std::env::temp_dir()) {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        places.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir() && path != root));
    }
    places.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Every text file that is ours: no dependencies, no build output, no generated schemas.
fn read_sources(root: &Path) -> Result<Vec<Source>> {
    const TEXT: [&str; 16] = [
        "rs", "toml", "md", "ts", "js", "mjs", "svelte", "css", "html", "json", "py", "sh", "txt", "yml", "yaml", "sql",
    ];
    let mut sources = Vec::new();
    for file in files::walk(root, &|name| matches!(name, "target" | "node_modules" | "dist" | "gen" | ".git"))? {
        let relative = file.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        let extension = file.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
        if !TEXT.contains(&extension.as_str()) && relative != ".ci/run" {
            continue;
        }
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        // Vectors of bytes that are no text are data.
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path: relative, text });
        }
    }
    Ok(sources)
}
