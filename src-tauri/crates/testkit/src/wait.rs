//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// Asks `condition` every few milliseconds until it holds (true) or `limit` has passed (false).
///
/// For use with a clock that is not paused, since it measures real time.
pub async fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if started.elapsed() >= limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}
