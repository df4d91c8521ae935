//! `trinity run`: one execution in this process, on the real clock, without a journal.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use trinity_actors::call::{Egress, HttpCaller};
use trinity_actors::clock::{now, until};
use trinity_engine::definition;
use trinity_engine::effect::{ExecutionEffect, HttpRequest};
use trinity_engine::error::{StandardError, WorkflowError};
use trinity_engine::event::{CloudEvent, envelope};
use trinity_engine::execution::{Execution, Outcome, RuntimeInfo, Scratch, Start, StepContext, error_value};
use trinity_engine::expression::Limits;
use trinity_engine::history::{Fact, Trigger, TriggerKind};
use trinity_engine::ids::{ActivationId, DefinitionId, ExecutionId, ShardId};
use trinity_engine::input::ExecutionInput;
use trinity_engine::plan::Plan;
use trinity_engine::value::{Map, ParseLimits, Value};
use trinity_engine::wire;

use super::{EXIT_FAULTED, EXIT_OK, EXIT_USAGE, read_text, show};

#[derive(clap::Args)]
pub struct Options {
    /// The definition, in YAML or JSON
    file: PathBuf,
    /// The input: JSON, or @FILE with JSON
    #[arg(long, default_value = "{}", value_name = "JSON|@FILE")]
    input: String,
    /// Print the history as JSON lines on stderr
    #[arg(long)]
    history: bool,
}

pub fn main(options: &Options) -> u8 {
    let Some(text) = read_text(&options.file) else { return EXIT_USAGE };
    let plan = match definition::compile(&text) {
        Ok((plan, warnings)) => {
            show(&warnings, &options.file, &text);
            plan
        }
        Err(findings) => {
            show(&findings, &options.file, &text);
            return EXIT_USAGE;
        }
    };
    let input = match read_input(&options.input) {
        Ok(input) => input,
        Err(problem) => {
            eprintln!("error: {problem}");
            return EXIT_USAGE;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return EXIT_FAULTED;
        }
    };
    match runtime.block_on(execute(plan, input, options.history)) {
        Ok(Outcome::Completed(output)) => {
            println!("{output}");
            EXIT_OK
        }
        Ok(Outcome::Faulted(error)) | Err(error) => {
            eprintln!("{}", error_value(&error));
            EXIT_FAULTED
        }
        Ok(Outcome::Cancelled) => EXIT_FAULTED,
    }
}

fn read_input(argument: &str) -> Result<Value, String> {
    let text = match argument.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{file} can't be read: {error}"))?,
        None => argument.to_owned(),
    };
    Value::parse(text.as_bytes(), &ParseLimits::default()).map_err(|error| format!("the input is not JSON: {error}"))
}

/// The secrets that the definition declares, from the environment.
fn secrets(plan: &Plan) -> Value {
    let mut found = Map::default();
    for name in &plan.secrets {
        let variable = format!("TRINITY_SECRET_{}", name.to_uppercase().replace("-", "_"));
        if let Ok(text) = std::env::var(variable) {
            let value =
                Value::parse(text.as_bytes(), &ParseLimits::default()).unwrap_or_else(|_| Value::from(text.as_str()));
            found.insert(name.clone(), value);
        }
    }
    Value::Object(found)
}

/// One execution and what it waits for.
struct Run {
    plan: Plan,
    secrets: Value,
    runtime: RuntimeInfo,
    limits: Limits,
    history: bool,
    caller: HttpCaller,
    inputs: mpsc::UnboundedSender<ExecutionInput>,
    calls: Vec<(ActivationId, AbortHandle)>,
}

async fn execute(plan: Plan, input: Value, history: bool) -> Result<Outcome, WorkflowError> {
    let (inputs, mut arrived) = mpsc::unbounded_channel();
    let mut run = Run {
        secrets: secrets(&plan),
        plan,
        runtime: RuntimeInfo { name: "trinity".into(), version: env!("CARGO_PKG_VERSION").into() },
        limits: Limits::default(),
        history,
        caller: HttpCaller::new(Egress::local())?,
        inputs,
        calls: Vec::new(),
    };
    let begun = now();
    let start = Start {
        id: ExecutionId::new(begun, ShardId(0), 0),
        definition: DefinitionId(0),
        input,
        trigger: Trigger { kind: TriggerKind::Api, event_id: None, source: None },
        parent: None,
        element_text: None,
    };
    let mut execution = run.step(|plan, cx| Execution::start(&start, plan, cx));
    loop {
        if let Some(outcome) = execution.outcome() {
            return Ok(outcome.clone());
        }
        let wake = execution.next_wake();
        if wake.is_none() && run.calls.is_empty() && arrived.is_empty() {
            let detail = "it waits for events from outside, which `trinity run` has no source of: use a server";
            return Err(WorkflowError::standard(StandardError::Configuration, detail));
        }
        let pause = wake.map_or(Duration::MAX, until);
        let input = tokio::select! {
            Some(input) = arrived.recv() => input,
            () = tokio::time::sleep(pause) => ExecutionInput::Timers,
        };
        if let ExecutionInput::Call { activation, .. } = &input {
            run.calls.retain(|(waiting, _)| waiting != activation);
        }
        execution = run.step(|plan, cx| {
            execution.apply(input, plan, cx);
            execution
        });
    }
}

