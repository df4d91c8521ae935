//! W1, the reference workflow: convert units with `set`, branch with `switch`, `set` the level; started by an event of
//! 150 bytes.

use std::sync::Arc;

use bytes::Bytes;
use trinity_engine::definition::compile;
use trinity_engine::ids::DefinitionId;
use trinity_engine::input::{Origin, SourceEvent};
use trinity_engine::shard::{Catalog, CatalogEntry, DefinitionState};
use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;
use trinity_ingest::config::SourceConfig;
use trinity_ingest::mapping::{Decoder, Message};

/// The definition.
pub const DEFINITION: &str = "
document: {dsl: '1.0.0', namespace: bench, name: w1, version: '1.0.0'}
schedule: {on: {one: {with: {type: com.example.sensor.reading}}}}
input: {from: '${ .[0] }'}
do:
- convert: {set: {deviceId: '${ .deviceId }', celsius: '${ (.temperature - 32) * 5 / 9 }'}}
- check:
    switch:
    - hot: {when: .celsius > 70, then: high}
    - other: {then: normal}
- high: {set: {deviceId: '${ .deviceId }', celsius: '${ .celsius }', level: high}, then: end}
- normal: {set: {deviceId: '${ .deviceId }', celsius: '${ .celsius }', level: normal}}
";

/// The type of its events.
pub const EVENT_TYPE: &str = "com.example.sensor.reading";

/// Devices that send.
const DEVICES: u64 = 1_000;

/// A catalog with W1 and `others` more workflows that wait for other events.
///
/// # Panics
/// When the definition is not valid, which its test excludes.
#[must_use]
pub fn catalog(shards: u16, others: u32) -> Arc<Catalog> {
    let definitions = (0..=others).map(|number| {
        let text = match number {
            0 => DEFINITION.to_owned(),
            _ => DEFINITION
                .replace("name: w1", &format!("name: w1-{number}"))
                .replace(EVENT_TYPE, &format!("{EVENT_TYPE}.{number}")),
        };
        let plan = compile(&text).expect("a valid definition").0;
        CatalogEntry { id: DefinitionId(number), plan: Arc::new(plan), state: DefinitionState::Current }
    });
    Arc::new(Catalog::new(shards, definitions.collect(), Value::Null))
}

/// The key of the `number`-th message.
#[must_use]
pub fn key(number: u64) -> String {
    format!("device-{:04}", number % DEVICES)
}

/// The payload of the `number`-th message: 150 bytes.
#[must_use]
pub fn payload(number: u64) -> String {
    let temperature = 60.0 + (number * 7_919 % 1_400) as f64 / 10.0;
    let start = format!(
        r#"{{"deviceId":"{}","site":"plant-7/line-3","temperature":{temperature:.1},"humidity":41.5,"sequence":{number},"unit":"F""#,
        key(number)
    );
    format!("{start},\"pad\":\"{}\"}}", "x".repeat(150_usize.saturating_sub(start.len() + 10)))
}

/// The settings of a source of such messages.
///
/// # Panics
/// Never: the text is constant.
#[must_use]
pub fn source(kafka: Option<(&str, &str, &str)>) -> SourceConfig {
    let mut config = serde_json::json!({"name": "bench", "event": {"type": EVENT_TYPE}});
    if let Some((brokers, topic, group)) = kafka {
        config["kafka"] =
            serde_json::json!({"brokers": brokers, "topics": [topic], "group": group, "from": "earliest"});
    }
    serde_json::from_value(config).expect("a source")
}

/// Makes the events of messages as a source does.
pub struct Messages {
    decoder: Decoder,
    prepared: Vec<(Bytes, Bytes)>,
    partition: Arc<str>,
    next: u64,
}

impl Messages {
    /// Messages of one source partition.
    ///
    /// # Panics
    /// Never: the settings are constant.
    #[must_use]
    pub fn new(partition: u64) -> Messages {
        let decoder = Decoder::new(&source(None)).expect("settings");
        let message = |number: u64| (Bytes::from(key(number)), Bytes::from(payload(number)));
        // A prime number, so that partitions, keys and payloads do not fall into step.
        let prepared = (0..9_973).map(|number| message(number * 31 + partition)).collect();
        Messages { decoder, prepared, partition: format!("bench/{partition}").into(), next: 0 }
    }

    /// The next messages, from payload bytes to events.
    ///
    /// # Panics
    /// When a payload can't be decoded, which would be a defect.
    pub fn take(&mut self, count: usize, now: Timestamp) -> Vec<SourceEvent> {
        let take = |_| {
            let (key, payload) = &self.prepared[usize::try_from(self.next).unwrap_or(0) % self.prepared.len()];
            let offset = self.next;
            self.next += 1;
            let message = Message {
                topic: "bench".into(),
                key: Some(key.clone()),
                headers: Vec::new(),
                payload: Some(payload.clone()),
                time: Some(now),
                place: Some((0, i64::try_from(offset).unwrap_or(i64::MAX))),
                mqtt: None,
            };
            let event = self.decoder.event(&message, now).expect("a message");
            let origin = Origin::Offset { partition: self.partition.clone(), offset };
            SourceEvent { event: Arc::new(event.event), origin, token: offset }
        };
        (0..count).map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_150_bytes_and_starts_w1() {
        for number in [0, 9, 1_234_567] {
            assert_eq!(payload(number).len(), 150);
        }
        assert!(catalog(4, 2).is_awaited(EVENT_TYPE));
        assert_eq!(Messages::new(0).take(3, Timestamp(1)).len(), 3);
    }
}
