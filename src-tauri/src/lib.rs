//! The desktop shell: one window over the command surface.
//!
//! What it is: start-up, the window, one handler per command, and the events that say what became stale. What it hides:
//! Tauri. What must stay true: no handler blocks the main thread; the window shows nothing but its own pages; only the
//! commands of `api` are registered, and each is named in `permissions/app.toml`.

mod handlers;
mod log;
mod shell;
mod stale;
mod window;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use tauri::{Manager as _, RunEvent};

use crate::shell::Shell;

/// Watch deployed models, explain their predictions, and bring a bad version back.
#[derive(Debug, Clone, Parser)]
#[command(name = "pilothouse", version)]
struct Arguments {
    /// Database file; the user's own by default.
    #[arg(long)]
    db: Option<PathBuf>,
    /// Start the demo fleet when no endpoint is connected yet.
    #[arg(long)]
    demo: bool,
}

/// Runs the program until its window is closed.
pub fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let logs = pilothouse_api::places::log_folder();
    let _log_writer = log::start(logs.as_deref());
    let database = match arguments.db {
        Some(path) => path,
        None => pilothouse_api::places::default_database()
            .context("this system names no folder for a user's data; name a database with --db PATH")?,
    };
    let shell = Shell::new(database, logs, arguments.demo);
    let app = tauri::Builder::default()
        .manage(shell)
        .invoke_handler(handlers::all())
        .setup(|app| {
            window::open(app.handle())?;
            let handle = app.handle().clone();
            tauri::async_runtime::spawn(async move { shell::start(&handle).await });
            Ok(())
        })
        .build(tauri::generate_context!())
        .context("the window could not be made; on Linux check that WebKitGTK 4.1 is installed and a display is set")?;
    app.run(|app, event| {
        if let RunEvent::ExitRequested { api, code, .. } = event {
            let shell = app.state::<Shell>();
            if shell.begin_stop() {
                api.prevent_exit();
                let app = app.clone();
                tauri::async_runtime::spawn(async move {
                    app.state::<Shell>().stop().await;
                    app.exit(code.unwrap_or(0));
                });
            }
        }
    });
    Ok(())
}
