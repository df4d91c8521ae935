//! A node under steady load for long: memory, latency and disk stay as they are.
//!
//! `make soak` takes 30 minutes, or `SOAK_MINUTES`, at `SOAK_RATE` executions a second, or 70 % of what it measures at first.
//! Samples go to `SOAK_CSV`, a plot to `SOAK_PLOT`. The machine may be shared: each sample says how fast it was itself, so that its
//! slow minutes are not taken for the node's.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::metrics::{resident, used};
use crate::node::{Asker, Place, alone};
use crate::plot::{Line, Plot};

const SAMPLE: Duration = Duration::from_secs(5);
/// Events of one request.
const BATCH: u64 = 50;
const SENDERS: u64 = 4;

const READING: &str = "
document: {dsl: '1.0.0', namespace: soak, name: reading, version: '1.0.0'}
schedule: {on: {one: {with: {type: reading}}}}
input: {from: '${ .[0] }'}
do:
- convert: {set: {device: '${ .device }', fahrenheit: '${ .celsius * 9 / 5 + 32 }', n: '${ .n }'}}
- judge:
    switch:
    - hot: {when: '.fahrenheit > 150', then: wait}
    - mild: {then: end}
- wait: {wait: {milliseconds: 200}}
- alarm: {emit: {event: {with: {type: alarm, subject: '${ .device }', data: '${ . }'}}}}
";

/// One look at the node.
struct Sample {
    seconds: f64,
    rate: f64,
    resident: f64,
    disk: f64,
    p50: f64,
    p99: f64,
    /// Of the machine: multiplications in a millisecond of one thread.
    speed: f64,
}

fn variable(name: &str) -> Option<f64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_under_load_leaves_nothing_behind() {
    let _alone = alone().await;
    soak(Duration::from_secs(20), Some(400.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make soak"]
async fn memory_latency_and_disk_stay_flat_for_long() {
    let _alone = alone().await;
    let minutes = variable("SOAK_MINUTES").unwrap_or(30.0);
    soak(Duration::from_secs_f64(minutes * 60.0), variable("SOAK_RATE")).await;
}

/// Sends batches at a rate, or as fast as they are taken; latencies of requests in microseconds go to `times`.
async fn send(
    asker: Asker,
    sender: u64,
    pause: Option<Duration>,
    sent: Arc<AtomicU64>,
    times: Arc<std::sync::Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
) {
    let mut next = tokio::time::Instant::now();
    for round in 0u64.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let first = round * BATCH;
        let event = |n: u64| {
            json!({"specversion": "1.0", "id": format!("{sender}-{n}-{first}"), "source": format!("/soak/{}", std::process::id()),
                "type": "reading", "subject": format!("d{}", n % 97),
                "data": {"device": format!("d{}", n % 97), "celsius": n % 80, "n": n, "text": "a hundred and fifty bytes of event, or so"}})
        };
        let batch = Value::from((first..first + BATCH).map(event).collect::<Vec<_>>());
        // Open loop: who is late is late from the moment at which it was due.
        let due = next;
        let request = asker.post("/api/v1/events").header("content-type", "application/cloudevents-batch+json");
        let answer = request.body(batch.to_string()).send().await.expect("an answer");
        assert_eq!(answer.status(), 202);
        times.lock().expect("no panic").push(u64::try_from(due.elapsed().as_micros()).expect("short"));
        sent.fetch_add(BATCH, Ordering::Relaxed);
        match pause {
            Some(pause) => {
                next += pause;
                tokio::time::sleep_until(next).await;
            }
            None => next = tokio::time::Instant::now(),
        }
    }
}

/// How fast the machine is, whatever runs on it: a small sum, the best of some tries, for others may interrupt it.
fn speed() -> f64 {
    const TURNS: u64 = 200_000;
    let turn = || {
        let begun = Instant::now();
        std::hint::black_box(
            (0..TURNS).fold(1_u64, |sum, n| std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n))),
        );
        TURNS as f64 / (begun.elapsed().as_secs_f64() * 1e3)
    };
    (0..5).map(|_| turn()).fold(0.0, f64::max)
}

/// What a node takes at most, in executions a second.
async fn measure(asker: &Asker) -> f64 {
    let (sent, stop, times) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::default());
    let sender = |n| tokio::spawn(send(asker.clone(), 1_000 + n, None, sent.clone(), Arc::clone(&times), stop.clone()));
    let senders: Vec<_> = (0..SENDERS).map(sender).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, begun) = (sent.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(Duration::from_secs(8)).await;
    let rate = (sent.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.await.expect("no panic");
    }
    rate
}

