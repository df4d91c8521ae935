//! A node is killed again and again, at any point, under load from a real Mosquitto, a real Kafka and over HTTP. A ledger
//! outside counts: nothing that was taken is lost, nothing is executed twice, nothing that has ended changes, and a repeated
//! call carries the same key.
//!
//! `make torture` kills a thousand times: `TORTURE_KILLS`, `TORTURE_SEED`, `TORTURE_PLOT` (a file for the plot).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chance::Chance;
use crate::ledger::{Outside, Verdict};
use crate::load::{self, Brokers, Gate};
use crate::node::{Asker, PATIENCE, Place, alone, unique};
use crate::plot::{Line, Plot};
use crate::process::Process;
use crate::races::Racer;

/// Of so many executions one is looked at again to see whether it has changed.
const ENDED_MAX: usize = 20_000;
/// Kills of one campaign: then all is counted, and the next begins with other settings.
const CAMPAIGN: u32 = 100;

/// How a campaign is set up.
struct Campaign {
    name: &'static str,
    engine: &'static str,
    /// Whether the journal forgets, so that only the ledger can tell.
    forgets: bool,
}

const CAMPAIGNS: [Campaign; 3] = [
    Campaign { name: "sync", engine: "shards: 4", forgets: false },
    Campaign {
        name: "small segments, snapshots and retention",
        engine: "shards: 4, segment_size: 1MiB, snapshot_every: 64KiB, retention: {size: 8MiB}",
        forgets: true,
    },
    Campaign {
        name: "relaxed, small segments",
        engine: "shards: 4, durability: relaxed, segment_size: 2MiB",
        forgets: false,
    },
];

/// How hard it is.
struct Effort {
    kills: u32,
    campaign: u32,
    /// A publisher sends its window each so often.
    pace: Duration,
    lag_max: u64,
}

/// What all campaigns together saw.
#[derive(Default)]
struct Sum {
    kills: u32,
    in_recovery: u32,
    while_stopping: u32,
    published: u64,
    raced: u64,
    calls: u64,
    calls_again: u64,
    events_again: u64,
    read_back: u64,
    start_millis: Vec<u64>,
    /// Second since the begin, executions a second, and when it was killed.
    rates: Vec<(f64, f64)>,
    deaths: Vec<f64>,
}

fn definition(outside: &str) -> String {
    format!(
        "
document: {{dsl: '1.0.0', namespace: torture, name: ledger, version: '1.0.0'}}
schedule: {{on: {{one: {{with: {{type: entry}}}}}}}}
input: {{from: '${{ .[0] }}'}}
do:
- pause: {{wait: {{milliseconds: 20}}}}
- call:
    try:
    - work: {{call: http, with: {{method: post, endpoint: '{outside}/work', body: '${{ . }}'}}}}
    catch:
      retry: {{delay: {{milliseconds: 30}}, limit: {{attempt: {{count: 100}}}}}}
- book: {{emit: {{event: {{with: {{type: booked, subject: '${{ .id }}', data: '${{ . }}'}}}}}}}}
- done: {{set: {{id: '${{ .data.id }}'}}}}
"
    )
}

