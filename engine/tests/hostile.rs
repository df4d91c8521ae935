//! Programs that want everything: each must be stopped by a budget, or end early, within 64 MiB, and in a release build within
//! 50 ms of processor time. What each takes is printed by
//! `cargo test --release -p trinity-engine --test hostile -- --nocapture`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use trinity_engine::expression::{Context, Expression, Limits, Way};
use trinity_engine::time::Timestamp;
use trinity_engine::value::{ParseLimits, Value};

/// Counts what is allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The tests take turns, for they count one process's memory.
static TURN: Mutex<()> = Mutex::new(());

const MEMORY_MAX: usize = 64 << 20;

/// Holds for optimised builds alone.
const MICROS_MAX: u64 = 50_000;

/// How often a program that took too long is tried: other work on the machine makes one slower, not faster.
const TRIES: usize = 5;

/// The processor time of this thread so far, in microseconds.
fn cpu_micros() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells a thread's time");
    text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).expect("nanoseconds") / 1_000
}

/// Programs that a budget stops.
const STOPPED: &[&str] = &[
    "def f: f; f",
    "def f: [f]; f",
    "def f: 1 + f; f",
    "def f(g): f(g | g); f(.)",
    "def f: f, f; f",
    "def f: try f catch f; f",
    "[range(1e12)]",
    "[limit(1e9; repeat(1))]",
    "last(range(1e15))",
    "reduce range(1e12) as $i (0; . + $i)",
    "reduce range(100) as $i (\"x\"; . + .)",
    "reduce range(100) as $i (\"é\"; . * 2)",
    "reduce range(100) as $i ([0]; [., .]) | tojson",
    "reduce range(100) as $i ([0]; [., .]) | tostring",
    "reduce range(100) as $i ([0]; [., .]) | @json",
    "reduce range(100) as $i ([0]; [., .]) | \"\\(.)\"",
    "reduce range(100) as $i ([0]; [., .]) | flatten",
    "reduce range(100) as $i ([0]; [., .]) | [..] | length",
    "reduce range(100) as $i ([0]; [., .]) | [paths]",
    "reduce range(100) as $i ([0]; [., .]) | [tostream]",
    "reduce range(100) as $i ([0]; [., .]) | walk(.)",
    "(reduce range(100) as $i ([0]; [., .])) == (reduce range(100) as $i ([0]; [., .]))",
    "[reduce range(100) as $i ([0]; [., .]), reduce range(100) as $i ([0]; [., .])] | sort",
    "[reduce range(100) as $i ([0]; [., .]), reduce range(100) as $i ([0]; [., .])] | unique",
    "[reduce range(100) as $i ([0]; [., .]), reduce range(100) as $i ([0]; [., .])] | group_by(.)",
    "[reduce range(100) as $i ([0]; [., .]), reduce range(100) as $i ([0]; [., .])] | min",
    "(reduce range(100) as $i ([0]; [., .])) as $x | $x | contains((reduce range(100) as $i ([0]; [., .])))",
    "(reduce range(100) as $i ({}; {a: ., b: .})) * (reduce range(100) as $i ({}; {a: ., b: .}))",
    "(reduce range(100) as $i ({}; {a: ., b: .})) == (reduce range(100) as $i ({}; {b: ., a: .}))",
    "[(reduce range(100) as $i ({}; {a: ., b: .}))] - [(reduce range(100) as $i ({}; {a: ., b: .}))]",
    "reduce range(64) as $i ([1]; . + .) | sort",
    "reduce range(64) as $i ({a: 1}; . + {\"k\\($i)\": .}) | tojson",
    "[range(30) | [0, 1]] | [combinations] | length",
    "[range(100000) | tostring] | combinations",
    "[range(300000)] | map([., .]) | map(tojson) | join(\",\")",
    "\"a\" * 1e9",
    "\"abc\" * 1e8 | explode",
    "[range(1e6)] | implode",
    ".[1e9] = 1",
    ".[536870911] = 1",
    "setpath([1e8]; 1)",
    "[limit(1e9; range(1e9))] | length",
    "0 | until(false; . + 1)",
    "[while(true; .)]",
    "0 | [recurse(. + 1)] | length",
    "[range(1e5)] | [.[] as $x | .[] as $y | $x + $y]",
    "[range(1e5) as $x | range(1e5) as $y | $x] | length",
    "[range(20000)] | . - .",
    "[range(3000)] as $a | [range(3000)] | map(. as $x | $a | index($x))",
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\" * 1000 | [match(\"(a*)*c\"; \"g\")]",
    "(\"a\" * 5000) | [match(\"(a|aa)+$(?<!a)\"; \"g\")]",
    "(\"a\" * 30000) | test(\"(?:a?){30000}a{30000}\")",
    "(\"x\" * 1000000) | [match(\"\"; \"g\")] | length",
    "(\"x\" * 1000000) | gsub(\"\"; \"yy\")",
    "(\"x\" * 100000) | [splits(\"\")] | length",
    "(\"x,\" * 1000000) | split(\",\") | map(. + \"y\") | add",
    "reduce range(1e9) as $i (\"xy\"; ltrimstr(\"x\") | \"x\" + .)",
    "reduce range(1000000) as $i (null; [.])",
    "reduce range(1000000) as $i (null; {a: .}) | tojson",
    "reduce range(200000) as $i (.; .a = {b: .a})",
    "[range(1e6)] | to_entries | from_entries",
    "[range(200000) | {a: ., b: tostring}] | group_by(.b) | map(length)",
    "[range(500000)] | map(tostring) | sort",
    "(\"[\" * 100000) | fromjson",
    "{} | .[range(1e9) | tostring] = 1",
    "[range(1e6)] | .[] |= . + 1",
    "[range(1e6)] | del(.[range(0; 1e6; 2)])",
    "label $out | foreach repeat(1) as $x (0; . + 1; if . > 1e9 then ., break $out else empty end)",
    "[splits(\"a\")?, range(1e10)]",
    "def f: reduce range(10) as $i (0; f); f",
    "def f: . as [$a] ?// $a | f; [1] | f",
    "[limit(1e7; def r: ., (., . | r); 1 | r)] | length",
    "getpath([range(1e6) | \"a\"])",
    "[range(1e6) | {} ] | add(.[])| tojson * 1e6",
    "@base64 \"\\(\"x\" * 1e9)\"",
    "\"\\u00e9\" * 20000000 | ascii_downcase | explode | implode | @uri",
    "\"%y\" * 500000 | . as $f | 0 | strftime($f)",
    "0 | strftime(\"%99999999d\")",
    "[range(1e6)] | tojson | fromjson | tojson | fromjson | tojson | fromjson",
    "[range(1e6)] | @csv | split(\",\") | @tsv",
];

