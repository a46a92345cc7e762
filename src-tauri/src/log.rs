//! Log files: one a day in the user's data folder, the last seven kept, and the terminal.

use std::path::Path;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{Builder, Rotation};
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Begins to log. The guard writes the last lines when it is dropped. `RUST_LOG` chooses what is logged.
pub(crate) fn start(folder: Option<&Path>) -> Option<WorkerGuard> {
    let filter = || EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter());
    let file = folder.and_then(|folder| {
        std::fs::create_dir_all(folder).ok()?;
        let days = Builder::new().rotation(Rotation::DAILY).filename_prefix("pilothouse").filename_suffix("log");
        days.max_log_files(7).build(folder).ok()
    });
    let (layer, guard) = match file {
        Some(file) => {
            let (writer, guard) = tracing_appender::non_blocking(file);
            let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).with_filter(filter());
            (Some(layer), Some(guard))
        }
        None => (None, None),
    };
    tracing_subscriber::registry().with(terminal).with(layer).init();
    guard
}
