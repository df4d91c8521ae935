//! The sample workflows, and the settings of a node that runs them with the embedded broker: as in `examples/devices`.

use std::net::SocketAddr;
use std::path::Path;

/// Name and definition of each; the one that has most to do first.
pub(super) const WORKFLOWS: [(&str, &str); 4] = [
    ("reading", include_str!("../../../examples/devices/reading.yaml")),
    ("heartbeat", include_str!("../../../examples/devices/heartbeat.yaml")),
    ("wind", include_str!("../../../examples/devices/wind.yaml")),
    ("ticket", include_str!("../../../examples/devices/ticket.yaml")),
];

/// The name of the source.
pub(super) const SOURCE: &str = "devices";

const CONFIG: &str = include_str!("../../../examples/devices/trinity.config.yml");

/// The settings as a user would write them; what is different here comes in by variables and overrides.
pub(super) fn config() -> (&'static Path, &'static str) {
    (Path::new("examples/devices/trinity.config.yml"), CONFIG)
}

/// The environment for the settings: this broker and folder, any free port, a log file.
pub(super) fn environment(broker: SocketAddr, data: &Path) -> Vec<(String, String)> {
    [
        ("MQTT_URL", format!("mqtt://{broker}")),
        ("TRINITY_DATA", data.display().to_string()),
        ("TRINITY__SERVER__PORT", "0".into()),
        ("TRINITY__LOGGING__HANDLERS", "[file]".into()),
        ("TRINITY__LOGGING__LEVEL", "WARN".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
