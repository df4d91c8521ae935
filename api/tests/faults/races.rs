//! Commands that race with timers, time-outs, answers, crashes and each other: the phase of an execution that has ended never
//! changes, who is told "cancelled" can rely on it, and nothing hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::chance::Chance;
use crate::node::{Asker, PATIENCE};

const TERMINAL: [&str; 3] = ["completed", "faulted", "cancelled"];

/// An execution that was raced with.
struct Raced {
    id: String,
    /// What it must have become: somebody was told so.
    told: Option<String>,
}

/// Starts executions and commands them about until told to stop.
pub struct Racer {
    asker: Asker,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Vec<Raced>>>,
}

fn definition(outside: &str) -> String {
    format!(
        "
document: {{dsl: '1.0.0', namespace: torture, name: race, version: '1.0.0'}}
timeout: {{after: {{milliseconds: 400}}}}
do:
- rest: {{wait: {{milliseconds: 30}}}}
- call: {{call: http, with: {{method: post, endpoint: '{outside}/slow', body: '${{ . }}'}}}}
- again: {{wait: {{milliseconds: 30}}}}
"
    )
}

impl Racer {
    pub async fn start(asker: &Asker, outside: &str, seed: u64) -> Racer {
        let workflow = asker.apply(&definition(outside)).await;
        let stop = Arc::new(AtomicBool::new(false));
        let worker = |number: u64| {
            let (asker, workflow, stop) = (asker.clone(), workflow.clone(), stop.clone());
            tokio::spawn(race(asker, workflow, Chance::new(seed + number), number, stop))
        };
        let workers = (0..2).map(worker).collect();
        Racer { asker: asker.clone(), stop, workers }
    }

    /// Ends, waits until every execution has ended, and checks what became of it; how many there were.
    pub async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let mut count = 0;
        for worker in self.workers {
            for raced in worker.await.expect("no panic") {
                settle(&self.asker, &raced).await;
                count += 1;
            }
        }
        count
    }
}

/// Sends until there is an answer that is not "later": its status and body.
async fn send(asker: &Asker, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
    let begun = Instant::now();
    loop {
        let mut request = asker.post(path).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Ok(answer) = request.send().await
            && answer.status() != 503
        {
            let status = answer.status().as_u16();
            if let Ok(value) = answer.json().await {
                return (status, value);
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{path}: no answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn race(asker: Asker, workflow: String, mut chance: Chance, worker: u64, stop: Arc<AtomicBool>) -> Vec<Raced> {
    let mut all = Vec::new();
    let path = format!("/api/v1/workflows/{workflow}/execute");
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let (id, millis) = (format!("r{worker}-{number}"), chance.below(500));
        let input = json!({"id": id, "millis": millis});
        let (status, started) = send(&asker, &path, Some(&id), &input).await;
        assert!(matches!(status, 201 | 202), "{status} {started}");
        let execution = started["id"].as_str().expect("an id").to_owned();
        if chance.below(4) == 0 {
            let (_, again) = send(&asker, &path, Some(&id), &input).await;
            assert_eq!(again["id"], started["id"], "the same key is the same execution");
        }
        let mut raced = Raced { id: execution, told: None };
        for _ in 0..chance.below(4) {
            tokio::time::sleep(Duration::from_millis(chance.below(150))).await;
            command(&asker, &mut raced, &mut chance).await;
        }
        if raced.told.is_some() && chance.below(8) == 0 {
            let (status, fresh) =
                send(&asker, &format!("/api/v1/executions/{}/retry", raced.id), None, &json!({})).await;
            assert_eq!(status, 202, "{fresh}");
            all.push(Raced { id: fresh["id"].as_str().expect("an id").to_owned(), told: None });
        }
        all.push(raced);
    }
    all
}

/// Gives one command, and notes what its answer promises.
async fn command(asker: &Asker, raced: &mut Raced, chance: &mut Chance) {
    let verb = ["cancel", "suspend", "resume", "suspend", "resume"][chance.below(5) as usize];
    let (status, answer) = send(asker, &format!("/api/v1/executions/{}/{verb}", raced.id), None, &json!({})).await;
    let told = match (status, verb) {
        (202, "cancel") => Some("cancelled".to_owned()),
        (202, _) => answer["status"].as_str().filter(|status| TERMINAL.contains(status)).map(str::to_owned),
        (409, _) => {
            let detail = answer["detail"].as_str().expect("a detail");
            TERMINAL.iter().find(|phase| detail.ends_with(**phase)).map(|phase| (*phase).to_owned())
        }
        _ => panic!("{status} {answer}"),
    };
    if let (Some(before), Some(now)) = (&raced.told, &told) {
        assert_eq!(before, now, "{} has changed after its end", raced.id);
    }
    raced.told = raced.told.take().or(told);
}

/// Waits for the end; one that was left suspended goes on first.
async fn settle(asker: &Asker, raced: &Raced) {
    let begun = Instant::now();
    let path = format!("/api/v1/executions/{}", raced.id);
    loop {
        let now = asker.json(&path).await;
        let status = now["status"].as_str().expect("a status");
        if TERMINAL.contains(&status) {
            if let Some(told) = &raced.told {
                assert_eq!(status, told, "{now}");
            }
            return;
        }
        if status == "suspended" {
            send(asker, &format!("{path}/resume"), None, &json!({})).await;
        }
        assert!(begun.elapsed() < PATIENCE, "it hangs: {now}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
