//! Defects of the engine, provoked by plans that contradict themselves, and steps that are too long: each costs its own
//! execution and nothing else.

use super::*;
use crate::plan::Plan;

/// A catalog with one definition, spoilt.
fn spoilt(text: &str, spoil: impl FnOnce(&mut Plan)) -> Arc<Catalog> {
    let (mut plan, _) = compile(text).unwrap_or_else(|findings| panic!("{findings:?}"));
    spoil(&mut plan);
    let entry = CatalogEntry { id: DefinitionId(0), plan: Arc::new(plan), state: DefinitionState::Current };
    Arc::new(Catalog::new(SHARDS, vec![entry], Value::Null))
}

/// Why the executions of a definition faulted.
fn details(node: &Node, definition: u32) -> Vec<String> {
    let ends = node.executions().into_iter().filter(|(_, d, ..)| *d == definition);
    let last = ends.filter_map(|(_, _, _, events)| events.into_iter().rev().find(|event| event.task.is_none()));
    let error = |event: HistoryEvent| match event.fact {
        Fact::Faulted { error } => error.detail.map(|detail| detail.to_string()),
        _ => None,
    };
    last.filter_map(error).collect()
}

fn is_a_defect(details: &[String], count: usize) {
    assert_eq!(details.len(), count, "{details:?}");
    assert!(details.iter().all(|detail| detail.contains("a defect of the engine")), "{details:?}");
}

const PAUSE: &str = "do:\n- rest: {wait: {seconds: 5}}\n- next: {set: {x: 1}}\n";

#[test]
fn a_panic_in_the_first_step_faults_the_execution() {
    let mut node = Node::new(spoilt(&workflow("pause", PAUSE), |plan| plan.tasks.clear()));
    node.execute(1, 0, Value::Null, None);
    is_a_defect(&details(&node, 0), 1);
    node.crash();
    node.execute(1, 0, Value::Null, None);
    is_a_defect(&details(&node, 0), 2);
}

#[test]
fn a_panic_in_a_later_step_faults_the_execution_also_after_a_crash() {
    let text = workflow("pause", PAUSE);
    let mut node = Node::new(spoilt(&text, |plan| plan.tasks.truncate(1)));
    node.execute(1, 0, Value::Null, None);
    node.execute(2, 0, Value::Null, None);
    node.pass(4_000);
    node.crash();
    node.pass(2_000);
    is_a_defect(&details(&node, 0), 2);
    assert_eq!(node.phases(0), [Phase::Faulted; 2]);
}

#[test]
fn a_panic_in_recovery_faults_the_execution_and_opens_the_shard() {
    let listen = "do:\n- hear: {listen: {to: {one: {with: {type: t}}}}}\n";
    let parent = workflow("parent", "do:\n- run: {run: {workflow: {namespace: test, name: hear, version: '1.0.0'}}}\n");
    let mut node = Node::new(catalog(&[&workflow("hear", listen), &parent], Vec::new()));
    let first = node.execute(1, 0, Value::Null, None);
    node.execute(2, 1, Value::Null, None);
    assert_eq!(node.phases(0), [Phase::Waiting; 2]);
    let whole = node.catalog.clone();
    let entry = |id| whole.entry(DefinitionId(id)).expect("it is there").clone();
    let (mut plan, _) = compile(&workflow("hear", listen)).expect("a definition");
    plan.tasks.clear();
    let broken = CatalogEntry { plan: Arc::new(plan), ..entry(0) };
    node.catalog = Arc::new(Catalog::new(SHARDS, vec![broken, entry(1)], Value::Null));
    node.crash();
    node.settle();
    is_a_defect(&details(&node, 0), 2);
    assert_eq!(node.phases(1), [Phase::Faulted], "who waits for it hears of it");
    assert!(node.shards.iter().all(Shard::is_open));
    node.crash();
    node.control(first, Control::Cancel);
    assert_eq!(node.phases(0), [Phase::Faulted; 2], "and it stays so");
}

#[test]
fn a_step_that_would_not_fit_a_commit_faults_its_execution() {
    let large = "x".repeat(1 << 20);
    let loops = "do:\n- all: {for: {in: '${ [range(40)] }'}, do: [{one: {set: {n: '${ $item }', text: '${ $workflow.input }'}}}]}\n";
    let says = "do:\n- all: {for: {in: '${ [range(40)] }'}, do: [{one: {emit: {event: {with: {type: t, data: '${ $workflow.input }'}}}}}]}\n";
    let branches: String = (0..40).map(|n| format!("    - b{n}: {{wait: {{hours: 1}}}}\n")).collect();
    let waits = format!("do:\n- all:\n    fork:\n      branches:\n{}", branches.replace("    -", "      -"));
    let texts = [workflow("loops", loops), workflow("says", says), workflow("waits", &waits), workflow("fine", PAUSE)];
    let mut node = Node::new(catalog(&texts.each_ref().map(String::as_str), Vec::new()));
    for definition in 0..4 {
        node.execute(1, definition, Value::from(large.as_str()), None);
    }
    node.pass(6_000);
    for definition in 0..3 {
        let why = details(&node, definition);
        assert!(why.len() == 1 && why[0].contains("smaller data"), "{definition}: {why:?}");
    }
    assert_eq!(node.phases(3), [Phase::Completed]);
    assert!(node.journal.iter().flatten().all(|records| records.len() < 24 << 20));
}

#[test]
fn schedules_rest_while_sinks_are_behind() {
    let ticks = workflow("tick", "schedule: {every: {seconds: 1}}\ndo:\n- say: {emit: {event: {with: {type: t}}}}\n");
    let mut node = Node::new(catalog(&[&ticks], vec![TypePattern::Exact("t".into())]));
    for shard in &mut node.shards {
        shard.hold_schedules_above(2_000);
    }
    node.pass(60_000);
    let held = node.published.len();
    assert!(held > 2 && held < 20, "{held}");
    let shard = node.published[0].0;
    let numbers = node.published.iter().map(|(_, number, _)| *number).collect();
    node.mail[usize::from(shard.0)].push_back(ShardInput::Delivered(numbers));
    node.pass(2_000);
    assert!(node.published.len() > held, "they go on");
    assert!(node.shards[usize::from(shard.0)].publications_bytes() < 2_000);
}