fn settings(brokers: &Brokers, run: &str, topic: &str, outside: &str) -> String {
    format!(
        "sources:
  - name: {run}-mqtt
    mqtt: {{ url: '{mqtt}', topics: ['{run}/+/entry'], qos: 1 }}
    event: {{ type: entry, subject: '${{ .topic | split(\"/\")[1] }}', id: '${{ .payload.id }}' }}
  - name: {run}-kafka
    kafka:
      brokers: '{kafka}'
      topics: ['{topic}']
      group: '{run}'
      # Known by name to the group, a node that is back goes on at once.
      settings: {{ group.instance.id: '{run}' }}
    event: {{ type: entry }}
sinks:
  - match: {{ type: booked }}
    http: {{ url: '{outside}/sink' }}
",
        mqtt = brokers.mqtt,
        kafka = brokers.kafka
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_under_load_lose_double_and_change_nothing() {
    let _alone = alone().await;
    let effort = Effort { kills: 50, campaign: 17, pace: Duration::from_millis(60), lag_max: 400 };
    let sum = torture(&effort, 4711).await;
    assert!(sum.published > 2_000, "only {} messages: that is no load", sum.published);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make torture"]
async fn a_thousand_kills() {
    let _alone = alone().await;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("TORTURE_KILLS").unwrap_or(1_000);
    let seed = number("TORTURE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let effort = Effort {
        kills: u32::try_from(kills).expect("fewer"),
        campaign: CAMPAIGN,
        pace: Duration::from_millis(15),
        lag_max: 3_000,
    };
    let sum = torture(&effort, seed).await;
    if let Ok(file) = std::env::var("TORTURE_PLOT") {
        let title = format!("Executions a second while the node is killed {} times (seed {seed})", sum.kills);
        let rate = Line { name: "executions/s", points: sum.rates.clone() };
        let plot = Plot { title, x: "s", y: "1/s", lines: vec![rate], marks: sum.deaths.clone() };
        std::fs::write(&file, plot.svg()).expect("a plot");
        println!("torture: plot in {file}");
    }
}

async fn torture(effort: &Effort, seed: u64) -> Sum {
    let begun = Instant::now();
    println!("torture: {} kills, seed {seed}", effort.kills);
    let (mut chance, mut sum, mut number) = (Chance::new(seed), Sum::default(), 0);
    while sum.kills < effort.kills {
        let campaign = &CAMPAIGNS[number % CAMPAIGNS.len()];
        let kills = effort.campaign.min(effort.kills - sum.kills);
        run(campaign, kills, effort, &mut chance, &mut sum, begun).await;
        number += 1;
    }
    sum.start_millis.sort_unstable();
    let start = |part: usize| sum.start_millis[(sum.start_millis.len() - 1) * part / 100];
    println!(
        "torture: {} kills ({} while it started, {} while it stopped) in {:.0} s, seed {seed}: {} messages, {} calls, {} \
         executions cancelled, suspended, timed out and retried; 0 lost, 0 executed twice, 0 changed after the end; {} calls \
         repeated with the same key, {} deliveries repeated with the same id, {} executions read back; a start takes {} ms \
         (p50), {} ms (p99), {} ms (max)",
        sum.kills,
        sum.in_recovery,
        sum.while_stopping,
        begun.elapsed().as_secs_f64(),
        sum.published,
        sum.calls,
        sum.raced,
        sum.calls_again,
        sum.events_again,
        sum.read_back,
        start(50),
        start(99),
        start(100)
    );
    sum
}

/// Kills a node a while, then counts.
async fn run(campaign: &Campaign, kills: u32, effort: &Effort, chance: &mut Chance, sum: &mut Sum, begun: Instant) {
    let brokers = Brokers::shared();
    let (run, topic) = (unique("torture"), load::topic(&brokers.kafka).await);
    let outside = Outside::start(40).await;
    let place = Place::new(campaign.engine, &settings(&brokers, &run, &topic, &outside.url));
    let node = place.start();
    let asker = Asker::new(&node.base);
    let workflow = asker.apply(&definition(&outside.url)).await;
    // What is forgotten can't be asked about.
    let racer = match campaign.forgets {
        true => None,
        false => Some(Racer::start(&asker, &outside.url, chance.next()).await),
    };
    // The session at the broker must exist before the first message, or there is nobody to keep it for.
    asker.until("/readyz", |ready| ready["endpoints"][format!("{run}-mqtt")]["connected"] == true).await;
    let gate = Gate::new(outside.ledger.clone(), effort.lag_max, effort.pace);
    let by_mqtt = tokio::spawn(load::mqtt(brokers.mqtt.clone(), run.clone(), gate.clone()));
    let by_kafka = tokio::spawn(load::kafka(brokers.kafka.clone(), topic, gate.clone()));
    let by_http = tokio::spawn(load::http(asker.clone(), gate.clone()));
    let sampler = tokio::spawn(sample(gate.clone(), outside.ledger.clone(), begun));

    let mut ended = Ended::default();
    let mut node = Some(node);
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(100 + chance.below(500))).await;
        if !campaign.forgets && kill % 5 == 0 {
            ended.look(&asker, &workflow).await;
        }
        let alive = node.take().expect("it runs");
        sum.deaths.push(begun.elapsed().as_secs_f64());
        let started = die(alive, &place, chance, sum);
        sum.start_millis.push(u64::try_from(started.1.as_millis()).expect("short"));
        asker.moved(&started.0.base);
        node = Some(started.0);
        sum.kills += 1;
        if sum.kills.is_multiple_of(25) {
            println!(
                "torture: {} kills, {:.0} s ({}): {} messages of this campaign, {} on their way",
                sum.kills,
                begun.elapsed().as_secs_f64(),
                campaign.name,
                gate.published(),
                gate.lag()
            );
        }
    }
    gate.stop();
    let published = (
        by_mqtt.await.expect("the publisher"),
        by_kafka.await.expect("the producer"),
        by_http.await.expect("the client"),
    );
    let ids = || load::ids(published.0, published.1, published.2);
    let verdict = settled(&outside, ids).await;
    sum.rates.extend(sampler.await.expect("the sampler"));
    let wanted = Verdict { calls_again: verdict.calls_again, events_again: verdict.events_again, ..Verdict::default() };
    assert_eq!(verdict, wanted, "{}: {} messages", campaign.name, published.0 + published.1 + published.2);
    if let Some(racer) = racer {
        sum.raced += racer.finish().await;
    }
    if !campaign.forgets {
        sum.read_back += ended.compare(&asker, &workflow, ids()).await;
    }
    sum.published += published.0 + published.1 + published.2;
    sum.calls += outside.ledger.calls.lock().expect("no panic").len() as u64;
    sum.calls_again += verdict.calls_again;
    sum.events_again += verdict.events_again;
    assert_eq!(node.expect("it runs").terminate(), 0, "it stops in order");
}

/// Ends a node in one way or another, and starts the next; with how long that took.
fn die(node: Process, place: &Place, chance: &mut Chance, sum: &mut Sum) -> (Process, Duration) {
    match chance.below(10) {
        0 => {
            // Killed in its recovery, perhaps more than once.
            node.kill();
            for _ in 0..=chance.below(3) {
                let next = place.spawn();
                std::thread::sleep(Duration::from_millis(chance.below(200)));
                next.kill();
                sum.in_recovery += 1;
            }
        }
        1 => {
            // Killed while it stops.
            node.signal("-TERM");
            std::thread::sleep(Duration::from_millis(chance.below(300)));
            node.kill();
            sum.while_stopping += 1;
        }
        _ => node.kill(),
    }
    let begun = Instant::now();
    (place.start(), begun.elapsed())
}

/// Waits until all has come out, and a while longer for what would come twice.
async fn settled<I: Iterator<Item = String>>(outside: &Outside, ids: impl Fn() -> I) -> Verdict {
    let begun = Instant::now();
    while !outside.ledger.judge(ids()).lost.is_empty() && begun.elapsed() < PATIENCE * 2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    outside.ledger.judge(ids())
}

/// How many executions came to their end, each half second.
async fn sample(gate: Gate, ledger: Arc<crate::ledger::Ledger>, begun: Instant) -> Vec<(f64, f64)> {
    let mut rates = Vec::new();
    let (mut before, mut at) = (0, Instant::now());
    while !gate.stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (now, booked) = (Instant::now(), ledger.booked.load(Ordering::Relaxed));
        rates.push((begun.elapsed().as_secs_f64(), (booked - before) as f64 / (now - at).as_secs_f64()));
        (before, at) = (booked, now);
    }
    rates
}

