//! The check for live executions that nothing would move: each thing is taken away behind the shard's back.

use super::*;
use crate::shard::live::write_tail;

const WAIT: &str = "do:\n- rest: {wait: PT1H}\n";
const HEAR: &str = "
do:
- hear:
    listen:
      to: {one: {with: {type: answer}, correlate: {order: {from: .data.order, expect: '${ .order }'}}}}
";
const CALL: &str = "do:\n- ask: {call: http, with: {method: get, endpoint: 'http://callee.test/'}}\n";
const PARENT: &str = "do:\n- sub: {run: {workflow: {namespace: test, name: wait, version: latest}}}\n";

/// A node with one execution of a definition, which waits.
fn waiting(definition: u32) -> (Node, ExecutionId) {
    let texts = [workflow("wait", WAIT), workflow("hear", HEAR), workflow("call", CALL), workflow("parent", PARENT)];
    let mut node = Node::new(catalog(&texts.each_ref().map(String::as_str), Vec::new()));
    node.settle();
    let id = node.execute(1, definition, json(r#"{"order": 7}"#), None);
    node.check();
    assert_eq!(node.lost, [], "nothing is missing");
    (node, id)
}

impl Node {
    fn shard_of(&mut self, id: ExecutionId) -> &mut Shard {
        &mut self.shards[usize::from(id.shard().0)]
    }

    fn state_of(&mut self, id: ExecutionId) -> execution::Execution {
        self.shard_of(id).live.get(id).expect("live").execution().expect("readable")
    }

    /// Checks twice: the first finds this, the second nothing, for it was mended.
    fn finds(&mut self, id: ExecutionId, what: LostWakeUp) {
        self.check();
        assert_eq!(self.lost, [(id, what)]);
        self.check();
        assert_eq!(self.lost.len(), 1, "mended: {:?}", self.lost);
    }
}

#[test]
fn a_timer_is_set_again() {
    let (mut node, id) = waiting(0);
    let wake = node.state_of(id).next_wake();
    node.shard_of(id).timers.change(id, wake, None);
    node.finds(id, LostWakeUp::Timer);
    node.pass(3_600_000);
    assert_eq!(node.phases(0), [Phase::Completed]);
}

#[test]
fn a_subscription_is_made_again_wherever_it_lives() {
    let (mut node, id) = waiting(1);
    for shard in &mut node.shards {
        shard.subscriptions = subscriptions::Subscriptions::default();
    }
    node.finds(id, LostWakeUp::Subscription);
    node.post(&event("answer", "a1", "x", r#"{"order": 7}"#), Origin::Id);
    node.settle();
    assert_eq!(node.phases(1), [Phase::Completed]);
}

#[test]
fn a_call_that_nobody_makes_is_found() {
    let (mut node, id) = waiting(2);
    let call = node.calls.pop().expect("a call");
    node.check();
    assert_eq!(node.lost, [(id, LostWakeUp::Call)]);
    let again = node.shards[1].call_again(id, call.1, call.2);
    assert!(matches!(again, Some(ShardEffect::Call { request, .. }) if request == call.3));
    assert_eq!(node.shards[1].call_again(id, call.1, call.2 + 1), None, "another attempt is not waited for");
}

/// The check asks whether a call runs, and while that is made durable the execution is suspended and its answer comes.
#[test]
fn a_call_whose_answer_a_suspended_execution_holds_is_not_made_again() {
    let (mut node, id) = waiting(2);
    let call = node.calls[0].clone();
    node.control(id, Control::Suspend);
    node.answer("{}");
    assert_eq!(node.shards[1].call_again(id, call.1, call.2), None);
    node.control(id, Control::Resume);
    assert_eq!((node.phases(2), node.lost.len()), (vec![Phase::Completed], 0));
}

#[test]
fn a_child_that_is_gone_faults_its_parent() {
    let (mut node, id) = waiting(3);
    let children: Vec<ExecutionId> =
        node.shard_of(id).live.iter().map(|(id, _)| id).filter(|other| *other != id).collect();
    let [child] = children[..] else { panic!("one child") };
    let wake = node.shard_of(id).live.remove(child);
    node.shard_of(id).timers.change(child, wake, None);
    node.finds(id, LostWakeUp::Child);
    assert_eq!(node.phases(3), [Phase::Faulted]);
}

#[test]
fn the_start_of_a_child_is_ordered_again() {
    let (mut node, _) = waiting(0);
    node.ask(1, 3, json("{}"), None, ReplyToken(99));
    node.step(1);
    // The order is on its way: nothing is missing.
    node.mail[1].push_front(ShardInput::Check { executions: 10 });
    let order = node.mail[1].pop_back();
    node.step(1);
    assert!(matches!(order, Some(ShardInput::Peer { .. })) && node.lost.is_empty());
    node.shards[1].outbox.trim(ShardId(1), u64::MAX);
    node.check();
    assert!(matches!(node.lost[..], [(_, LostWakeUp::Child)]), "{:?}", node.lost);
}

#[test]
fn what_waits_for_nothing_is_faulted() {
    let (mut node, id) = waiting(0);
    let mut execution = node.state_of(id);
    let wake = execution.next_wake();
    let task = execution.activations()[0].id;
    execution.remove_activation(task);
    let mut tail = Vec::new();
    write_tail(&mut tail, &execution);
    let shard = node.shard_of(id);
    shard.live.insert(id, DefinitionId(0), &tail).expect("readable");
    shard.timers.change(id, wake, None);
    node.finds(id, LostWakeUp::Everything);
    assert_eq!(node.phases(0), [Phase::Faulted]);
}

#[test]
fn a_state_that_cannot_be_read_and_a_definition_that_is_gone_are_reported_each_time() {
    let (mut node, id) = waiting(0);
    node.shard_of(id).live.insert(id, DefinitionId(9), &[0, 0, 1, 99]).expect("a tail");
    node.check();
    node.check();
    assert_eq!(node.lost, [(id, LostWakeUp::State); 2]);
    let (mut node, id) = waiting(0);
    let other = catalog(&[], Vec::new());
    node.mail[1].push_back(ShardInput::Catalog(other));
    node.check();
    node.check();
    assert_eq!(node.lost, [(id, LostWakeUp::Definition); 2]);
}

#[test]
fn the_suspended_are_left_alone_and_all_have_their_turn() {
    let (mut node, id) = waiting(0);
    node.control(id, Control::Suspend);
    let mut lost = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let id = node.execute(1, 0, json("{}"), None);
        let wake = node.state_of(id).next_wake();
        node.shard_of(id).timers.change(id, wake, None);
        lost.insert((id, LostWakeUp::Timer));
    }
    for _ in 0..4 {
        node.mail[1].push_back(ShardInput::Check { executions: 3 });
        node.settle();
    }
    assert_eq!(node.lost.iter().copied().collect::<std::collections::BTreeSet<_>>(), lost);
}
