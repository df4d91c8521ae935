//! The definitions of the simulated world, compiled once for all seeds.

use std::sync::{Arc, OnceLock};

use trinity_engine::definition::compile;
use trinity_engine::ids::DefinitionId;
use trinity_engine::plan::Plan;
use trinity_engine::shard::{Catalog, CatalogEntry, DefinitionState, TypePattern};
use trinity_engine::value::Value;

pub const SHARDS_MAX: u16 = 4;

/// Started by an event from a source.
pub const READING: DefinitionId = DefinitionId(0);
/// Calls, and tries again for as long as the callee has no time.
pub const CALL: DefinitionId = DefinitionId(1);
/// Listens for an event of its number, a minute at most.
pub const HEAR: DefinitionId = DefinitionId(2);
/// Runs a `pause` and waits for it.
pub const PARENT: DefinitionId = DefinitionId(3);
/// Emits an answer for a listener, an alert for the sink and a ping for `echo`.
pub const TELL: DefinitionId = DefinitionId(4);
/// Started by one left and one right event together.
pub const BOTH: DefinitionId = DefinitionId(5);
/// Started by an event that another execution emitted.
pub const ECHO: DefinitionId = DefinitionId(6);
/// Calls once for each of three items.
pub const EACH: DefinitionId = DefinitionId(7);
/// A call and a second of waiting compete.
pub const RACE: DefinitionId = DefinitionId(8);
/// Listens for what never comes, until its limit of three seconds.
pub const LIMIT: DefinitionId = DefinitionId(9);
/// Every five seconds.
pub const TICK: DefinitionId = DefinitionId(10);
/// Three seconds after its last end.
pub const AFTER: DefinitionId = DefinitionId(11);
/// Every minute by cron.
pub const CRON: DefinitionId = DefinitionId(12);
/// The first of the versions of `pause`: waits two seconds and says its version.
const PAUSE_FIRST: u32 = 20;
pub const PAUSE_VERSIONS: u32 = 3;

const DEFINITIONS: [(&str, &str); 13] = [
    ("reading", "schedule: {on: {one: {with: {type: reading}}}}\ndo:\n- take: {set: {n: '${ .[0].n }'}}\n"),
    (
        "call",
        "do:\n- attempt:\n    try:\n    - get: {call: http, with: {method: post, endpoint: 'http://callee.test/', body: {item: 0}}}\n    catch:\n      errors: {with: {status: 503}}\n      retry: {delay: {seconds: 1}, limit: {attempt: {count: 20}}}\n",
    ),
    (
        "hear",
        "do:\n- hear:\n    try:\n    - ear: {listen: {to: {one: {with: {type: answer}, correlate: {n: {from: .data.n, expect: '${ .n }'}}}}}, timeout: {after: {seconds: 60}}}\n    catch: {errors: {with: {status: 408}}, do: [{late: {set: {late: true}}}]}\n",
    ),
    ("parent", "do:\n- sub: {run: {workflow: {namespace: sim, name: pause, version: latest}}}\n"),
    (
        "tell",
        "do:\n- a: {emit: {event: {with: {type: answer, subject: '${ .n | tostring }', data: {n: '${ .n }'}}}}}\n- b: {emit: {event: {with: {type: alert, data: 1}}}}\n- c: {emit: {event: {with: {type: ping, subject: '${ .n + 1 | tostring }', data: 1}}}}\n",
    ),
    ("both", "schedule: {on: {all: [{with: {type: left}}, {with: {type: right}}]}}\ndo:\n- go: {set: {a: 1}}\n"),
    ("echo", "schedule: {on: {one: {with: {type: ping}}}}\ndo:\n- go: {set: {a: 1}}\n"),
    (
        "each",
        "do:\n- loop:\n    for: {each: item, in: '[1, 2, 3]'}\n    do:\n    - attempt:\n        try:\n        - get: {call: http, with: {method: post, endpoint: 'http://callee.test/', body: {item: '${ $item }'}}}\n        catch:\n          errors: {with: {status: 503}}\n          retry: {delay: {milliseconds: 300}, limit: {attempt: {count: 20}}}\n",
    ),
    (
        "race",
        "do:\n- race:\n    fork:\n      compete: true\n      branches:\n      - slow: {wait: {seconds: 1}}\n      - get: {call: http, with: {method: post, endpoint: 'http://callee.test/', body: {item: 0}}}\n",
    ),
    ("limit", "timeout: {after: {seconds: 3}}\ndo:\n- never: {listen: {to: {one: {with: {type: never}}}}}\n"),
    ("tick", "schedule: {every: {seconds: 5}}\ndo:\n- go: {set: {a: 1}}\n"),
    ("after", "schedule: {after: {seconds: 3}}\ndo:\n- rest: {wait: {milliseconds: 500}}\n"),
    ("cron", "schedule: {cron: '* * * * *'}\ndo:\n- go: {set: {a: 1}}\n"),
];

