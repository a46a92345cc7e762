//! Start and stop: the database is opened beside the window, and closed before the program ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use pilothouse_api::types::{Empty, FleetRequest};
use pilothouse_api::{Api, ApiError, Code};
use pilothouse_secrets::Secrets;
use tauri::{AppHandle, Manager as _};
use tokio::sync::OnceCell;

use crate::stale;

/// What the handlers share.
pub(crate) struct Shell {
    database: PathBuf,
    logs: Option<PathBuf>,
    demo: bool,
    api: OnceCell<Result<Api, ApiError>>,
    stopping: AtomicBool,
}

impl Shell {
    pub(crate) fn new(database: PathBuf, logs: Option<PathBuf>, demo: bool) -> Self {
        Self { database, logs, demo, api: OnceCell::new(), stopping: AtomicBool::new(false) }
    }

    /// The command surface, opened by whoever asks first. A database that cannot be opened answers every command with why.
    pub(crate) async fn api(&self) -> Result<Api, ApiError> {
        let open = || async {
            let (database, logs) = (self.database.clone(), self.logs.clone());
            tauri::async_runtime::spawn_blocking(move || Api::open(&database, Secrets::keyring(), logs))
                .await
                .map_err(|error| ApiError::new(Code::Internal, format!("opening the database was cut off: {error}")))?
                .map_err(|error| ApiError::new(Code::Storage, error.to_string()))
        };
        self.api.get_or_init(open).await.clone()
    }

    /// True for the first caller: then the program is to be stopped in order before it ends.
    pub(crate) fn begin_stop(&self) -> bool {
        !self.stopping.swap(true, Ordering::Relaxed)
    }

    pub(crate) async fn stop(&self) {
        if let Some(Ok(api)) = self.api.get() {
            api.stop().await;
        }
    }
}

/// Opens the database, starts the demo fleet where it belongs, watches, and tells the window what becomes stale.
pub(crate) async fn start(app: &AppHandle) {
    let shell = app.state::<Shell>();
    let api = match shell.api().await {
        Ok(api) => api,
        Err(error) => return tracing::error!(%error, "the database could not be opened"),
    };
    tauri::async_runtime::spawn(stale::forward(app.clone(), api.engine().topics()));
    // The demo fleet comes first, so that endpoints of an earlier start have their new addresses when probing begins.
    let demo = match api.fleet(FleetRequest::default()).await {
        Ok(fleet) if fleet.endpoints.is_empty() && shell.demo => api.demo_start(Empty {}).await.map(|_| ()),
        Ok(_) => api.demo_resume().await,
        Err(error) => Err(error),
    };
    if let Err(error) = demo {
        tracing::error!(%error, "the demo fleet could not be started");
    }
    match api.watch().await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("another process watches this database; this window only shows it"),
        Err(error) => tracing::error!(%error, "the endpoints could not be watched"),
    }
    end_on_signal(app).await;
}

/// Ends the program in order when the terminal or the system asks for it.
async fn end_on_signal(app: &AppHandle) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    app.exit(0);
}