/// Programs that look endless and end at once.
const ENDED: &[(&str, &str)] = &[
    ("first(range(1e12) + 1)", "1"),
    ("first(range(1e12))", "0"),
    ("[limit(3; range(1e12) | select(. % 2 == 0))]", "[0,2,4]"),
    ("[limit(3; repeat(1))]", "[1,1,1]"),
    ("isempty(range(1e12))", "false"),
    ("any(range(1e12); . > 10)", "true"),
    ("label $out | range(1e12) | if . > 5 then ., break $out else empty end", "6"),
    ("0 | until(. > 1000; . + 1)", "1001"),
    ("[range(10000)] | map(. + 1) | add", "50005000"),
    ("reduce range(20000) as $i (0; . + $i)", "199990000"),
    ("last(range(20000))", "19999"),
    ("reduce range(9000) as $i (null; [.]) | [recurse(.[]?)] | length", "9001"),
    ("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; 100 | fac", "9.33262154439441e+157"),
];

/// What a program answers, its time in microseconds, and the most memory that it took.
fn run(program: &str, way: Way) -> (Result<Option<String>, String>, u64, usize) {
    let expression = Expression::compile(program, &[]).unwrap_or_else(|error| panic!("{program}: {error}"));
    let limits = Limits::default();
    let none = |_: usize| Cow::Owned(Value::Null);
    let cx = Context { now: Timestamp(0), limits: &limits, variables: &none, spent: None };
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let start = cpu_micros();
    let (outputs, error) = expression.outputs(way, &Value::Null, &cx, 1);
    let answer = match error {
        Some(error) if error.is_limit() => Err(error.message()),
        Some(error) => Ok(Some(format!("error: {}", error.message()))),
        None => Ok(outputs.first().map(|value| value.to_json().chars().take(60).collect())),
    };
    drop(outputs);
    (answer, cpu_micros() - start, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

#[test]
fn hostile_programs_are_stopped() {
    let _turn = TURN.lock();
    let mut wrong = Vec::new();
    for program in STOPPED {
        for way in [Way::Best, Way::Machine] {
            let (answer, mut micros, peak) = run(program, way);
            if !cfg!(debug_assertions) {
                for _ in 1..TRIES {
                    if micros > MICROS_MAX {
                        micros = micros.min(run(program, way).1);
                    }
                }
                if micros > MICROS_MAX {
                    wrong.push(format!("{program} ({way:?}): {micros} us"));
                }
            }
            println!("{micros:>8} us {:>6} KiB {way:?} {program}   {answer:?}", peak >> 10);
            let stopped = answer.is_err() || matches!(&answer, Ok(Some(text)) if text.starts_with("error"));
            if !stopped || peak > MEMORY_MAX {
                wrong.push(format!("{program} ({way:?}): {answer:?}, {} KiB", peak >> 10));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_asked_for_lazily_ends() {
    let _turn = TURN.lock();
    for (program, expected) in ENDED {
        for way in [Way::Best, Way::Machine] {
            let (answer, micros, peak) = run(program, way);
            println!("{micros:>8} us {:>6} KiB {way:?} {program}", peak >> 10);
            assert_eq!(answer, Ok(Some((*expected).to_owned())), "{program}");
        }
    }
}

#[test]
fn results_that_nobody_could_keep_are_refused() {
    let _turn = TURN.lock();
    let refused = [
        ("reduce range(9000) as $i (null; [.])", "depth"),
        ("reduce range(9000) as $i (null; {a: .})", "depth"),
        ("reduce range(60) as $i ([0]; [., .])", "memory"),
        ("reduce range(60) as $i ({}; {a: ., b: .})", "memory"),
        ("[range(40)] | map(\"x\" * 100000) | [., ., ., ., ., ., ., ., ., .]", "memory"),
    ];
    let limits = Limits::default();
    let none = |_: usize| Cow::Owned(Value::Null);
    let cx = Context { now: Timestamp(0), limits: &limits, variables: &none, spent: None };
    for (program, limit) in refused {
        let expression = Expression::compile(program, &[]).unwrap_or_else(|error| panic!("{program}: {error}"));
        let start = cpu_micros();
        let error = expression.evaluate(&Value::Null, &cx).expect_err(program);
        let micros = cpu_micros() - start;
        println!("{micros:>8} us {program}   {}", error.message());
        assert!(error.is_limit() && error.message().ends_with(limit), "{program}: {}", error.message());
        assert!(cfg!(debug_assertions) || micros <= MICROS_MAX, "{program}: {micros} us");
    }
    let kept = Expression::compile("reduce range(250) as $i (null; [.])", &[]).expect("an expression");
    let kept = kept.evaluate(&Value::Null, &cx).expect("a result");
    assert_eq!(Value::parse(kept.to_json().as_bytes(), &ParseLimits::default()), Ok(kept));
}

#[test]
fn deep_texts_and_values_need_no_deep_stack() {
    let _turn = TURN.lock();
    let work = || {
        for text in [
            "(".repeat(100_000),
            "[".repeat(100_000),
            "-".repeat(100_000),
            "{a:".repeat(100_000),
            "if ".repeat(100_000),
            "try ".repeat(100_000),
            "\"\\(".repeat(100_000),
            "def f: ".repeat(100_000),
            ". as [".repeat(100_000),
            format!("1{}", " + .".repeat(20_000)),
            format!("1{}", " or 1".repeat(20_000)),
            format!("1{}", " // 1".repeat(20_000)),
            format!("1{}", " | .".repeat(20_000)),
            format!("1{}", ", 1".repeat(20_000)),
            format!(".{}", "[0]".repeat(20_000)),
            format!(".{}", "?".repeat(20_000)),
            format!("{}1", "1 as $x | ".repeat(20_000)),
            format!("{}1", "def f: 1; ".repeat(20_000)),
            format!("{}.{}", "map(".repeat(60), ")".repeat(60)),
        ] {
            if let Ok(expression) = Expression::compile(&text, &[]) {
                let limits = Limits::default();
                let none = |_: usize| Cow::Owned(Value::Null);
                let cx = Context { now: Timestamp(0), limits: &limits, variables: &none, spent: None };
                let _ = expression.outputs(Way::Best, &Value::Null, &cx, 3);
                let _ = expression.outputs(Way::Machine, &Value::Null, &cx, 3);
            }
        }
        let deep = format!("{}1{}", "[{\"a\":".repeat(100_000), "}]".repeat(100_000));
        let value = Value::parse(deep.as_bytes(), &ParseLimits { depth_max: 300_000 }).expect("JSON");
        let again = Value::parse(deep.as_bytes(), &ParseLimits { depth_max: 300_000 }).expect("JSON");
        assert!(value == again && value.compare(&again).is_eq());
        assert_eq!(value.to_json().len(), deep.len());
    };
    // What a thread has by default; frames of an unoptimised build are several times as large as those of the product.
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).expect("a thread").join().expect("no overflow");
}
