//! What is sent: readings of 150 bytes that name their run, step and number. Number, key and time due follow from each other,
//! so nothing has to be remembered of a message but that it was sent, acknowledged and seen.

use serde_json::json;

/// Type of the events that start the workflow.
pub const READING: &str = "com.example.load.reading";
/// Type of the event that the workflow emits as its last act.
pub const DONE: &str = "com.example.load.done";
/// Namespace and name of the workflow that the load generator brings along.
pub const WORKFLOW: &str = "load/w1";
/// Its definition: convert, branch, set a level; the reference workflow of the benchmarks, which tells its end by an event.
pub const DEFINITION: &str = include_str!("w1.yaml");

/// Bytes of a payload, unless its id is unusually long.
const PAYLOAD: usize = 150;

/// The names of a run's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// Tells the run from all others.
    pub run: String,
    /// How many keys the messages have, in turns.
    pub keys: u64,
}

impl Naming {
    /// Id of a message.
    #[must_use]
    pub fn id(&self, step: usize, n: u64) -> String {
        format!("{}-{step}-{n}", self.run)
    }

    /// Step and number of a message of this run.
    #[must_use]
    pub fn parse(&self, id: &str) -> Option<(usize, u64)> {
        let (step, n) = id.strip_prefix(&self.run)?.strip_prefix('-')?.split_once('-')?;
        Some((step.parse().ok()?, n.parse().ok()?))
    }

    /// Key of a message: its device.
    #[must_use]
    pub fn key(&self, n: u64) -> String {
        format!("d{:06}", n % self.keys)
    }

    /// The payload of a message.
    #[must_use]
    pub fn payload(&self, step: usize, n: u64) -> String {
        let (id, key) = (self.id(step, n), self.key(n));
        let temperature = 60.0 + (n * 7_919 % 1_400) as f64 / 10.0;
        let start = format!(
            r#"{{"id":"{id}","deviceId":"{key}","site":"plant-7/line-3","temperature":{temperature:.1},"humidity":41.5,"unit":"F""#
        );
        format!("{start},\"pad\":\"{}\"}}", "x".repeat(PAYLOAD.saturating_sub(start.len() + 10)))
    }

    /// The CloudEvent of a message, in JSON.
    #[must_use]
    pub fn event(&self, step: usize, n: u64) -> String {
        let (id, key, payload) = (self.id(step, n), self.key(n), self.payload(step, n));
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/trinity/load","type":"{READING}","subject":"{key}","datacontenttype":"application/json","data":{payload}}}"#
        )
    }
}

/// Settings of a node for these loads: where it hears them, and sinks for what the workflow emits.
#[must_use]
pub fn settings(mqtt: Option<&str>, kafka: Option<&str>, sink: Option<&str>) -> String {
    let event = json!({"type": READING, "subject": "${ .payload.deviceId }", "id": "${ .payload.id }"});
    let event = |key: &str| if key == "kafka" { json!({"type": READING}) } else { event.clone() };
    let mut sources = Vec::new();
    if let Some(url) = mqtt {
        let mqtt = json!({"url": url, "topics": ["load/+/reading"], "qos": 1});
        sources.push(json!({"name": "load-mqtt", "mqtt": mqtt, "event": event("mqtt")}));
    }
    if let Some(brokers) = kafka {
        let kafka = json!({"brokers": brokers, "topics": ["load"], "group": "trinity-load", "from": "earliest"});
        sources.push(json!({"name": "load-kafka", "kafka": kafka, "event": event("kafka")}));
    }
    let mut settings = json!({"sources": sources});
    let matched = json!({"type": DONE});
    match (sink, mqtt, kafka) {
        (Some("mqtt"), Some(url), _) => {
            let mqtt = json!({"url": url, "topic": "${ \"load/\" + .subject + \"/done\" }", "qos": 1});
            settings["sinks"] = json!([{"match": matched, "mqtt": mqtt}]);
        }
        (Some("kafka"), _, Some(brokers)) => {
            let kafka = json!({"brokers": brokers, "topic": "load-done", "key": "${ .subject }"});
            settings["sinks"] = json!([{"match": matched, "kafka": kafka}]);
        }
        _ => {}
    }
    // JSON is YAML, and this much of it can be read.
    serde_json::to_string_pretty(&settings).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_by_its_id_and_has_150_bytes() {
        let naming = Naming { run: "k3f9a2".into(), keys: 10 };
        assert_eq!(naming.parse(&naming.id(3, 1_234)), Some((3, 1_234)));
        for other in ["k3f9a2-3", "k3f9a2-x-1", "other-3-1", "k3f9a2b-3-1", ""] {
            assert_eq!(naming.parse(other), None, "{other}");
        }
        for n in [0, 7, 12_345_678] {
            assert_eq!(naming.payload(2, n).len(), 150);
            let event: serde_json::Value = serde_json::from_str(&naming.event(2, n)).expect("JSON");
            assert_eq!(event["data"]["id"], event["id"]);
            assert_eq!(event["data"]["deviceId"], naming.key(n));
        }
        assert_eq!(naming.key(3), naming.key(13));
    }
}
