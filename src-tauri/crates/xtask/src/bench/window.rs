//! The real window on a virtual display: from the start of its process until a row of the Fleet screen is painted, and the
//! memory of all its processes.
//!
//! The end is read off the screen itself, every few milliseconds: the first moment at which the green of a heartbeat bar
//! is on it. So nothing is built into the app for this. What is measured too: the start of a D-Bus session where there
//! is none.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Row;
use crate::display::Display;
use crate::process::{self, Background};
use crate::session::{self, PrivateFolder};
use crate::workspace::Workspace;

/// Starts, of which the median counts.
const STARTS: usize = 7;
/// How often the screen is looked at: the error of a start.
const LOOK: Duration = Duration::from_millis(5);
/// A start that takes longer is a failure.
const LIMIT: Duration = Duration::from_mins(1);
/// From the first row until the memory is read.
const SETTLE: Duration = Duration::from_secs(10);
/// Green pixels of one row of heartbeat bars; nothing else on the screen has as many.
const GREEN: usize = 400;

/// Measures with 100 and with 1,000 endpoints.
pub(super) fn measure(workspace: &Workspace) -> Result<Vec<Row>> {
    let mut arguments = vec!["build", "--release"];
    arguments.extend(Workspace::selection());
    arguments.extend(["--bin", "pilothouse"]);
    process::run(&mut workspace.cargo(&arguments))?;
    let app = workspace.target.join("release").join(format!("pilothouse{}", std::env::consts::EXE_SUFFIX));
    let mut rows = Vec::new();
    for (endpoints, words) in [("100", "100"), ("1000", "1,000")] {
        let folder = PrivateFolder::create("bench")?;
        let database = folder.path().join("pilothouse.db");
        let mut fill = super::cargo_bench(workspace, "screens");
        fill.env("PILOTHOUSE_BENCH_DATABASE", &database).env("PILOTHOUSE_BENCH_ENDPOINTS", endpoints);
        process::run(&mut fill)?;
        rows.extend(of_database(&app, &database, folder.path(), &format!("window of {words} endpoints"))?);
    }
    Ok(rows)
}

fn of_database(app: &Path, database: &Path, folder: &Path, what: &str) -> Result<Vec<Row>> {
    let display = Display::start(&folder.join("display"), session::SCREEN.0, session::SCREEN.1)?;
    let mut starts = Vec::new();
    let mut memory = Vec::new();
    for number in 0..STARTS {
        let mut command = Command::new(app);
        command.arg("--db").arg(database);
        let mut command = session::with_bus(command);
        for variable in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"] {
            command.env(variable, folder.join("home"));
        }
        display.apply(&mut command);
        session::software_rendering(&mut command);
        session::locale(&mut command);
        let started = Instant::now();
        let mut running = Background::start(&mut command)?;
        until(&display, &mut running, folder, true)?;
        starts.push(started.elapsed());
        if number + 1 == STARTS {
            let settled = Instant::now();
            while settled.elapsed() < SETTLE && !process::interrupted() {
                std::thread::sleep(process::POLL);
            }
            memory = running.memory();
            // The bus, the keyring's daemon and the like are the desktop's, and run there anyway.
            memory.retain(|(name, _)| name.starts_with("pilothouse") || name.starts_with("WebKit"));
        }
        running.end();
        // The next start must not see this one's picture.
        until_cleared(&display, folder)?;
    }
    let mut rows = vec![row_of_starts(what, &mut starts)];
    let total: u64 = memory.iter().map(|(_, bytes)| bytes).sum();
    if total > 0 {
        rows.push(Row::of_value(&format!("{what}: memory (PSS) of all its processes"), &mib(total)));
    }
    rows.extend(memory.iter().map(|(name, bytes)| Row::of_value(&format!("{what}: of these `{name}`"), &mib(*bytes))));
    Ok(rows)
}

fn row_of_starts(what: &str, starts: &mut [Duration]) -> Row {
    starts.sort_unstable();
    let shown = |time: Option<&Duration>| time.map_or_else(String::new, |time| format!("{} ms", time.as_millis()));
    Row {
        name: format!("{what}: start to the first painted row"),
        median: shown(starts.get(starts.len() / 2)),
        fastest: shown(starts.first()),
        slowest: shown(starts.last()),
        throughput: String::new(),
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// Waits until a row is painted.
fn until(display: &Display, running: &mut Background, folder: &Path, painted: bool) -> Result<()> {
    let since = Instant::now();
    while (display.green_pixels()? >= GREEN) != painted {
        if let Some(status) = running.ended()? {
            bail!("the app ended with {status} before it painted a row; its messages are above");
        }
        give_up(display, folder, since)?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn until_cleared(display: &Display, folder: &Path) -> Result<()> {
    let since = Instant::now();
    while display.green_pixels()? >= GREEN {
        give_up(display, folder, since)?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn give_up(display: &Display, folder: &Path, since: Instant) -> Result<()> {
    if process::interrupted() {
        bail!("interrupted");
    }
    if since.elapsed() > LIMIT {
        let picture: PathBuf = folder.with_extension("png");
        display.picture()?.write_png(&picture).context("cannot write what the screen shows")?;
        bail!("no row was painted in {} s; the screen is in `{}`", LIMIT.as_secs(), picture.display());
    }
    Ok(())
}
