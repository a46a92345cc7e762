//! An opened database for the length of one command, and the wish to stop.

use pilothouse_api::{Api, places};
use pilothouse_domain::Endpoint;
use pilothouse_secrets::Secrets;

use crate::arguments::Common;
use crate::failure::{Answer, Failure};

/// Opens the database, does the work, and closes it in order, also when the work fails.
pub(crate) async fn with_api(
    common: &Common,
    work: impl AsyncFnOnce(&Api) -> Result<Answer, Failure>,
) -> Result<Answer, Failure> {
    let database = common.db.clone().or_else(places::default_database).ok_or_else(|| {
        Failure::internal("this system names no folder for the user's data").hint("name the database with --db")
    })?;
    let api = Api::open(&database, Secrets::keyring(), None)?;
    let answer = work(&api).await;
    api.stop().await;
    answer
}

/// The endpoint of this name. The error names those that exist.
pub(crate) async fn endpoint(api: &Api, name: &str) -> Result<Endpoint, Failure> {
    let endpoints = api.engine().with_store(pilothouse_store::Store::endpoints).await?;
    let names: Vec<String> = endpoints.iter().map(|endpoint| format!("`{}`", endpoint.name)).collect();
    endpoints.into_iter().find(|endpoint| endpoint.name == name).ok_or_else(|| {
        let hint = if names.is_empty() {
            "the database has no endpoints; add one with `pilothousectl endpoint add`".to_owned()
        } else {
            format!("the database has {}", names.join(", "))
        };
        let error =
            pilothouse_api::ApiError::new(pilothouse_api::Code::NotFound, format!("there is no endpoint `{name}`"));
        Failure::from(error.hint(hint))
    })
}

/// Comes back when the person (Ctrl-C) or the system (SIGTERM) wants this process to end.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
