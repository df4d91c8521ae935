//! From options to what a run needs: the workflow in its place, the ways out and back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ends::Ends;
use crate::message::{DEFINITION, Naming, WORKFLOW};
use crate::options::{Common, EndKind, EndOptions, Load};
use crate::send::Target;
use crate::send::http::{Http, Request};
use crate::send::kafka::{Kafka, ensure_topic};
use crate::send::mqtt::{Broker, Mqtt};
use crate::server::Server;

/// How often the executions to read are renewed.
const RENEWAL: Duration = Duration::from_secs(1);
/// Executions that are read in turns: some old ones and the newest.
const EXECUTIONS_MAX: usize = 4_000;

/// What a run needs.
pub(crate) struct SetUp {
    pub target: Target,
    pub ends: Ends,
    pub server: Server,
    pub workflow: String,
    pub server_version: String,
    /// What is measured, in words.
    pub measured: String,
    /// Ends with the run.
    pub helpers: JoinSet<()>,
}

/// Which addresses can't be meant.
pub(crate) fn check(load: &Load, common: &Common) -> Result<(), String> {
    Server::at(&common.server)?;
    match load {
        Load::Mqtt(load) => {
            Broker::at(&load.broker).and_then(|_| ends(&load.ends, Some(&load.broker), None).map(|_| ()))
        }
        Load::Kafka(load) => ends(&load.ends, None, Some(&load.brokers)).map(|_| ()),
        Load::Events(load) => ends(&load.ends, None, None).map(|_| ()),
        Load::Execute(_) | Load::Get(_) | Load::Settings(_) => Ok(()),
    }
}

/// Prepares a run.
pub(crate) async fn set_up(load: &Load, common: &Common, naming: &Arc<Naming>) -> Result<SetUp, String> {
    let server = Server::at(&common.server)?;
    let server_version = server.version().await?;
    if common.workflow == WORKFLOW {
        server.ensure_workflow(DEFINITION).await?;
    }
    let workflow = server.workflow(&common.workflow).await?;
    let mut helpers = JoinSet::new();
    let http = |request, connections| Target::Http(Http::new(server.clone(), request, connections, naming.clone()));
    let (target, ends, acknowledged) = match load {
        Load::Mqtt(load) => {
            let broker = Broker::at(&load.broker)?;
            let ends = ends(&load.ends, Some(&load.broker), None)?;
            (
                Target::Mqtt(Mqtt::new(broker, &load.topic, load.connections, naming.clone())),
                ends,
                "the broker's PUBACK",
            )
        }
        Load::Kafka(load) => {
            ensure_topic(&load.brokers, &load.topic, load.partitions).await?;
            let ends = ends(&load.ends, None, Some(&load.brokers))?;
            (
                Target::Kafka(Kafka::new(&load.brokers, &load.topic, load.linger, naming.clone())),
                ends,
                "Kafka's acknowledgement",
            )
        }
        Load::Events(load) => {
            let ends = ends(&load.ends, None, None)?;
            (
                http(Request::Events { batch: load.batch }, load.connections),
                ends,
                "the answer, when what it caused is durable",
            )
        }
        Load::Execute(load) => {
            let request = Request::Execute { workflow: workflow.clone(), wait: load.wait };
            (http(request, load.connections), Ends::Answer, "the answer with the execution's end")
        }
        Load::Get(load) => {
            let executions = renew(&server, &mut helpers).await?;
            (http(Request::Get { executions }, load.connections), Ends::Unseen, "the answer with the execution")
        }
        Load::Settings(_) => return Err("settings are no load".into()),
    };
    if let Ends::Kafka { brokers, topic } = &ends {
        ensure_topic(brokers, topic, 4).await?;
    }
    let measured = measured(&ends, acknowledged);
    Ok(SetUp { target, ends, server, workflow, server_version, measured, helpers })
}

fn ends(options: &EndOptions, mqtt: Option<&str>, kafka: Option<&str>) -> Result<Ends, String> {
    let missing = |what: &str| format!("--ends {what} needs --ends-broker");
    let topic = |usual: &str| options.ends_topic.clone().unwrap_or_else(|| usual.to_owned());
    Ok(match options.ends {
        EndKind::Stream => Ends::Stream,
        EndKind::Mqtt => {
            let broker = options.ends_broker.as_deref().or(mqtt).ok_or_else(|| missing("mqtt"))?;
            Ends::Mqtt { broker: Broker::at(broker)?, topic: topic("load/+/done") }
        }
        EndKind::Kafka => {
            let brokers = options.ends_broker.as_deref().or(kafka).ok_or_else(|| missing("kafka"))?;
            Ends::Kafka { brokers: brokers.to_owned(), topic: topic("load-done") }
        }
        EndKind::List => Ends::List,
        EndKind::None => Ends::Unseen,
    })
}

fn measured(ends: &Ends, acknowledged: &str) -> String {
    let way = match ends {
        Ends::Stream => "the node's event stream",
        Ends::Mqtt { .. } => "a sink over MQTT",
        Ends::Kafka { .. } => "a sink in Kafka",
        Ends::List | Ends::Answer | Ends::Unseen => {
            return format!("from when a message was due until {acknowledged}");
        }
    };
    format!("from when a message was due until the end of its execution, durable by then, was heard of through {way}")
}

/// Ids of executions to read, renewed until the helpers end.
async fn renew(server: &Server, helpers: &mut JoinSet<()>) -> Result<watch::Receiver<Arc<Vec<String>>>, String> {
    let mut known = Vec::new();
    server
        .executions(&[], |page| {
            known.extend(page.into_iter().map(|execution| execution.id));
            known.len() < EXECUTIONS_MAX
        })
        .await?;
    if known.is_empty() {
        return Err(
            "the server has no executions to read: make some first, for example with trinity load execute".into()
        );
    }
    let (tell, executions) = watch::channel(Arc::new(known.clone()));
    let server = server.clone();
    helpers.spawn(async move {
        let mut at = 0;
        loop {
            tokio::time::sleep(RENEWAL).await;
            let fresh = server.newest(100).await;
            for execution in fresh.unwrap_or_default() {
                if known.len() < EXECUTIONS_MAX {
                    known.push(execution.id);
                } else {
                    known[at % EXECUTIONS_MAX] = execution.id;
                }
                at += 1;
            }
            tell.send_replace(Arc::new(known.clone()));
        }
    });
    Ok(executions)
}
