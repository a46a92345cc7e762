//! Events to the window. They only say what became stale; the data are pulled by commands.

use std::collections::BTreeSet;
use std::time::Duration;

use pilothouse_engine::Topic;
use serde::Serialize;
use tauri::{AppHandle, Emitter as _};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Topics of this long are sent together: a screen is repainted a few times a second at most.
const COLLECT_FOR: Duration = Duration::from_millis(400);
/// Tags per event, so that an event stays below 1 KB (WebKitGTK keeps memory for large evaluated scripts).
const TAGS_AT_ONCE: usize = 40;

#[derive(Clone, Serialize)]
struct Stale {
    tags: Vec<String>,
}

/// Forwards topics until the engine is gone.
pub(crate) async fn forward(app: AppHandle, mut topics: Receiver<Topic>) {
    let mut tags: BTreeSet<String> = BTreeSet::new();
    loop {
        match topics.recv().await {
            Ok(topic) => tags.insert(topic.to_string()),
            // What was missed is stale as well; the next probe says so again.
            Err(RecvError::Lagged(_)) => tags.insert(Topic::Fleet.to_string()),
            Err(RecvError::Closed) => return,
        };
        let deadline = tokio::time::Instant::now() + COLLECT_FOR;
        while let Ok(Ok(topic)) = tokio::time::timeout_at(deadline, topics.recv()).await {
            tags.insert(topic.to_string());
        }
        let all: Vec<String> = std::mem::take(&mut tags).into_iter().collect();
        for tags in all.chunks(TAGS_AT_ONCE) {
            if let Err(error) = app.emit_to("main", "stale", Stale { tags: tags.to_vec() }) {
                tracing::debug!(%error, "no window to tell what became stale");
            }
        }
    }
}
