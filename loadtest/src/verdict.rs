//! Whether a step passed, and why not: a broken promise, a refusal, a sender that was too slow, or the latency itself.

use serde::Serialize;

use crate::latency::Summary;
use crate::ledger::Audit;

/// A sender that sent less than this part of what was due has fallen behind.
const SENT_MIN: f64 = 0.98;
/// A part of the bound that the sender's own lateness may take before it is blamed for missing it.
const LAG_SHARE: f64 = 0.5;

/// Lateness of its own, in milliseconds, by which a sender that did not send all in time is known to be the cause.
const LAG_MAX_MS: f64 = 100.0;

/// What percentiles may be at most, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bounds {
    /// The median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

/// Of what kind a reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A message was lost, doubled or out of order.
    Invariant,
    /// The server, or its broker, refused messages or did not acknowledge them.
    Refused,
    /// The sender did not keep its schedule: this says nothing about the server.
    Sender,
    /// The server fell further and further behind.
    Behind,
    /// A percentile is above its bound.
    Latency,
    /// The run could not go on.
    Broken,
}

/// Why a step did not pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// Of what kind.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

impl Reason {
    /// A reason.
    #[must_use]
    pub fn new(kind: Kind, text: impl Into<String>) -> Reason {
        Reason { kind, text: text.into() }
    }
}

/// What a step came to, as far as the verdict needs it.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The ledger's word.
    pub audit: &'a Audit,
    /// Messages that were due.
    pub due: u64,
    /// Messages that were handed over by the end of the schedule.
    pub sent_in_time: u64,
    /// How late the sender was.
    pub lag: Summary,
    /// The latency that the bounds are about.
    pub latency: Summary,
    /// That it was given up, and why.
    pub behind: Option<&'a str>,
    /// That somebody stopped it: then what is missing was never due.
    pub interrupted: bool,
}

/// Why it did not pass; nothing when it did.
#[must_use]
pub fn reasons(facts: &Facts<'_>, bounds: &Bounds) -> Vec<Reason> {
    let mut reasons: Vec<Reason> =
        facts.audit.breaches().into_iter().map(|breach| Reason::new(Kind::Invariant, breach)).collect();
    if facts.audit.unacknowledged > 0 && !facts.interrupted {
        let mut text = format!("{} were not acknowledged", facts.audit.unacknowledged);
        for (why, count) in facts.audit.refused.iter().take(3) {
            text.push_str(&format!("; {count}: {why}"));
        }
        reasons.push(Reason::new(Kind::Refused, text));
    }
    let sent = facts.sent_in_time as f64 / facts.due.max(1) as f64;
    if sent < SENT_MIN && facts.behind.is_none() && !facts.interrupted {
        let percent = sent * 100.0;
        reasons.push(if facts.lag.p99 > LAG_MAX_MS {
            let text =
                format!("the sender sent {percent:.1} % of what was due in time: this says nothing about the server");
            Reason::new(Kind::Sender, text)
        } else {
            Reason::new(Kind::Behind, format!("{percent:.1} % could be sent in time: the server held the senders up"))
        });
    }
    reasons.extend(facts.behind.map(|text| Reason::new(Kind::Behind, text)));
    for (name, bound) in [("p50", bounds.p50), ("p95", bounds.p95), ("p99", bounds.p99)] {
        let Some(bound) = bound else { continue };
        let (found, lag) = (facts.latency.get(name), facts.lag.get(name));
        if facts.latency.count == 0 {
            reasons
                .push(Reason::new(Kind::Broken, format!("there is no {name}: nothing was measured after the warm-up")));
        } else if found > bound && lag > bound * LAG_SHARE {
            let text = format!(
                "{name} {found:.1} ms, of which the sender was late {lag:.1} ms: this says nothing about the server"
            );
            reasons.push(Reason::new(Kind::Sender, text));
        } else if found > bound {
            reasons.push(Reason::new(Kind::Latency, format!("{name} {found:.1} ms is above {bound} ms")));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit() -> Audit {
        Audit { sent: 1_000, acknowledged: 1_000, ended: 1_000, ..Audit::default() }
    }

    fn summary(p99: f64) -> Summary {
        Summary { count: 1_000, p50: p99 / 4.0, p95: p99 / 2.0, p99, ..Summary::default() }
    }

    fn kinds(change: impl FnOnce(&mut Facts<'_>), audit: &Audit) -> Vec<Kind> {
        let mut facts = Facts {
            audit,
            due: 1_000,
            sent_in_time: 1_000,
            lag: summary(1.0),
            latency: summary(15.0),
            behind: None,
            interrupted: false,
        };
        change(&mut facts);
        let bounds = Bounds { p50: Some(5.0), p95: None, p99: Some(20.0) };
        reasons(&facts, &bounds).into_iter().map(|reason| reason.kind).collect()
    }

    #[test]
    fn each_way_to_fail_is_told_apart() {
        assert_eq!(kinds(|_| {}, &audit()), []);
        assert_eq!(kinds(|facts| facts.latency = summary(24.0), &audit()), [Kind::Latency, Kind::Latency]);
        assert_eq!(kinds(|facts| facts.latency.p50 = 5.1, &audit()), [Kind::Latency]);
        assert_eq!(
            kinds(
                |facts| (facts.latency, facts.lag) = (Summary { p99: 25.0, ..summary(15.0) }, summary(11.0)),
                &audit()
            ),
            [Kind::Sender]
        );
        assert_eq!(kinds(|facts| facts.sent_in_time = 970, &audit()), [Kind::Behind]);
        assert_eq!(kinds(|facts| (facts.sent_in_time, facts.lag) = (970, summary(300.0)), &audit()), [Kind::Sender]);
        assert_eq!(kinds(|facts| facts.behind = Some("far behind"), &audit()), [Kind::Behind]);
        assert_eq!(kinds(|facts| facts.latency.count = 0, &audit()), [Kind::Broken, Kind::Broken]);
        assert_eq!(kinds(|_| {}, &Audit { doubled: 1, ..audit() }), [Kind::Invariant]);
        let refused = Audit { unacknowledged: 3, acknowledged: 997, ..audit() };
        assert_eq!(kinds(|_| {}, &refused), [Kind::Refused]);
        assert_eq!(kinds(|facts| facts.interrupted = true, &refused), []);
    }
}
