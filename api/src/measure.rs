//! What the shards measure, on its way to the analytics.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use trinity_actors::clock::now;
use trinity_analytics::Analytics;
use trinity_engine::history::Measurement;

use crate::rest::metrics::Metrics;

/// How often windows that are over are closed.
const TICK: Duration = Duration::from_secs(1);

/// Records until nobody measures any more; then what was measured is kept.
pub(crate) async fn record(
    analytics: Arc<Analytics>,
    metrics: Arc<Metrics>,
    mut measured: mpsc::Receiver<Vec<Measurement>>,
) {
    let writer = analytics.writer();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            batch = measured.recv() => match batch {
                Some(batch) => {
                    writer.record(&batch);
                    metrics.measured(&batch);
                }
                None => break,
            },
            _ = ticks.tick() => blocking(&analytics, |analytics| analytics.tick(now())).await,
        }
    }
    blocking(&analytics, Analytics::flush).await;
}

/// Beside the threads that serve. After an error everything is still in memory, and the next time it is tried again.
async fn blocking(
    analytics: &Arc<Analytics>,
    work: impl FnOnce(&Analytics) -> Result<(), trinity_analytics::AnalyticsError> + Send + 'static,
) {
    let analytics = analytics.clone();
    match tokio::task::spawn_blocking(move || work(&analytics)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "measurements can't be kept; trying again"),
        Err(error) => tracing::error!(%error, "the analytics failed"),
    }
}
