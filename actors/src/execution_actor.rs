//! The actor of an outside call: it makes the call and hands its end to the shard that it is linked to. Stopping it drops
//! the call; when it crashes, its shard makes an error of that for the execution's retry policy.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::Semaphore;
use trinity_engine::effect::HttpRequest;
use trinity_engine::ids::{ActivationId, ExecutionId};
use trinity_engine::input::ShardInput;

use crate::call::HttpCaller;
use crate::shard_actor::ShardMessage;

/// What all calls of a node share.
#[derive(Clone)]
pub(crate) struct Callers {
    pub http: HttpCaller,
    /// How many calls may run at once.
    pub permits: Arc<Semaphore>,
}

/// One call.
pub(crate) struct Call {
    pub execution: ExecutionId,
    pub activation: ActivationId,
    pub attempt: u32,
    pub request: HttpRequest,
}

pub(crate) struct ExecutionActor;

pub(crate) struct State {
    callers: Callers,
    shard: ActorRef<ShardMessage>,
}

impl Actor for ExecutionActor {
    type Msg = Call;
    type State = State;
    type Arguments = (Callers, ActorRef<ShardMessage>, Call);

    async fn pre_start(
        &self,
        myself: ActorRef<Call>,
        (callers, shard, call): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_message(call)?;
        Ok(State { callers, shard })
    }

    async fn handle(&self, myself: ActorRef<Call>, call: Call, state: &mut State) -> Result<(), ActorProcessingErr> {
        let Call { execution, activation, attempt, request } = call;
        let permit = state.callers.permits.acquire().await?;
        let result = state.callers.http.call(&request).await;
        drop(permit);
        let input = ShardInput::Call { execution, activation, attempt, result };
        // A shard that is gone asks for the call again when it is back.
        let _ = state.shard.send_message(ShardMessage::Input(input));
        myself.stop(None);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Call>,
        _: SupervisionEvent,
        _: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
