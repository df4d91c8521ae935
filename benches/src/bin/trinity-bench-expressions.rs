//! One expression on a parsed payload: ours and jaq's, each on its own parsed value, in one run.
//!
//! `cargo run --release -p trinity-benches --features jaq --bin trinity-bench-expressions [ROUNDS [EXPRESSION…]]`: nanoseconds of CPU time
//! for each evaluation of these expressions, or else of those below, dropping the result included, and the ratio. Rounds of both alternate, and the fastest of each counts, so that
//! what else the machine does falls on both alike.

use std::borrow::Cow;
use std::hint::black_box;

use ecow::EcoString;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use trinity_engine::expression::{Context, Expression, Limits};
use trinity_engine::time::Timestamp;
use trinity_engine::value::{ParseLimits, Value};

/// As in the binary `trinity`.
#[global_allocator]
static ALLOCATOR: trinity_allocator::Allocator = trinity_allocator::Allocator;

/// Evaluations in one round.
const EVALUATIONS: u32 = 20_000;

const PAYLOAD: &str = r#"{"deviceId":"device-0042","site":"plant-7/line-3","temperature":98.6,"humidity":41.5,"sequence":17,"unit":"F",
"tags":["hot","line-3","x"],"position":{"lat":48.1,"lon":11.6},"readings":[{"t":1,"v":20.5},{"t":2,"v":21.5},{"t":3,"v":19.5}],"ok":true}"#;

/// What workflows write.
const EXPRESSIONS: &[&str] = &[
    "{deviceId, celsius: ((.temperature - 32) * 5 / 9)}",
    ".temperature",
    ".temperature > 70",
    ".position.lat",
    "(.temperature - 32) * 5 / 9",
    "if .temperature > 70 and .ok then \"high\" else \"normal\" end",
    "\"\\(.site): \\(.temperature) \\(.unit)\"",
    ".missing // \"none\"",
    ". + {level: \"high\"}",
    "[.readings[] | select(.v > 20) | .t]",
    ".readings | map(.v) | add",
    ".tags | length",
    ".sequence += 1",
    "reduce .readings[] as $r (0; . + $r.v)",
];

fn cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The fastest of some rounds of both, in nanoseconds for one evaluation.
fn measure(rounds: u32, mut ours: impl FnMut(), mut jaq: impl FnMut()) -> (f64, f64) {
    let mut best = (u64::MAX, u64::MAX);
    for _ in 0..rounds {
        let start = cpu_nanos();
        (0..EVALUATIONS).for_each(|_| ours());
        let middle = cpu_nanos();
        (0..EVALUATIONS).for_each(|_| jaq());
        let end = cpu_nanos();
        best = (best.0.min(middle - start), best.1.min(end - middle));
    }
    (best.0 as f64 / f64::from(EVALUATIONS), best.1 as f64 / f64::from(EVALUATIONS))
}

fn compare(source: &str, rounds: u32) -> Result<f64, Box<dyn std::error::Error>> {
    let expression = Expression::compile(source, &[EcoString::from("context")])?;
    let input = Value::parse(PAYLOAD.as_bytes(), &ParseLimits::default())?;
    let limits = Limits::default();
    let none = |_: usize| Cow::Owned(Value::Null);
    let cx = Context { now: Timestamp(0), limits: &limits, variables: &none, spent: None };

    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(definitions).load(&arena, File { code: source, path: () });
    let modules = modules.map_err(|errors| format!("jaq does not load it: {errors:?}"))?;
    let filter = Compiler::default().with_funs(functions).compile(modules);
    let filter = filter.map_err(|errors| format!("jaq does not compile it: {errors:?}"))?;
    let value: Val = read::parse_single(PAYLOAD.as_bytes()).map_err(|error| format!("{error:?}"))?;

    let (ours, jaq) = measure(
        rounds,
        || drop(black_box(expression.evaluate(black_box(&input), &cx))),
        || {
            let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
            drop(black_box(filter.id.run((context, black_box(value.clone()))).map(unwrap_valr).next()));
        },
    );
    println!("{ours:>8.0} ns {jaq:>8.0} ns {:>6.1}x  {source}", jaq / ours);
    Ok(jaq / ours)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(Ok(40), |text| text.parse())?;
    let asked: Vec<String> = arguments.collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let expressions = if asked.is_empty() { EXPRESSIONS } else { &asked };
    println!("{:>11} {:>11} {:>7}", "ours", "jaq", "ratio");
    let ratios = expressions.iter().map(|source| compare(source, rounds)).collect::<Result<Vec<_>, _>>()?;
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    println!("geometric mean of the ratios: {mean:.1}x");
    Ok(())
}
