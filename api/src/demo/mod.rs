//! `trinity demo`: a node, a broker, devices that replay a recorded day, and the proof that every message was executed once.
//!
//! It uses what every user has: the node started from settings, MQTT, and the REST API.
//!
//! | file | holds |
//! | --- | --- |
//! | `recording` `script` | what the devices say and when |
//! | `broker` `devices` `alerts` `service` | the world around the node |
//! | `samples` `client` | its settings and workflows, its API |
//! | `watch` `view` | what is shown meanwhile |
//! | `proof` | published = executed |

mod alerts;
mod broker;
mod client;
mod devices;
mod proof;
mod recording;
mod samples;
mod script;
mod service;
#[cfg(test)]
mod tests;
mod view;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use serde_json::json;
use tokio::sync::watch as signal;
use tokio::time::Instant;

use crate::app::App;
use crate::config;
use alerts::Alerts;
use client::Client;
use devices::Progress;
use proof::Row;
use recording::Recording;
use script::{Kind, Script};
use service::Service;
use watch::Watch;

/// How long the node may take to hear the first message.
const HEARD_MAX: Duration = Duration::from_secs(30);
/// How long nothing may change before what is missing is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the devices play.
    pub duration: Duration,
    /// Readings a minute, of all devices together.
    pub rate: u32,
    /// Whether the node goes on afterwards, until Ctrl-C.
    pub keep: bool,
}

