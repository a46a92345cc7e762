//! `cargo xtask screenshot`: the README's pictures, taken by the demo journey in the real window.

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{files, setup, test};

/// Has the demo journey write its pictures, light and dark, into `assets/screenshots`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::prepare(workspace, test::window_needs())?;
    let folder = workspace.root.join("assets").join("screenshots");
    std::fs::create_dir_all(&folder)?;
    let (_, result) = test::journeys(workspace, Some("journey_demo"), &[("PILOTHOUSE_SCREENSHOTS", &folder)]);
    result?;
    let pictures = files::walk(&folder, &|_| false)?;
    if pictures.is_empty() {
        bail!("the window tests wrote no picture into `{}`", folder.display());
    }
    for picture in pictures {
        println!("{}", picture.display());
    }
    Ok(())
}
