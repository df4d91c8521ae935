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

/// A megabyte, as an event of this type.
fn large(event_type: &str, id: &str) -> CloudEvent {
    event(event_type, id, "a", &format!("\"{}\"", "x".repeat(1 << 20)))
}

/// The longest records that one step had.
fn longest(node: &Node) -> usize {
    node.journal.iter().flatten().map(Vec::len).max().unwrap_or(0)
}

/// Less than a block takes of all shards, with room for what the committer adds.
const FITS: usize = 60 << 20;

#[test]
fn what_an_event_starts_beyond_a_commit_faults_and_the_event_is_taken_once() {
    const WORKFLOWS: u32 = 70;
    let waits = "schedule: {on: {one: {with: {type: t}}}}\ndo:\n- rest: {wait: {seconds: 5}}\n";
    let texts: Vec<String> = (0..WORKFLOWS).map(|n| workflow(&format!("w{n}"), waits)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut node = Node::new(catalog(&texts, Vec::new()));
    for _ in 0..2 {
        node.post(&large("t", "1"), Origin::Id);
        node.settle();
        node.crash();
        node.settle();
    }
    assert_eq!(node.duplicates, 1);
    assert!(longest(&node) < FITS, "{}", longest(&node));
    // Read once: there are megabytes of it.
    let all = node.executions();
    let phases: Vec<Phase> = all.iter().map(|(_, _, phase, _)| *phase).collect();
    let count = |phase| phases.iter().filter(|p| **p == phase).count();
    let (waiting, faulted) = (count(Phase::Waiting), count(Phase::Faulted));
    assert!(waiting > 10 && faulted > 20 && waiting + faulted == WORKFLOWS as usize, "{phases:?}");
    let has_no_room = |event: &HistoryEvent| match &event.fact {
        Fact::Faulted { error } => error.detail.as_ref().is_some_and(|detail| detail.contains("had no room left")),
        _ => false,
    };
    assert_eq!(all.iter().filter(|(.., history)| history.iter().any(has_no_room)).count(), faulted);
}

#[test]
fn an_event_reaches_all_who_listen_however_many_they_are() {
    const LISTENERS: usize = 90;
    let hear =
        workflow("hear", "do:\n- hear: {listen: {to: {one: {with: {type: t}}}}}\n- rest: {wait: {seconds: 5}}\n");
    let mut node = Node::new(catalog(&[&hear], Vec::new()));
    for n in 0..LISTENERS {
        // Half of them where the event comes to, half elsewhere.
        node.execute(if n % 2 == 0 { 1 } else { 2 }, 0, Value::Null, None);
    }
    node.post(&large("t", "1"), Origin::Id);
    node.settle();
    node.crash();
    node.pass(6_000);
    assert_eq!(node.phases(0), [Phase::Completed; LISTENERS]);
    assert!(longest(&node) < 24 << 20, "{}", longest(&node));
}

#[test]
fn an_event_is_gathered_for_all_workflows_however_many_they_are() {
    const WORKFLOWS: u32 = 70;
    let both = "schedule: {on: {all: [{with: {type: a}}, {with: {type: b}}]}}\ndo:\n- sum: {set: {n: '${ length }'}}\n";
    let texts: Vec<String> = (0..WORKFLOWS).map(|n| workflow(&format!("w{n}"), both)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut node = Node::new(catalog(&texts, Vec::new()));
    node.post(&large("a", "1"), Origin::Id);
    node.settle();
    node.crash();
    node.post(&event("b", "2", "a", "1"), Origin::Id);
    node.settle();
    let phases: Vec<Phase> = node.executions().iter().map(|(_, _, phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Completed; WORKFLOWS as usize]);
    assert!(longest(&node) < 24 << 20, "{}", longest(&node));
}

#[test]
fn what_gathers_for_a_workflow_has_a_bound_in_bytes() {
    let both = workflow(
        "both",
        "schedule: {on: {all: [{with: {type: a}}, {with: {type: b}}]}}\ndo:\n- sum: {set: {n: '${ length }'}}\n",
    );
    let mut node = Node::new(catalog(&[&both], Vec::new()));
    for n in 0..70 {
        node.post(&large("a", &n.to_string()), Origin::Id);
        node.settle();
    }
    assert!(longest(&node) < 24 << 20, "{}", longest(&node));
    node.crash();
    // The newest are there still.
    for n in 0..3 {
        node.post(&event("b", &format!("b{n}"), "a", "1"), Origin::Id);
        node.settle();
    }
    assert_eq!(node.phases(0), [Phase::Completed; 3]);
}