/// Runs the demonstration. True when every message was executed exactly once.
///
/// # Errors
/// What kept it from running, in words.
pub async fn run(options: Options) -> Result<bool, String> {
    let data = DataFolder::create()?;
    let broker = broker::start().await?;
    let service = Service::start().await.map_err(|error| format!("the flaky service does not start: {error}"))?;
    let (path, text) = samples::config();
    let loaded = config::read(path, text, &samples::environment(broker, &data.0)).map_err(|wrong| wrong.to_string())?;
    crate::logging::start(&loaded.config).map_err(|error| error.to_string())?;
    let app = App::start(&loaded.config).await.map_err(|error| error.to_string())?;
    let client = Client::new(app.address())?;
    println!("A node at {}, an MQTT broker at {broker}, a flaky service at {}", client.base, service.address);
    let result = show(options, broker, &service, &client).await;
    if options.keep && result.is_ok() {
        println!("The node goes on until Ctrl-C. Also try, in another terminal:");
        println!("  trinity executions list --server {}", client.base);
        println!("  curl '{}/api/v1/analytics/performance'\n", client.base);
        // Without signals there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    }
    app.stop().await;
    result
}

/// All that happens while the node runs.
async fn show(
    options: Options,
    broker: std::net::SocketAddr,
    service: &Service,
    client: &Client,
) -> Result<bool, String> {
    client.put_secret("maintenance", &json!({"url": format!("http://{}", service.address)})).await?;
    let mut workflows = Vec::new();
    for (name, definition) in samples::WORKFLOWS {
        workflows.push((name, client.create_workflow(definition).await?));
    }
    let alerts = Alerts::listen(broker).await?;
    heard(broker, client).await?;

    let script = Arc::new(Script::new(Recording::load()?, options.duration, options.rate));
    let progress = Arc::new(Progress::default());
    let (stop, stopped) = signal::channel(false);
    let mut play = tokio::spawn(devices::play(script.clone(), broker, stopped, progress.clone()));
    let mut watch = Watch::new(&script, options.duration, client.clone(), workflows.clone(), progress);
    let mut tick = tokio::time::interval(watch.every());
    let published = loop {
        tokio::select! {
            ended = &mut play => break ended.map_err(|error| error.to_string())??,
            _ = tick.tick() => watch.look(&alerts, service).await,
            Ok(()) = tokio::signal::ctrl_c() => {
                if stop.send_replace(true) {
                    return Err("stopped".into());
                }
            }
        }
    };
    let complete = !*stop.borrow();
    let rows = settle(&published, &workflows, client, &alerts, &mut watch, service).await?;
    watch.look(&alerts, service).await;
    println!("\n{}", view::proof(&rows));
    let mut proved = rows.iter().all(Row::holds);
    if complete {
        proved &= told(&script, &alerts, service);
    }
    one_execution(client, &workflows).await?;
    Ok(proved)
}

/// Publishes to a topic that no workflow awaits until the source has heard it: only then is its subscription in place.
async fn heard(broker: std::net::SocketAddr, client: &Client) -> Result<(), String> {
    let options = rumqttc::v5::MqttOptions::new("probe", broker.ip().to_string(), broker.port());
    let (publisher, mut events) = rumqttc::v5::AsyncClient::new(options, 16);
    let mut poll = tokio::task::JoinSet::new(); // ends with this function
    poll.spawn(async move { while events.poll().await.is_ok() {} });
    let end = Instant::now() + HEARD_MAX;
    while client.received(samples::SOURCE).await? == 0 {
        if Instant::now() > end {
            return Err("the node does not hear the broker".into());
        }
        let payload = r#"{"id":"probe"}"#;
        let sent = publisher.publish("devices/probe/probe", QoS::AtLeastOnce, false, payload).await;
        sent.map_err(|error| error.to_string())?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Compares what was published with what was executed, until all is equal or nothing changes any more.
async fn settle(
    published: &devices::Published,
    workflows: &[(&'static str, String)],
    client: &Client,
    alerts: &Alerts,
    watch: &mut Watch,
    service: &Service,
) -> Result<Vec<Row>, String> {
    let (mut last, mut changed) = (Vec::new(), Instant::now());
    loop {
        let seen = alerts.seen();
        let mut rows = Vec::new();
        for (name, id) in workflows {
            let executions = client.executions(id).await?;
            let of = |kind| published.iter().filter(move |(own, _)| *own == kind).map(|(_, id)| id.as_str());
            rows.push(match *name {
                "reading" => proof::compare(name, of(Kind::Reading), &executions),
                "heartbeat" => proof::compare(name, of(Kind::Heartbeat), &executions),
                "wind" => proof::compare(name, of(Kind::Online), &executions),
                _ => {
                    let wind = seen.iter().filter(|alert| alert.kind == "com.example.wind.alert");
                    proof::compare(name, wind.map(|alert| alert.id.as_str()), &executions)
                }
            });
        }
        if rows.iter().all(Row::holds) {
            return Ok(rows);
        }
        if rows != last {
            (last, changed) = (rows, Instant::now());
        } else if changed.elapsed() > PATIENCE {
            return Ok(rows);
        }
        watch.look(alerts, service).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Whether the alerts are those that the recording and the script lead to.
fn told(script: &Script, alerts: &Alerts, service: &Service) -> bool {
    let seen = alerts.seen();
    let of = |kind: &str| seen.iter().filter(|alert| alert.kind == kind).count();
    let expected = (0..script.devices).map(|device| script.wind_alerts(device));
    let (rises, falls) = expected.fold((0, 0), |sum, device| (sum.0 + device.0, sum.1 + device.1));
    let (alerted, cleared) = (of("com.example.wind.alert"), of("com.example.wind.clear"));
    println!("wind      {alerted} alerts and {cleared} all-clears; by the recording {rises} and {falls}");
    let fell: BTreeSet<String> =
        (0..script.devices).filter(|at| script.silence(*at).is_some()).map(Script::name).collect();
    let missed: Vec<&str> = seen
        .iter()
        .filter(|alert| alert.kind == "com.example.device.silent")
        .map(|alert| alert.subject.as_str())
        .collect();
    let silent: BTreeSet<String> = missed.iter().map(|device| (*device).to_owned()).collect();
    let more = missed.len().saturating_sub(fell.len());
    let busy = if more > 0 {
        format!(", {more} more than fell silent: this machine was too busy to hear them in time")
    } else {
        String::new()
    };
    println!("silence   {} devices fell silent, {} alerts{busy}", fell.len(), missed.len());
    let counts = service.counts();
    println!(
        "tickets   {} opened for {alerted} alerts; {} of {} calls failed and were tried again",
        counts.tickets.len(),
        counts.failures,
        counts.requests
    );
    alerted == rises && cleared == falls && silent.is_superset(&fell) && counts.tickets.len() == alerted
}

/// Shows one execution, with what it went through.
async fn one_execution(client: &Client, workflows: &[(&'static str, String)]) -> Result<(), String> {
    let Some((_, ticket)) = workflows.iter().find(|(name, _)| *name == "ticket") else { return Ok(()) };
    let mut executions = client.executions(ticket).await?;
    if executions.is_empty() {
        executions = client.executions(&workflows[0].1).await?;
    }
    // Rather one with a retry; a few are enough to find it, for every third call fails.
    let mut shown: Option<(String, Vec<serde_json::Value>)> = None;
    for execution in executions.iter().take(10) {
        let path = format!("/api/v1/executions/{}/history", execution.execution);
        let history = client.get(&path).await?;
        let facts = history.as_array().cloned().unwrap_or_default();
        let retried = facts.iter().any(|fact| fact["type"] == "retried");
        if shown.is_none() || retried {
            shown = Some((execution.execution.clone(), facts));
        }
        if retried {
            break;
        }
    }
    if let Some((id, facts)) = shown {
        println!("\nOne execution, a ticket:");
        for fact in facts {
            let text = |name: &str| fact[name].as_str().unwrap_or_default().to_owned();
            println!("  {}  {:<10} {}", text("time"), text("type"), text("task"));
        }
        println!("\nWith --keep the node goes on, and this shows it:");
        println!("  trinity executions history {id} --server {}\n", client.base);
    }
    Ok(())
}

/// A folder for this run, gone afterwards.
struct DataFolder(PathBuf);

impl DataFolder {
    fn create() -> Result<DataFolder, String> {
        let folder = std::env::temp_dir().join(format!("trinity-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{} can't be made: {error}", folder.display()))?;
        Ok(DataFolder(folder))
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        let folder: &Path = &self.0;
        if let Err(error) = std::fs::remove_dir_all(folder) {
            eprintln!("{} can't be removed: {error}", folder.display());
        }
    }
}
