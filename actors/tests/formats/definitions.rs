//! What runs in the fixtures: every kind of state that a live execution can be stored in, and everything that a shard
//! stores of its own. A fixture names its definitions by their number here, so they are only ever added to.

use std::sync::Arc;

use trinity_engine::definition::compile;
use trinity_engine::ids::DefinitionId;
use trinity_engine::shard::{Catalog, CatalogEntry, DefinitionState, TypePattern};
use trinity_engine::value::Value;

pub const SHARDS: u16 = 4;
/// Nobody listens there when a fixture is opened.
pub const CALLEE: &str = "127.77.1.2:9";

pub const WAIT: DefinitionId = DefinitionId(0);
pub const HEAR: DefinitionId = DefinitionId(1);
pub const COLLECT: DefinitionId = DefinitionId(2);
pub const CALL: DefinitionId = DefinitionId(3);
pub const RETRY: DefinitionId = DefinitionId(4);
pub const PARENT: DefinitionId = DefinitionId(5);
pub const BRANCH: DefinitionId = DefinitionId(7);
pub const HANDLE: DefinitionId = DefinitionId(8);
pub const GATHER: DefinitionId = DefinitionId(9);
pub const TELL: DefinitionId = DefinitionId(10);
pub const FAIL: DefinitionId = DefinitionId(12);

fn texts() -> Vec<String> {
    let workflow = |name: &str, rest: &str| {
        format!("document: {{dsl: '1.0.0', namespace: formats, name: {name}, version: '1.0.0'}}\n{rest}")
    };
    vec![
        workflow(
            "wait",
            "
timeout: {after: P300D}
do:
- keep: {set: {n: '${ .n }', text: 'äöü'}, export: {as: '${ {kept: .n} }'}}
- rest: {wait: PT3S}
- tell: {set: {n: '${ .n }', kept: '${ $context.kept }'}}
",
        ),
        workflow(
            "hear",
            "
do:
- hear:
    listen:
      to: {one: {with: {type: answer}, correlate: {order: {from: .data.order, expect: '${ .order }'}}}}
- tell: {set: '${ .[0].text }'}
",
        ),
        workflow(
            "collect",
            "
do:
- hear:
    listen: {to: {any: [{with: {type: part}}], until: '${ length == 3 }'}}
    foreach: {item: part, at: index, do: [{take: {set: '${ [$index, $part.n] }'}}]}
",
        ),
        workflow(
            "call",
            &format!(
                "
do:
- ask:
    try: [{{call: {{call: http, with: {{method: post, endpoint: 'http://{CALLEE}/x', body: {{n: '${{ .n }}'}}}}}}}}]
    catch: {{as: problem, do: [{{caught: {{set: {{caught: '${{ $problem.status }}'}}}}}}]}}
"
            ),
        ),
        workflow(
            "retry",
            "
do:
- ask:
    try: [{bad: {raise: {error: {type: 'https://x.test/bad', status: 503}}}}]
    catch:
      retry: {delay: {seconds: 3}, limit: {attempt: {count: 1}}}
",
        ),
        workflow(
            "parent",
            "do:\n- sub: {run: {workflow: {namespace: formats, name: child, version: latest, input: {n: '${ .n }'}}}}\n",
        ),
        workflow("child", "do:\n- rest: {wait: PT3S}\n- double: {set: '${ .n * 2 }'}\n"),
        workflow(
            "branch",
            "
do:
- each:
    for: {each: item, in: '${ .items }'}
    do:
    - both:
        fork:
          branches:
          - quick: {set: '${ $item }'}
          - slow: {do: [{rest: {wait: PT2S}}, {say: {set: '${ $item + 1 }'}}]}
",
        ),
        workflow(
            "handle",
            "
do:
- ask:
    try: [{bad: {raise: {error: {type: 'https://x.test/bad', status: 503, title: Bad}}}}]
    catch: {as: problem, do: [{rest: {wait: PT3S}}, {say: {set: '${ $problem.title }'}}]}
",
        ),
        workflow(
            "gather",
            "schedule: {on: {all: [{with: {type: left}}, {with: {type: right}}]}}\ndo: [{x: {set: '${ [.[].side] }'}}]\n",
        ),
        workflow(
            "tell",
            "do: [{e: {emit: {event: {with: {source: 'https://x.test', type: alert, data: {n: '${ .n }'}}}}}}]\n",
        ),
        workflow("every", "schedule: {every: {hours: 1}}\ndo: [{x: {set: {y: 1}}}]\n"),
        workflow("fail", "do: [{x: {raise: {error: {type: 'https://x.test/bad', status: 400, title: Bad}}}}]\n"),
    ]
}

/// All of them. Alerts go to a sink.
pub fn catalog() -> Arc<Catalog> {
    let entries = texts().into_iter().zip(0..).map(|(text, number)| {
        let (plan, _) = compile(&text).unwrap_or_else(|findings| panic!("{findings:?}"));
        CatalogEntry { id: DefinitionId(number), plan: Arc::new(plan), state: DefinitionState::Current }
    });
    let sinks = vec![TypePattern::Exact("alert".into())];
    Arc::new(Catalog::new(SHARDS, entries.collect(), Value::Null).with_sinks(sinks))
}
