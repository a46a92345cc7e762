//! `cargo xtask codegen`: the TypeScript types of the command surface, written by a test of the api crate (ts-rs) and
//! committed in `ui/src/backend/gen`.
//!
//! What must stay true: types are always generated into an empty folder first, since ts-rs merges into files it finds,
//! and a check never writes into the checkout.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{files, process};

/// Which packages cargo selects; see [`crate::workspace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The api crate alone: quick when nothing else was built.
    Api,
    /// The selection of the test stages: nothing is compiled again.
    Workspace,
}

/// Writes the types, or compares them.
pub(crate) fn run(workspace: &Workspace, only_check: bool) -> Result<()> {
    if only_check { check(workspace, Scope::Api) } else { write(workspace) }
}

/// Fails when the committed types are not what the api crate generates.
pub(crate) fn check(workspace: &Workspace, scope: Scope) -> Result<()> {
    let fresh = generate(workspace, scope)?;
    let differences = differences(&committed(workspace), &fresh)?;
    if differences.is_empty() {
        println!("generated types: up to date");
        return Ok(());
    }
    for difference in &differences {
        println!("{difference}");
    }
    bail!("the generated types are out of date; run `cargo xtask codegen` and commit ui/src/backend/gen")
}

fn write(workspace: &Workspace) -> Result<()> {
    let fresh = generate(workspace, Scope::Api)?;
    let committed = committed(workspace);
    let differences = differences(&committed, &fresh)?;
    if committed.exists() {
        std::fs::remove_dir_all(&committed).with_context(|| format!("cannot remove `{}`", committed.display()))?;
    }
    for file in files::walk(&fresh, &|_| false)? {
        let target = committed.join(file.strip_prefix(&fresh)?);
        let folder = target.parent().context("a generated file has no folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        std::fs::copy(&file, &target).with_context(|| format!("cannot write `{}`", target.display()))?;
    }
    println!("generated types: {} changed", differences.len());
    Ok(())
}

/// Where generated types may be written by any test run.
pub(crate) fn scratch(workspace: &Workspace) -> PathBuf {
    workspace.target.join("codegen")
}

fn committed(workspace: &Workspace) -> PathBuf {
    workspace.ui().join("src").join("backend").join("gen")
}

fn generate(workspace: &Workspace, scope: Scope) -> Result<PathBuf> {
    let folder = scratch(workspace).join("fresh");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let mut command = workspace.cargo(&["test", "--quiet", "--lib"]);
    match scope {
        Scope::Api => command.args(["--package", "pilothouse-api"]),
        Scope::Workspace => command.args(Workspace::selection()),
    };
    command.arg("export_bindings").env("TS_RS_EXPORT_DIR", &folder);
    let (_, result) = process::run_keeping(&mut command, |_| false);
    result?;
    if files::walk(&folder, &|_| false)?.is_empty() {
        bail!("the test `export_bindings` of pilothouse-api wrote no types");
    }
    Ok(folder)
}

/// One line for each file that is missing, changed or left over.
fn differences(committed: &Path, fresh: &Path) -> Result<Vec<String>> {
    let relative = |folder: &Path| -> Result<Vec<PathBuf>> {
        files::walk(folder, &|_| false)?.into_iter().map(|file| Ok(file.strip_prefix(folder)?.to_path_buf())).collect()
    };
    let (old, new) = (relative(committed)?, relative(fresh)?);
    let mut lines = Vec::new();
    for file in &new {
        if !old.contains(file) {
            lines.push(format!("missing: {}", file.display()));
            continue;
        }
        let before = std::fs::read_to_string(committed.join(file))?.replace("\r\n", "\n");
        let after = std::fs::read_to_string(fresh.join(file))?;
        if let Some(line) = first_difference(&before, &after) {
            lines.push(format!("changed: {}:{line}", file.display()));
        }
    }
    lines.extend(old.iter().filter(|file| !new.contains(file)).map(|file| format!("left over: {}", file.display())));
    Ok(lines)
}

/// The first line (from 1) in which the texts differ.
fn first_difference(before: &str, after: &str) -> Option<usize> {
    if before == after {
        return None;
    }
    let same = before.lines().zip(after.lines()).take_while(|(before, after)| before == after).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_drift_is_found() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |folder: &tempfile::TempDir, name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write(&old, "same.ts", "a\r\nb\r\n");
        write(&new, "same.ts", "a\nb\n");
        assert!(differences(old.path(), new.path()).unwrap().is_empty());
        write(&old, "changed.ts", "a\nb\n");
        write(&new, "changed.ts", "a\nc\n");
        write(&new, "new.ts", "");
        write(&old, "old.ts", "");
        assert_eq!(
            differences(old.path(), new.path()).unwrap(),
            ["changed: changed.ts:2", "missing: new.ts", "left over: old.ts"]
        );
    }

    #[test]
    fn a_longer_text_differs_where_it_goes_on() {
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\n"), None);
    }
}
