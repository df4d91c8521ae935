//! What may be chosen, and what is wrong with a choice.

use std::path::PathBuf;
use std::time::Duration;

use crate::message::WORKFLOW;

/// Messages of one step at most: what is remembered of each takes nine bytes.
const COUNT_MAX: u64 = 200_000_000;

/// Load, open loop: each message has a time at which it is due, and latency counts from then.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    #[command(subcommand)]
    pub(crate) load: Load,
}

/// Of which kind.
#[derive(clap::Subcommand, Clone, Debug)]
pub(crate) enum Load {
    /// Messages over MQTT 5 with QoS 1, which start executions
    #[command(after_help = "The node needs a source for the topic: `trinity load settings` prints one.\n\n\
        Examples:\n  trinity load mqtt --rate 10000 --duration 30s --p50 5ms --p99 20ms --html report.html\n  \
        trinity load mqtt --rate 1000..40000 --find-rate --p99 20ms\n  \
        trinity load mqtt --rate 1000,5000,10000,20000 --plots docs/plots")]
    Mqtt(Mqtt),
    /// Messages over Kafka, which start executions
    #[command(after_help = "The node needs a source for the topic: `trinity load settings` prints one.\n\n\
        Examples:\n  trinity load kafka --brokers 127.0.0.1:9092 --rate 20000 --ends list\n  \
        trinity load kafka --rate 1000..100000 --duration 2m --html rising.html")]
    Kafka(Kafka),
    /// CloudEvents to the API, one by one or in batches; an answer means that what they caused is durable
    #[command(
        after_help = "Examples:\n  trinity load events --rate 2000\n  trinity load events --rate 20000 --batch 500 --connections 4"
    )]
    Events(Events),
    /// Executions over the API, each waited for
    #[command(after_help = "Example:\n  trinity load execute --rate 500 --p95 20ms")]
    Execute(Execute),
    /// Reads of executions over the API
    #[command(after_help = "Example:\n  trinity load get --rate 500 --p95 20ms")]
    Get(Get),
    /// Print settings of a node for these loads
    #[command(
        after_help = "Example:\n  trinity load settings --mqtt mqtt://127.0.0.1:1883 > load.yml && trinity serve --config load.yml"
    )]
    Settings(Settings),
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Mqtt {
    /// Address of the broker
    #[arg(long, env = "MQTT_URL", default_value = "mqtt://127.0.0.1:1883", value_name = "URL")]
    pub broker: String,
    /// Topic to publish to; {key} stands for the message's key
    #[arg(long, default_value = "load/{key}/reading", value_name = "TOPIC")]
    pub topic: String,
    /// Connections; a key's messages go over one of them
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub connections: u64,
    #[command(flatten)]
    pub ends: EndOptions,
    #[command(flatten)]
    pub common: Common,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Kafka {
    /// The brokers
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092", value_name = "HOST:PORT,…")]
    pub brokers: String,
    /// Topic to write to; made when it is not there
    #[arg(long, default_value = "load", value_name = "TOPIC")]
    pub topic: String,
    /// Partitions of a topic that is made
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub partitions: i32,
    /// How long the producer gathers messages, at its standard; below it, its thread takes a core to itself
    #[arg(long, default_value = "5ms", value_name = "TIME", value_parser = duration)]
    pub linger: Duration,
    #[command(flatten)]
    pub ends: EndOptions,
    #[command(flatten)]
    pub common: Common,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Events {
    /// Events of one request at most; more than one are sent as a batch of what is due
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub batch: u64,
    /// Connections, each with one request under way; a key's events go over one of them
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub connections: u64,
    #[command(flatten)]
    pub ends: EndOptions,
    #[command(flatten)]
    pub common: Common,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Execute {
    /// How long the server waits for an end before it answers
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub wait: Duration,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub connections: u64,
    #[command(flatten)]
    pub common: Common,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Get {
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub connections: u64,
    #[command(flatten)]
    pub common: Common,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Settings {
    /// With a source at this broker
    #[arg(long, value_name = "URL")]
    pub mqtt: Option<String>,
    /// With a source at these brokers
    #[arg(long, value_name = "HOST:PORT,…")]
    pub kafka: Option<String>,
    /// With a sink for the ends, for --ends mqtt or --ends kafka
    #[arg(long, value_name = "mqtt|kafka", value_parser = ["mqtt", "kafka"])]
    pub sink: Option<String>,
}

/// How ends are seen.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct EndOptions {
    /// How the ends of executions are seen: by the node's event stream, by a sink, in the list afterwards, or not at all
    #[arg(long, value_enum, default_value = "stream", value_name = "HOW")]
    pub ends: EndKind,
    /// Broker of the sink, when it is not that of the load
    #[arg(long, value_name = "URL")]
    pub ends_broker: Option<String>,
    /// Topic of the sink [default: load/+/done over MQTT, load-done in Kafka]
    #[arg(long, value_name = "TOPIC")]
    pub ends_topic: Option<String>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// The node's event stream: nothing to set up
    Stream,
    /// A sink that publishes over MQTT
    Mqtt,
    /// A sink that writes to Kafka
    Kafka,
    /// The list of executions, once all is sent: exact, without latencies
    List,
    /// Not at all
    None,
}

/// What all loads take.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Common {
    /// Address of the server
    #[arg(long, env = "TRINITY_SERVER", default_value = "http://127.0.0.1:8000", value_name = "URL")]
    pub server: String,
    /// Messages a second: 5000; rising evenly: 1000..20000; one step after the other: 1000,2000,5000
    #[arg(long, default_value = "1000", value_name = "RATE", value_parser = rate)]
    pub rate: Rate,
    /// How long, of each step where there are several
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = duration)]
    pub duration: Duration,
    /// Messages at most, of each step
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: Option<u64>,
    /// How long latencies do not count at the begin of each step [default: a fifth of it, at most 2s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub warmup: Option<Duration>,
    /// Keys of the messages, in turns
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub keys: u64,
    /// Fail when half of the latencies are above this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub p50: Option<Duration>,
    /// Fail when one latency of 20 is above this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub p95: Option<Duration>,
    /// Fail when one latency of 100 is above this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub p99: Option<Duration>,
    /// Find the highest rate within the bounds, between the two of --rate A..B
    #[arg(long)]
    pub find_rate: bool,
    /// Of a search: how close, in percent
    #[arg(long, default_value_t = 5, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=50))]
    pub precision: u32,
    /// Of a search: how often a step that does not pass is tried
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5))]
    pub tries: u32,
    /// How long no end may come before what is missing counts as lost
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = duration)]
    pub patience: Duration,
    /// The workflow that the messages start, as namespace/name. The default is put there when it is not
    #[arg(long, default_value = WORKFLOW, value_name = "NAME")]
    pub workflow: String,
    /// Name of the run in the ids of its messages [default: made up]
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// Write a report with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write all figures as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the plots as SVG files into this folder
    #[arg(long, value_name = "FOLDER")]
    pub plots: Option<PathBuf>,
    /// Show nothing meanwhile
    #[arg(short, long)]
    pub quiet: bool,
}