/// Executions that have ended, as they were seen.
#[derive(Default)]
struct Ended(HashMap<String, Value>);

impl Ended {
    async fn look(&mut self, asker: &Asker, workflow: &str) {
        if self.0.len() < ENDED_MAX {
            let path = format!("/api/v1/executions?workflowId={workflow}&status=completed&limit=200");
            for run in asker.json(&path).await["items"].as_array().expect("a list") {
                self.0.insert(run["id"].as_str().expect("an id").to_owned(), run.clone());
            }
        }
    }

    /// Reads everything back: each input once, all completed, and those that were seen before as they were.
    async fn compare(mut self, asker: &Asker, workflow: &str, published: impl Iterator<Item = String>) -> u64 {
        let all = asker.all(&format!("/api/v1/executions?workflowId={workflow}")).await;
        let mut times: HashMap<&str, u32> = HashMap::new();
        for run in &all {
            assert_eq!(run["status"], "completed", "{run}");
            *times.entry(run["output"]["id"].as_str().unwrap_or("none")).or_default() += 1;
            if let Some(before) = self.0.remove(run["id"].as_str().expect("an id")) {
                assert_eq!(before, *run, "it has changed after its end");
            }
        }
        assert!(self.0.is_empty(), "{} executions have gone", self.0.len());
        let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "executed twice: {doubled:?}");
        let lost: Vec<String> = published.filter(|id| !times.contains_key(id.as_str())).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        all.len() as u64
    }
}
