//! `cargo xtask run`: set up, build, and open the window. Without a display, on a virtual one, with a picture of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::display::Display;
use crate::process::{self, Background};
use crate::session::{self, PrivateFolder};
use crate::setup::{self, Needs};
use crate::workspace::Workspace;

/// How long the window may take to its first paint before we say that something is wrong.
const FIRST_PAINT: Duration = Duration::from_secs(90);
/// From the first paint to the first picture, so that the fleet has been asked once and its bars are drawn.
const SETTLE: Duration = Duration::from_secs(6);
/// How often the picture is taken again while the window is open.
const REFRESH: Duration = Duration::from_secs(10);

/// What the person asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    no_demo: bool,
    headless: bool,
    exit_after_screenshot: bool,
    app: Vec<OsString>,
}

impl Options {
    /// Reads the rest of the command line.
    pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("no-demo") => options.no_demo = true,
                Long("headless") => options.headless = true,
                Long("exit-after-screenshot") => options.exit_after_screenshot = true,
                // lexopt swallows `--` and hands on what follows as values.
                Value(value) => options.app.push(value),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    fn app_arguments(&self) -> impl Iterator<Item = OsString> + '_ {
        (!self.no_demo).then(|| OsString::from("--demo")).into_iter().chain(self.app.iter().cloned())
    }
}

/// Builds the app and runs it until it is closed or Ctrl-C.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let headless = options.headless || !has_display();
    setup::prepare(workspace, Needs { app: true, ui: true, virtual_display: headless, ..Needs::default() })?;
    let app = build(workspace)?;
    let mut command = Command::new(app);
    command.args(options.app_arguments());
    if headless {
        on_virtual_display(workspace, command, options.exit_after_screenshot)
    } else {
        println!("opening the window; Ctrl-C ends it");
        let mut app = Background::start(&mut session::with_bus(command))?;
        until_ended(&mut app)
    }
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut arguments = vec!["build"];
    arguments.extend(Workspace::selection());
    arguments.extend(["--bin", "pilothouse"]);
    process::run(&mut workspace.cargo(&arguments))?;
    Ok(workspace.debug_binary("pilothouse"))
}

/// Other systems always have a window server; on Linux a variable names it.
fn has_display() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

fn on_virtual_display(workspace: &Workspace, command: Command, exit_after_screenshot: bool) -> Result<()> {
    let folder = PrivateFolder::create("run")?;
    let display = Display::start(&folder.path().join("display"), session::SCREEN.0, session::SCREEN.1)?;
    println!("no display here: the window is on a virtual one ({})", display.name());
    let mut command = session::with_bus(command);
    display.apply(&mut command);
    session::software_rendering(&mut command);
    session::locale(&mut command);
    let mut app = Background::start(&mut command)?;
    let picture = workspace.root.join("target").join("pilothouse.png");
    first_picture(&display, &mut app, &picture)?;
    if process::interrupted() {
        return Ok(());
    }
    println!("screenshot: {}", picture.display());
    if exit_after_screenshot {
        return Ok(());
    }
    println!("the picture is taken again every {} s; Ctrl-C ends everything", REFRESH.as_secs());
    let mut taken = Instant::now();
    while !process::interrupted() {
        if let Some(status) = app.ended()? {
            return ended(status);
        }
        if taken.elapsed() >= REFRESH {
            display.picture()?.write_png(&picture)?;
            taken = Instant::now();
        }
        std::thread::sleep(process::POLL);
    }
    println!("ending");
    Ok(())
}

/// Waits until the window has painted and settled, then writes its picture.
fn first_picture(display: &Display, app: &mut Background, file: &Path) -> Result<()> {
    let started = Instant::now();
    let mut painted: Option<Instant> = None;
    while !process::interrupted() {
        if let Some(status) = app.ended()? {
            ended(status).context("the app ended before its window was painted")?;
            bail!("the app ended before its window was painted");
        }
        match painted {
            Some(since) if since.elapsed() >= SETTLE => return display.picture()?.write_png(file),
            None if display.picture()?.is_painted() => painted = Some(Instant::now()),
            None if started.elapsed() >= FIRST_PAINT => {
                display.picture()?.write_png(file)?;
                bail!(
                    "the window painted nothing in {} s; the screen is in `{}`, the app's messages are above",
                    FIRST_PAINT.as_secs(),
                    file.display()
                );
            }
            Some(_) | None => {}
        }
        std::thread::sleep(process::POLL * 4);
    }
    Ok(())
}

fn until_ended(app: &mut Background) -> Result<()> {
    while !process::interrupted() {
        if let Some(status) = app.ended()? {
            return ended(status);
        }
        std::thread::sleep(process::POLL);
    }
    Ok(())
}

fn ended(status: std::process::ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("the app ended with {status}; its messages are above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let parse = |arguments: &[&str]| Options::parse(lexopt::Parser::from_args(arguments));
        let options = parse(&["--no-demo", "--exit-after-screenshot", "--", "--db", "x"]).unwrap();
        assert!(options.no_demo && options.exit_after_screenshot && !options.headless);
        assert_eq!(options.app_arguments().collect::<Vec<_>>(), ["--db", "x"]);
        assert_eq!(parse(&[]).unwrap().app_arguments().collect::<Vec<_>>(), ["--demo"]);
        assert!(parse(&["--nonsense"]).is_err());
    }
}