/// The definition of a version of `pause`, from 0.
pub fn pause(version: u32) -> DefinitionId {
    DefinitionId(PAUSE_FIRST + version)
}

/// The version of `pause` that this is.
pub fn pause_version(definition: DefinitionId) -> Option<u32> {
    definition.0.checked_sub(PAUSE_FIRST).filter(|version| *version < PAUSE_VERSIONS)
}

fn is_scheduled(definition: DefinitionId) -> bool {
    [TICK, AFTER, CRON].contains(&definition)
}

/// How the definitions are at a moment: each further stage brings a newer version of `pause`, at last the schedules end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage {
    pub newest_pause: u32,
    pub scheduled: bool,
}

/// The catalog of a node with so many shards at a stage.
pub fn catalog(shards: u16, stage: Stage) -> Arc<Catalog> {
    static ALL: OnceLock<Vec<Arc<Catalog>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let plans = plans();
        let mut all = Vec::new();
        for shards in 1..=SHARDS_MAX {
            for newest_pause in 0..PAUSE_VERSIONS {
                for scheduled in [false, true] {
                    all.push(Arc::new(build(&plans, shards, Stage { newest_pause, scheduled })));
                }
            }
        }
        all
    });
    let place = (u32::from(shards - 1) * PAUSE_VERSIONS + stage.newest_pause) * 2 + u32::from(stage.scheduled);
    all[place as usize].clone()
}

/// The same with a defect: every version of `pause` does what the newest does.
pub fn confused_catalog(shards: u16, stage: Stage) -> Arc<Catalog> {
    static PLANS: OnceLock<Vec<(DefinitionId, Arc<Plan>)>> = OnceLock::new();
    let mut plans = PLANS.get_or_init(plans).clone();
    let newest = plans.iter().find(|(id, _)| *id == pause(stage.newest_pause)).expect("it is there").1.clone();
    for (_, plan) in plans.iter_mut().filter(|(id, _)| pause_version(*id).is_some()) {
        *plan = newest.clone();
    }
    Arc::new(build(&plans, shards, stage))
}

fn plans() -> Vec<(DefinitionId, Arc<Plan>)> {
    let compiled = |name: &str, version: u32, rest: &str| {
        let text =
            format!("document: {{dsl: '1.0.0', namespace: sim, name: {name}, version: '{version}.0.0'}}\n{rest}");
        let (plan, _) = compile(&text).unwrap_or_else(|findings| panic!("{name}: {findings:?}"));
        Arc::new(plan)
    };
    let plain = (0..).zip(DEFINITIONS).map(|(id, (name, rest))| (DefinitionId(id), compiled(name, 1, rest)));
    let pauses = (0..PAUSE_VERSIONS).map(|version| {
        let rest = format!("do:\n- rest: {{wait: {{seconds: 2}}}}\n- say: {{set: {{version: {version}}}}}\n");
        (pause(version), compiled("pause", version + 1, &rest))
    });
    plain.chain(pauses).collect()
}

fn build(plans: &[(DefinitionId, Arc<Plan>)], shards: u16, stage: Stage) -> Catalog {
    let state = |id: DefinitionId| match pause_version(id) {
        Some(version) if version > stage.newest_pause => None,
        Some(version) if version < stage.newest_pause => Some(DefinitionState::Superseded),
        None if is_scheduled(id) && !stage.scheduled => Some(DefinitionState::Retired),
        _ => Some(DefinitionState::Current),
    };
    let entry =
        |(id, plan): &(DefinitionId, Arc<Plan>)| Some(CatalogEntry { id: *id, plan: plan.clone(), state: state(*id)? });
    let entries = plans.iter().filter_map(entry).collect();
    Catalog::new(shards, entries, Value::Null).with_sinks(vec![TypePattern::Exact("alert".into())])
}
