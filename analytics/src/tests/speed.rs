//! What measuring costs. Not a test: `cargo test --release -p trinity-analytics speed -- --ignored --nocapture` prints it.

use super::*;

/// Nanoseconds that this thread has spent on a processor, which others that share it do not change.
fn spent() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

/// Executions of the reference workflow as a shard sees them: two measurements for the execution, three tasks.
fn batch(executions: u64, definitions: u32) -> Vec<Measurement> {
    let mut batch = Vec::new();
    for execution in 0..executions {
        let definition = DefinitionId(execution as u32 % definitions);
        // Durations spread over two decades.
        let duration = 20 + execution.wrapping_mul(2_654_435_761) % (1 << (5 + execution % 7));
        let mut push = |task: Option<u32>, kind, duration_micros| {
            batch.push(Measurement {
                definition,
                task: task.map(TaskIx),
                kind,
                time: at(execution / 100_000),
                duration_micros,
                count: 1,
            });
        };
        push(None, MeasurementKind::Started, 0);
        for task in 0..3 {
            push(Some(task), MeasurementKind::Completed, duration / 3);
        }
        push(None, MeasurementKind::Completed, duration);
    }
    batch
}

#[test]
#[ignore = "prints a speed; for an optimised build"]
fn nanoseconds_per_measurement() {
    for definitions in [1, 10, 1_000] {
        let analytics = in_memory();
        let writer = analytics.writer();
        // The same few thousand again and again, as measurements come from a buffer that is in the cache.
        let (batch, rounds) = (batch(5_000, definitions), 200);
        let begun = spent();
        for _ in 0..rounds {
            for measurements in batch.chunks(256) {
                writer.record(measurements);
            }
        }
        let each = (spent() - begun) as f64 / (rounds * batch.len()) as f64;
        let begun = spent();
        analytics.flush().expect("memory");
        println!("{definitions} definitions: {each:.1} ns a measurement; closing {} µs", (spent() - begun) / 1_000);
    }
}

#[test]
#[ignore = "prints a speed; for an optimised build"]
fn milliseconds_per_answer() {
    let analytics = in_memory();
    let writer = analytics.writer();
    let hours = 24;
    for minute in 0..hours * 60 {
        for series in 0..1_000 {
            let values =
                (0..20).map(|value| completed(minute * 60, 1_000 + (value * series * 31 + minute * 7) % 3_000));
            let values: Vec<_> = values
                .map(|measurement| Measurement { definition: DefinitionId(series as u32), ..measurement })
                .collect();
            writer.record(&values);
        }
        analytics.tick(at(minute * 60 + 20)).expect("memory");
    }
    for (name, from, width) in [("24 h", 0, 3_600), ("6 h by minute", 18, 60)] {
        let begun = spent();
        let answer = ask(&analytics, &Query { step: step(width), ..query(from * HOUR, hours * HOUR) });
        let millis = (spent() - begun) / 1_000_000;
        println!("{name}: {millis} ms for {} executions in 1000 series", answer.executions.completed);
    }
}
