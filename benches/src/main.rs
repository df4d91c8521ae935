//! `make bench`: W1's rate in-process, from Kafka and from Mosquitto, with CPU for each execution and where the time goes.
//!
//! `trinity-bench [SECONDS] [MESSAGES]`: how long each run in-process takes, and how many messages come from Kafka (only
//! when `TRINITY_TEST_KAFKA` names brokers; a quarter of them from Mosquitto when `TRINITY_TEST_MQTT` names one).

use std::time::Duration;

use trinity_benches::measure::{Stopwatch, machine};
use trinity_benches::{in_process, kafka, mqtt};

/// As in the binary `trinity`.
#[global_allocator]
static ALLOCATOR: trinity_allocator::Allocator = trinity_allocator::Allocator;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let messages = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    println!("{}", machine());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(in_process(Duration::from_secs(seconds)))?;
    let directory = tempfile::tempdir()?;
    println!("where the time goes, one thread:");
    for line in in_process::stages(directory.path(), Duration::from_secs(3))? {
        println!("{line}");
    }
    match std::env::var("TRINITY_TEST_KAFKA") {
        Ok(brokers) => runtime.block_on(from_kafka(&brokers, messages))?,
        Err(_) => println!("from Kafka: not run, TRINITY_TEST_KAFKA does not name brokers"),
    }
    match std::env::var("TRINITY_TEST_MQTT") {
        Ok(url) => runtime.block_on(from_mqtt(&url, messages / 4)),
        Err(_) => {
            println!("from Mosquitto: not run, TRINITY_TEST_MQTT does not name a broker");
            Ok(())
        }
    }
}

async fn in_process(length: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let node = in_process::node(directory.path(), 0).await?;
    let handle = node.handle();
    in_process::run(&handle, Duration::from_secs(2), 100).await?;
    let watch = Stopwatch::start();
    let (count, latencies) = in_process::run(&handle, length, 0).await?;
    println!("{}", watch.line("W1 in-process, payload bytes to durable end", count));
    let ms = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    println!("  a batch of 1,024 is durable after: p50 {:.1} ms, p99 {:.1} ms", ms(0.5), ms(0.99));
    let status = handle.status();
    let commits = status.commits.get().max(1);
    println!(
        "  {} commits, {:.0} executions and {} KiB of records in each, {:.2} ms to append one",
        commits,
        count as f64 / commits as f64,
        status.committed_bytes.get() / commits / 1_024,
        status.commit_micros.get() as f64 / commits as f64 / 1_000.0
    );
    node.drain().await;
    Ok(())
}

async fn from_kafka(brokers: &str, messages: u64) -> Result<(), Box<dyn std::error::Error>> {
    let topic = format!("bench-{}", std::process::id());
    println!("producing {messages} messages to {topic} …");
    kafka::fill(brokers, &topic, messages).await?;
    let directory = tempfile::tempdir()?;
    let (line, bare) = kafka::bare(directory.path(), brokers, &topic, messages).await?;
    println!("{line}");
    let directory = tempfile::tempdir()?;
    let node = in_process::node(directory.path(), 0).await?;
    let (line, rate) = kafka::execute(&node.handle(), brokers, &topic, messages).await?;
    println!("{line}\n  {:.0} % of the bare pipeline", rate / bare * 100.0);
    node.drain().await;
    Ok(())
}

async fn from_mqtt(url: &str, messages: u64) -> Result<(), Box<dyn std::error::Error>> {
    let broker = mqtt::Broker::at(url)?;
    let run = format!("bench-{}", std::process::id());
    let topics = format!("{run}/+/reading");
    let (bare, session) = (format!("{run}-bare"), format!("{run}-trinity"));
    println!("publishing {messages} messages to {run} …");
    broker.subscribe(&bare, &topics).await?;
    broker.fill(&run, messages).await?;
    let (line, bare) = broker.acknowledge((&bare, &topics), messages).await?;
    println!("{line}");
    broker.subscribe(&session, &topics).await?;
    broker.fill(&run, messages).await?;
    let directory = tempfile::tempdir()?;
    let node = in_process::node(directory.path(), 0).await?;
    let (line, rate) = mqtt::execute(&node.handle(), (url, &session, &topics), messages).await?;
    println!("{line}\n  {:.0} % of the client that only acknowledges", rate / bare * 100.0);
    node.drain().await;
    Ok(())
}
