//! `emit`: publishing an event.

use ecow::EcoString;

use super::scope::Scope;
use super::{Execution, StepContext};
use crate::effect::ExecutionEffect;
use crate::error::{StandardError, WorkflowError};
use crate::event::{CloudEvent, envelope};
use crate::history::Fact;
use crate::ids::TaskIx;
use crate::plan::{EventTemplate, Task};
use crate::time::Timestamp;
use crate::value::Value;

impl Execution {
    /// The event of an `emit`: the author's attributes, the rest generated. Its id is the same in every replay.
    pub(super) fn emit(
        &self,
        template: &EventTemplate,
        task: &Task,
        scope: &Scope<'_>,
        input: &Value,
    ) -> Result<CloudEvent, WorkflowError> {
        let plan = scope.plan;
        let source = format!("/{}/{}/{}", plan.namespace, plan.name, plan.version);
        let mut event = CloudEvent::new(self.event_id(task), source, "");
        event.time = Some(scope.cx.now);
        for (name, template) in &template.attributes {
            let value = scope.fill(template, input)?;
            set_attribute(&mut event, name, value)?;
        }
        Ok(event)
    }

    /// Publishes `event`; gives it as data, the task's raw output.
    pub(super) fn publish(&mut self, task: TaskIx, event: CloudEvent, cx: &mut StepContext<'_>) -> Value {
        let output = envelope(&event);
        self.record(Some(task), Fact::Emitted { event: output.clone() }, cx);
        cx.effects.push(ExecutionEffect::Publish { event });
        output
    }

    /// A UUID of version 8 made of the execution and the number of its next fact.
    fn event_id(&self, task: &Task) -> EcoString {
        let mut seed = Vec::with_capacity(32);
        seed.extend_from_slice(&self.id.as_u128().to_le_bytes());
        seed.extend_from_slice(&self.facts.to_le_bytes());
        seed.extend_from_slice(task.reference.as_bytes());
        let bits = xxhash_rust::xxh3::xxh3_128(&seed);
        let bits = bits & !(0xF << 76) & !(0b11 << 62) | 0x8 << 76 | 0b10 << 62;
        crate::ids::uuid_text(bits)
    }
}

fn set_attribute(event: &mut CloudEvent, name: &EcoString, value: Value) -> Result<(), WorkflowError> {
    let wrong = |expected: &str, value: &Value| {
        let detail = format!("the event attribute `{name}` must be {expected}, got {value}");
        WorkflowError::standard(StandardError::Expression, detail)
    };
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) | Value::Bool(_) => Ok(value.to_json().into()),
        other => Err(wrong("a string", &other)),
    };
    match name.as_str() {
        "data" => event.data = Some(value),
        // An absent value leaves an optional attribute out and a generated one as it is.
        _ if matches!(value, Value::Null) => {}
        "id" => event.id = text(value)?,
        "source" => event.source = text(value)?,
        "type" => event.event_type = text(value)?,
        "subject" => event.subject = Some(text(value)?),
        "datacontenttype" => event.data_content_type = Some(text(value)?),
        "dataschema" => event.data_schema = Some(text(value)?),
        "time" => {
            let moment = value.as_str().and_then(Timestamp::parse_rfc3339);
            event.time = Some(moment.ok_or_else(|| wrong("an RFC 3339 time", &value))?);
        }
        "specversion" => {
            if value.as_str() != Some("1.0") {
                return Err(wrong("\"1.0\"", &value));
            }
        }
        _ => event.extensions.push((name.clone(), value)),
    }
    Ok(())
}