impl Run {
    fn step(&mut self, advance: impl FnOnce(&Plan, &mut StepContext<'_>) -> Execution) -> Execution {
        let (mut history, mut effects, mut measurements) = (Vec::new(), Vec::new(), Vec::new());
        let mut cx = StepContext {
            now: now(),
            secrets: &self.secrets,
            runtime: &self.runtime,
            limits: &self.limits,
            history: &mut history,
            effects: &mut effects,
            measurements: &mut measurements,
            scratch: &mut Scratch::default(),
            spent: &Cell::new(0),
        };
        let execution = advance(&self.plan, &mut cx);
        if self.history {
            self.print(&history);
        }
        for effect in effects {
            self.release(effect, &execution);
        }
        execution
    }

    fn release(&mut self, effect: ExecutionEffect, execution: &Execution) {
        match effect {
            ExecutionEffect::Call { activation, attempt, request } => self.call(activation, attempt, request),
            ExecutionEffect::CancelCall { activation } => {
                self.calls.retain(|(waiting, task)| {
                    if *waiting == activation {
                        task.abort();
                    }
                    *waiting != activation
                });
            }
            ExecutionEffect::StartChild { activation, namespace, name, wait: true, .. } => {
                let detail =
                    format!("`{namespace}/{name}` is not here: `trinity run` knows one definition, use a server");
                let result = Err(WorkflowError::standard(StandardError::Configuration, detail));
                self.feed(ExecutionInput::Child { activation, result });
            }
            ExecutionEffect::StartChild { namespace, name, .. } => {
                eprintln!("warning: `{namespace}/{name}` was not started: `trinity run` knows one definition");
            }
            ExecutionEffect::Publish { event } => self.publish(event, execution),
            ExecutionEffect::Subscribe { .. }
            | ExecutionEffect::Unsubscribe { .. }
            | ExecutionEffect::CancelChild { .. } => {}
        }
    }

    /// An event that the execution emits reaches the listeners that it has itself.
    fn publish(&self, event: CloudEvent, execution: &Execution) {
        if self.history {
            eprintln!("{}", envelope(&event));
        }
        let event = std::sync::Arc::new(event);
        for effect in execution.outstanding(&self.plan) {
            if let ExecutionEffect::Subscribe { activation, .. } = effect {
                self.feed(ExecutionInput::Event { activation, event: event.clone() });
            }
        }
    }

    fn call(&mut self, activation: ActivationId, attempt: u32, request: HttpRequest) {
        let (caller, inputs) = (self.caller.clone(), self.inputs.clone());
        let task = tokio::spawn(async move {
            let result = caller.call(&request).await;
            // Nobody takes it when the execution has ended meanwhile.
            let _ = inputs.send(ExecutionInput::Call { activation, attempt, result });
        });
        self.calls.push((activation, task.abort_handle()));
    }

    fn feed(&self, input: ExecutionInput) {
        // The receiver lives as long as the loop that steps.
        let _ = self.inputs.send(input);
    }

    /// The facts as JSON lines: `{"task", "type", "time", …}`.
    fn print(&self, history: &[u8]) {
        for event in wire::history::decode(history).unwrap_or_default() {
            let mut line = Map::default();
            let task = event.task.map_or("/", |task| self.plan.task(task).reference.as_str());
            line.insert("task", Value::from(task));
            let (kind, data) = describe(event.fact);
            line.insert("type", Value::from(kind));
            line.insert("time", Value::from(event.time.to_rfc3339().as_str()));
            if let Some((name, value)) = data {
                line.insert(name, value);
            }
            eprintln!("{}", Value::Object(line));
        }
    }
}

fn describe(fact: Fact) -> (&'static str, Option<(&'static str, Value)>) {
    match fact {
        Fact::Created { input, .. } => ("created", Some(("input", input))),
        Fact::Started { iteration } => ("started", iteration.map(|index| ("iteration", Value::Int(i64::from(index))))),
        Fact::Completed { output } => ("completed", output.map(|output| ("output", output))),
        Fact::Faulted { error } => ("faulted", Some(("error", error_value(&error)))),
        Fact::Retried { attempt, .. } => ("retried", Some(("attempt", Value::Int(i64::from(attempt))))),
        Fact::Cancelled => ("cancelled", None),
        Fact::Suspended => ("suspended", None),
        Fact::Resumed => ("resumed", None),
        Fact::Waiting { until } => ("waiting", until.map(|at| ("until", Value::from(at.to_rfc3339().as_str())))),
        Fact::Skipped => ("skipped", None),
        Fact::Emitted { event } => ("emitted", Some(("event", event))),
        Fact::CorrelationStarted => ("correlationStarted", None),
        Fact::CorrelationCompleted { keys } => ("correlationCompleted", Some(("keys", keys))),
    }
}