async fn soak(long: Duration, rate: Option<f64>) {
    let place = Place::new("shards: 4, segment_size: 4MiB, retention: {size: 64MiB}", "");
    let node = place.start();
    let asker = Asker::new(&node.base);
    asker.apply(READING).await;
    let rate = match rate {
        Some(rate) => rate,
        None => {
            // A shared machine has quick and slow moments: what it can in the slowest of three it can for half an hour.
            let mut most = f64::INFINITY;
            for _ in 0..3 {
                let measured = measure(&asker).await;
                println!("soak: {measured:.0} executions a second at most");
                most = most.min(measured);
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
            println!("soak: going on with 70 % of {most:.0}");
            most * 0.7
        }
    };
    let pause = Duration::from_secs_f64((SENDERS * BATCH) as f64 / rate);
    let (sent, stop, times) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::default());
    let sender = |n| tokio::spawn(send(asker.clone(), n, Some(pause), sent.clone(), Arc::clone(&times), stop.clone()));
    let senders: Vec<_> = (0..SENDERS).map(sender).collect();
    let every = SAMPLE.min(long / 10);
    let (begun, mut samples, mut before) = (Instant::now(), Vec::new(), 0);
    while begun.elapsed() < long {
        tokio::time::sleep(every).await;
        let mut took = std::mem::take(&mut *times.lock().expect("no panic"));
        took.sort_unstable();
        let part =
            |share: f64| took.get((took.len() as f64 * share) as usize).map_or(f64::NAN, |micros| *micros as f64 / 1e3);
        let now = sent.load(Ordering::Relaxed);
        samples.push(Sample {
            seconds: begun.elapsed().as_secs_f64(),
            rate: (now - before) as f64 / every.as_secs_f64(),
            resident: resident(&node) as f64 / 1_048_576.0,
            disk: used(&place.data) as f64 / 1_048_576.0,
            p50: part(0.5),
            p99: part(0.99),
            speed: speed(),
        });
        before = now;
    }
    stop.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.await.expect("no panic");
    }
    report(&samples, rate);
    assert_eq!(node.terminate(), 0);
}

/// Growth over the second half of the samples, as a share of their mean: half of the time is for warming up.
fn growth(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let late = &samples[samples.len() / 2..];
    let count = late.len() as f64;
    let (x, y) = (late.iter().map(|s| s.seconds).sum::<f64>() / count, late.iter().map(&of).sum::<f64>() / count);
    let (top, bottom) = late.iter().fold((0.0, 0.0), |(top, bottom), s| {
        (top + (s.seconds - x) * (of(s) - y), bottom + (s.seconds - x) * (s.seconds - x))
    });
    let (first, last) = (late[0].seconds, late[late.len() - 1].seconds);
    if bottom == 0.0 || y == 0.0 { 0.0 } else { top / bottom * (last - first) / y }
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut all: Vec<f64> = samples.iter().map(of).collect();
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}

fn report(samples: &[Sample], rate: f64) {
    let mut csv = String::from("seconds,executions_per_second,resident_mib,disk_mib,p50_ms,p99_ms,machine_speed\n");
    for s in samples {
        let _ = writeln!(
            csv,
            "{:.1},{:.0},{:.1},{:.1},{:.2},{:.2},{:.0}",
            s.seconds, s.rate, s.resident, s.disk, s.p50, s.p99, s.speed
        );
    }
    if let Ok(file) = std::env::var("SOAK_CSV") {
        std::fs::write(file, csv).expect("written");
    }
    if let Ok(file) = std::env::var("SOAK_PLOT") {
        let line =
            |name, of: fn(&Sample) -> f64| Line { name, points: samples.iter().map(|s| (s.seconds, of(s))).collect() };
        let lines = vec![line("resident MiB", |s| s.resident), line("disk MiB", |s| s.disk), line("p99 ms", |s| s.p99)];
        let title = format!("A node at {rate:.0} executions a second");
        std::fs::write(file, Plot { title, x: "s", y: "", lines, marks: Vec::new() }.svg()).expect("written");
    }
    let (memory, disk) = (growth(samples, |s| s.resident), growth(samples, |s| s.disk));
    let quarter = samples.len() / 4;
    let (early, late) = (median(&samples[quarter..2 * quarter], |s| s.p50), median(&samples[3 * quarter..], |s| s.p50));
    let reached = median(samples, |s| s.rate);
    println!(
        "soak: {:.0} s at {reached:.0} of {rate:.0} executions a second: memory {:+.1} % over the second half ({:.0} MiB), \
         disk {:+.1} % ({:.0} MiB), p50 {early:.2} ms in the second quarter, {late:.2} ms in the last, p99 {:.1} ms (median); the machine \
         was at {:.0} % of its best at the slowest",
        samples.last().map_or(0.0, |s| s.seconds),
        memory * 100.0,
        median(samples, |s| s.resident),
        disk * 100.0,
        median(samples, |s| s.disk),
        median(samples, |s| s.p99),
        samples.iter().map(|s| s.speed).fold(f64::INFINITY, f64::min) * 100.0
            / samples.iter().map(|s| s.speed).fold(f64::MIN_POSITIVE, f64::max)
    );
    assert!(reached > rate * 0.9, "it does not keep up: {reached:.0} of {rate:.0} a second");
    assert!(memory < 0.15, "memory grows");
    assert!(disk < 0.25, "the disk fills");
    assert!(late < early * 2.0 + 5.0, "it gets slower");
}
