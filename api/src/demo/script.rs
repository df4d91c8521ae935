//! What the devices do and when: known before it happens, so that what comes of it can be checked.

use std::time::Duration;

use super::recording::{Reading, Recording};

/// Time between two heartbeats of a device.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a device that falls silent says nothing: a second more than `heartbeat.yaml` waits.
const SILENCE: Duration = Duration::from_secs(4);
/// Every how many devices one falls silent.
const SILENT_EVERY: usize = 8;
/// Readings of one device per second, while there are devices enough.
const READINGS_PER_SECOND: f64 = 5.0;
/// Most devices.
const DEVICES_MAX: usize = 200;
/// `wind.yaml`: alerts from here on.
const WIND_ALERT: f64 = 2.5;
/// `wind.yaml`: armed again from here down.
const WIND_CLEAR: f64 = 1.0;

/// What a message is about: the last level of its topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Kind {
    Online,
    Heartbeat,
    Reading,
    Offline,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Online => "online",
            Kind::Heartbeat => "heartbeat",
            Kind::Reading => "reading",
            Kind::Offline => "offline",
        }
    }
}

/// A message and when it is due.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub at: Duration,
    pub device: usize,
    pub kind: Kind,
    /// Which of its kind and device.
    pub number: usize,
}

/// The part of all devices.
#[derive(Debug)]
pub(super) struct Script {
    pub devices: usize,
    duration: Duration,
    reading_every: Duration,
    recording: Recording,
}

impl Script {
    /// For `rate` readings a minute in all.
    pub(super) fn new(recording: Recording, duration: Duration, rate: u32) -> Script {
        let per_second = f64::from(rate.max(1)) / 60.0;
        let enough = (per_second / READINGS_PER_SECOND).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and clamped")]
        let devices = (enough as usize).clamp(1, DEVICES_MAX);
        #[expect(clippy::cast_precision_loss, reason = "at most DEVICES_MAX")]
        let reading_every = Duration::from_secs_f64(devices as f64 / per_second);
        Script { devices, duration, reading_every, recording }
    }

    /// The name of a device.
    pub(super) fn name(device: usize) -> String {
        format!("d{:03}", device + 1)
    }

    /// The id of a message.
    pub(super) fn id(due: &Due) -> String {
        format!("{}-{}-{}", Script::name(due.device), due.kind.name(), due.number)
    }

    /// The message itself.
    pub(super) fn payload(&self, due: &Due) -> String {
        let (id, device) = (Script::id(due), Script::name(due.device));
        match due.kind {
            Kind::Reading => self.reading(due).payload(&id, &device),
            Kind::Online | Kind::Heartbeat | Kind::Offline => format!(r#"{{"id":"{id}","device":"{device}"}}"#),
        }
    }

    /// What a device reads.
    pub(super) fn reading(&self, due: &Due) -> &Reading {
        // Each device begins at another time of the recorded day.
        let start = due.device * self.recording.len() / self.devices;
        self.recording.at(start + due.number)
    }

    /// When a device falls silent and when it is back, if it does: in the middle of a run that is long enough.
    pub(super) fn silence(&self, device: usize) -> Option<(Duration, Duration)> {
        let room = self.duration.checked_sub(SILENCE + HEARTBEAT * 2)?;
        (device % SILENT_EVERY == SILENT_EVERY / 2).then(|| (HEARTBEAT + room / 2, HEARTBEAT + room / 2 + SILENCE))
    }

    /// What a device publishes, in order.
    pub(super) fn messages(&self, device: usize) -> Vec<Due> {
        #[expect(clippy::cast_possible_truncation, reason = "devices are few")]
        let (part, parts) = (device as u32, self.devices as u32);
        let silence = self.silence(device);
        let speaks = |at: Duration| silence.is_none_or(|(from, to)| at < from || at >= to);
        let mut messages = vec![Due { at: Duration::ZERO, device, kind: Kind::Online, number: 0 }];
        let mut add = |kind, every: Duration, first: Duration| {
            let times = (0..).map(|count| first + every * count).take_while(|at| *at < self.duration);
            let due = times.filter(|at| speaks(*at)).enumerate();
            messages.extend(due.map(|(number, at)| Due { at, device, kind, number }));
        };
        // Not all at the same moment.
        add(Kind::Heartbeat, HEARTBEAT, HEARTBEAT * part / parts / 2);
        add(Kind::Reading, self.reading_every, self.reading_every * part / parts + HEARTBEAT / 2);
        messages.push(Due { at: self.duration, device, kind: Kind::Offline, number: 0 });
        messages.sort_by_key(|due| due.at);
        messages
    }

    /// Whether a message is one that `wind.yaml` may alert at.
    pub(super) fn is_windy(&self, due: &Due) -> bool {
        due.kind == Kind::Reading && self.reading(due).wind_speed >= WIND_ALERT
    }

    /// How many alerts of `wind.yaml` the readings of a device lead to, and how many times it is armed again.
    pub(super) fn wind_alerts(&self, device: usize) -> (usize, usize) {
        let (mut alerts, mut clears, mut windy) = (0, 0, false);
        for due in self.messages(device).iter().filter(|due| due.kind == Kind::Reading) {
            let speed = self.reading(due).wind_speed;
            if !windy && speed >= WIND_ALERT {
                (alerts, windy) = (alerts + 1, true);
            } else if windy && speed <= WIND_CLEAR {
                (clears, windy) = (clears + 1, false);
            }
        }
        (alerts, clears)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn script(seconds: u64, rate: u32) -> Script {
        Script::new(Recording::load().expect("a recording"), Duration::from_secs(seconds), rate)
    }

    #[test]
    fn the_rate_is_met_by_all_devices_together() {
        for rate in [1, 60, 12_000, 600_000] {
            let script = script(60, rate);
            // What falls silent is missing, and the first half second.
            let readings: usize = (0..script.devices)
                .map(|device| script.messages(device).iter().filter(|due| due.kind == Kind::Reading).count())
                .sum();
            let rate = rate as usize;
            assert!(readings <= rate + 1 && readings * 100 >= rate * 97, "{readings} of {rate}");
        }
    }

    #[test]
    fn every_message_has_an_id_of_its_own_and_its_place_in_time() {
        let script = script(10, 3_000);
        let mut ids = BTreeSet::new();
        for device in 0..script.devices {
            let messages = script.messages(device);
            assert!(messages.is_sorted_by_key(|due| due.at));
            assert_eq!((messages[0].kind, messages[messages.len() - 1].kind), (Kind::Online, Kind::Offline));
            for due in &messages {
                assert!(ids.insert(Script::id(due)));
                assert!(script.payload(due).contains(&Script::id(due)));
            }
            let silence = script.silence(device);
            let gap = messages.windows(2).map(|pair| pair[1].at - pair[0].at).max().expect("messages");
            assert_eq!(gap >= Duration::from_secs(3), silence.is_some(), "{device}: {gap:?}");
        }
        assert!((0..script.devices).any(|device| script.silence(device).is_some()));
    }

    #[test]
    fn the_wind_rises_and_falls_in_what_is_replayed() {
        let script = script(60, 12_000);
        let all: Vec<_> = (0..script.devices).map(|device| script.wind_alerts(device)).collect();
        assert!(all.iter().map(|(alerts, _)| alerts).sum::<usize>() > script.devices);
        assert!(all.iter().all(|(alerts, clears)| alerts - clears <= 1));
    }
}
