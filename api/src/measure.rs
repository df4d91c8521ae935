//! What the shards measure, on its way to the analytics.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trinity_actors::clock::now;
use trinity_analytics::Analytics;
use trinity_engine::history::Measurement;

use crate::rest::metrics::Metrics;

/// How often windows that are over are closed.
const TICK: Duration = Duration::from_secs(1);

/// Records until nobody measures any more; then what was measured is kept. Closing windows writes files, so it has a task of
/// its own: the shards wait for who takes their measurements.
pub(crate) async fn record(
    analytics: Arc<Analytics>,
    metrics: Arc<Metrics>,
    mut measured: mpsc::Receiver<Vec<Measurement>>,
) {
    let done = CancellationToken::new();
    let closing = tokio::spawn(close_windows(analytics.clone(), done.clone()));
    let writer = analytics.writer();
    while let Some(batch) = measured.recv().await {
        writer.record(&batch);
        metrics.measured(&batch);
    }
    done.cancel();
    if let Err(error) = closing.await {
        tracing::error!(%error, "the analytics failed");
    }
    blocking(&analytics, Analytics::flush).await;
}

async fn close_windows(analytics: Arc<Analytics>, done: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(ticks.tick()).await.is_some() {
        blocking(&analytics, |analytics| analytics.tick(now())).await;
    }
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
