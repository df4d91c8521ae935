//! The live executions of a shard, as bytes: one that waits costs what its state needs and nothing more.

use rustc_hash::FxHashMap;

use crate::execution::Execution;
use crate::ids::{DefinitionId, ExecutionId};
use crate::time::Timestamp;
use crate::wire::codec::{CodecError, Reader, Writer};

/// A live execution between its steps.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Live {
    pub definition: DefinitionId,
    /// When its timers are next due.
    pub wake: Option<Timestamp>,
    /// Whether something outside was asked for that must be asked for again after a crash.
    pub asks: bool,
    /// As [`Execution::encode`] writes it.
    pub state: Box<[u8]>,
}

impl Live {
    /// The stored form: the tail of its record, and a part of snapshots. What recovery needs of every execution stands
    /// in front, so that it need not read the state of those that only wait for a moment.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut w = Writer { out };
        w.option(self.wake, Writer::time);
        w.u8(u8::from(self.asks));
        w.out.extend_from_slice(&self.state);
    }

    pub fn read(definition: DefinitionId, bytes: &[u8]) -> Result<Live, CodecError> {
        let mut r = Reader::new(bytes);
        let (wake, asks) = (r.option(Reader::time)?, r.u8()? != 0);
        Ok(Live { definition, wake, asks, state: r.rest().into() })
    }

    pub fn execution(&self) -> Result<Execution, CodecError> {
        Execution::decode(&self.state)
    }
}

/// By id.
pub(super) type LiveTable = FxHashMap<ExecutionId, Live>;
