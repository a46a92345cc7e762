//! Where things lie on this machine.

use std::path::PathBuf;

use directories::BaseDirs;

/// Name of this program's folder in the user's data folder: the application's identifier.
const FOLDER: &str = "dev.pilothouse.desktop";

/// The user's own database; the window and the command line share it. `None` when the system names no data folder.
pub fn default_database() -> Option<PathBuf> {
    Some(data_folder()?.join("pilothouse.db"))
}

/// The folder of the log files.
pub fn log_folder() -> Option<PathBuf> {
    Some(data_folder()?.join("logs"))
}

fn data_folder() -> Option<PathBuf> {
    Some(BaseDirs::new()?.data_dir().join(FOLDER))
}
