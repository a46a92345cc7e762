//! One handle that carries out every command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pilothouse_demo::DemoFleet;
use pilothouse_engine::{Engine, EngineError, SystemClock};
use pilothouse_secrets::Secrets;
use pilothouse_store::{OpenOptions, Store, StoreError};
use tokio::sync::Mutex;

use crate::fleet_changes::KnownFleet;

/// Carries out every command; clones share one engine.
#[derive(Clone)]
pub struct Api {
    pub(crate) engine: Engine,
    pub(crate) demo: Arc<Mutex<Option<DemoFleet>>>,
    pub(crate) database: PathBuf,
    pub(crate) logs: Option<PathBuf>,
    /// What the last look at the fleet left to be used by the next one.
    pub(crate) known_fleet: Arc<Mutex<KnownFleet>>,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the database could not be made.
    #[error("cannot make the folder {}: {source}; choose another place with --db", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Api {
    /// Opens a database, making it when it does not exist, with the secrets of `secrets`. Nothing is watched yet.
    /// Blocks while it migrates.
    pub fn open(database: &Path, secrets: Secrets, logs: Option<PathBuf>) -> Result<Self, OpenError> {
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
        }
        let store = Store::open(database, &OpenOptions::default())?;
        let engine = Engine::new(store, database, secrets, Arc::new(SystemClock::default()))?;
        let known_fleet = Arc::new(Mutex::new(KnownFleet::new(engine.now())));
        Ok(Self { engine, demo: Arc::default(), database: database.to_owned(), logs, known_fleet })
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Begins to watch; false when another process watches this database already.
    pub async fn watch(&self) -> Result<bool, EngineError> {
        self.engine.watch().await
    }

    /// Stops everything: the demo fleet, the engine, the store.
    pub async fn stop(&self) {
        self.engine.stop().await;
        if let Some(fleet) = self.demo.lock().await.take() {
            fleet.shutdown().await;
        }
        if let Err(error) = self.engine.with_store(Store::close).await {
            tracing::error!(%error, "the database was not closed in order");
        }
    }
}