/// Rates of a run, in messages a second.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rate {
    Constant(f64),
    Rising(f64, f64),
    Steps(Vec<f64>),
}

impl Common {
    /// What does not fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.find_rate && !matches!(self.rate, Rate::Rising(from, to) if from < to) {
            return Err("--find-rate searches between two rates: give them as --rate 1000..50000".into());
        }
        if self.find_rate && self.p50.or(self.p95).or(self.p99).is_none() {
            return Err("--find-rate needs a bound to keep: add --p99 20ms".into());
        }
        let fastest = match &self.rate {
            Rate::Constant(rate) => *rate,
            Rate::Rising(from, to) => from.max(*to),
            Rate::Steps(rates) => rates.iter().copied().fold(0.0, f64::max),
        };
        let most = self.count.map_or(fastest * self.duration.as_secs_f64(), |count| count as f64);
        if most > COUNT_MAX as f64 {
            return Err(format!("{most:.0} messages in one step are too many: {COUNT_MAX} are possible"));
        }
        if self.warmup.is_some_and(|warmup| warmup >= self.duration) {
            return Err("the warm-up takes all of the duration".into());
        }
        if self
            .run
            .as_ref()
            .is_some_and(|run| run.is_empty() || run.len() > 40 || !run.chars().all(|c| c.is_ascii_alphanumeric()))
        {
            return Err("--run takes 1 to 40 letters and digits".into());
        }
        Ok(())
    }

    pub(crate) fn warmup(&self) -> Duration {
        self.warmup.unwrap_or((self.duration / 5).min(Duration::from_secs(2)))
    }
}

/// A number with a unit; seconds without one.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration; write 20ms, 30s, 2m or 1h");
    let (number, unit) = match text.char_indices().find(|(_, letter)| !letter.is_ascii_digit() && *letter != '.') {
        Some((at, _)) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = number * seconds;
    if seconds <= 0.0 || seconds > 86_400.0 { Err(wrong()) } else { Ok(Duration::from_secs_f64(seconds)) }
}

fn rate(text: &str) -> Result<Rate, String> {
    let one = |text: &str| {
        let (digits, by) = text.strip_suffix('k').map_or((text, 1.0), |digits| (digits, 1_000.0));
        let rate = digits.parse::<f64>().ok().map(|rate| rate * by).filter(|rate| (0.1..=10_000_000.0).contains(rate));
        rate.ok_or_else(|| format!("'{text}' is no rate between 0.1 and 10000000 a second"))
    };
    if let Some((from, to)) = text.split_once("..") {
        return Ok(Rate::Rising(one(from)?, one(to)?));
    }
    let rates = text.split(',').map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(if let [rate] = rates[..] { Rate::Constant(rate) } else { Rate::Steps(rates) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_durations_are_read() {
        assert_eq!(rate("10k"), Ok(Rate::Constant(10_000.0)));
        assert_eq!(rate("1000..2.5k"), Ok(Rate::Rising(1_000.0, 2_500.0)));
        assert_eq!(rate("1,2,5"), Ok(Rate::Steps(vec![1.0, 2.0, 5.0])));
        for wrong in ["", "fast", "0", "-1", "1..", "1,,2", "1e9", "inf", "nan"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "s", "0s", "1d", "-1s", "25h", "1.2.3s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
