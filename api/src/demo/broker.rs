//! The MQTT broker within the demonstration, so that it needs nothing else. It keeps all in memory and can't be stopped: its
//! threads end with the process.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

/// Time it may take to answer.
const START_MAX: Duration = Duration::from_secs(10);

/// Starts a broker of MQTT 5 on a free port of loopback.
///
/// # Errors
/// It does not start.
pub(super) async fn start() -> Result<SocketAddr, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the embedded MQTT broker does not start: {error}");
    // It takes an address only, so the port is found by taking it for a moment.
    let reserved = TcpListener::bind("127.0.0.1:0").map_err(|error| failed(&error))?;
    let address = reserved.local_addr().map_err(|error| failed(&error))?;
    drop(reserved);
    let server = ServerSettings {
        name: "demo".into(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: 2 << 20,
            max_inflight_count: 10_000,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let config = Config {
        id: 0,
        router: RouterConfig {
            max_connections: 1024,
            max_outgoing_packet_count: 10_000,
            // What a subscriber lags behind more than this is lost to it: far more than a run publishes in a minute.
            max_segment_size: 64 << 20,
            max_segment_count: 16,
            ..RouterConfig::default()
        },
        v4: None,
        v5: Some(HashMap::from([("demo".to_owned(), server)])),
        ws: None,
        cluster: None,
        console: None,
        bridge: None,
        prometheus: None,
        metrics: None,
    };
    // A thread of its own: `start` blocks for as long as it serves.
    std::thread::Builder::new()
        .name("mqtt-broker".into())
        .spawn(move || {
            if let Err(error) = Broker::new(config).start() {
                tracing::error!(%error, "the embedded MQTT broker ended");
            }
        })
        .map_err(|error| failed(&error))?;
    let end = tokio::time::Instant::now() + START_MAX;
    while tokio::net::TcpStream::connect(address).await.is_err() {
        if tokio::time::Instant::now() > end {
            return Err(failed(&"it does not answer"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(address)
}
