//! The calls about what happened: following it, and undoing it.

use proto::{Incarnation, Sequence, v1};

use super::Service;
use crate::error::Result;
use crate::files::request;
use crate::files::{Told, Undo, Watched};
use crate::grpc::answer::{Messages, told};
use crate::grpc::convert;

impl Service {
    pub(super) async fn watch(&self, asked: v1::WatchRequest) -> Result<Messages<v1::WatchResponse>> {
        let space = match asked.space_id.as_str() {
            "" => Watched::Name(request::space(&asked.space)?),
            id => Watched::Id(request::space_id(id)?),
        };
        let from = request::min_sequence(&asked.from_sequence)?;
        let following = self.files.follow(space, from, asked.once).await?;
        let incarnation = self.files.incarnation()?;
        let work = |sender| async move { following.run(&sender).await };
        Ok(told(&self.files, "gateway.follow", work, move |told| message(told, incarnation)))
    }

    pub(super) async fn undo(&self, asked: v1::UndoRequest) -> Result<v1::UndoResponse> {
        let wanted = Undo {
            space: request::space(&asked.space)?,
            of: request::actor(&asked.of_actor)?,
            from: request::sequence(&asked.from_sequence)?,
            to: request::sequence(&asked.to_sequence)?,
            dry_run: asked.dry_run,
            at_least: request::min_sequence(&asked.min_sequence)?,
        };
        let author = request::author(&asked.actor, &asked.request_id)?;
        let steps = self.files.undo(&wanted, &author).await?;
        let incarnation = self.files.incarnation()?;
        let steps = steps.into_iter().map(|step| v1::UndoStep {
            change: Some(convert::change(&step.change, incarnation)),
            action: step.action,
            undone: step.undone,
            receipt: step.receipt.map(convert::receipt),
        });
        Ok(v1::UndoResponse { steps: steps.collect() })
    }
}

fn message(told: Told, incarnation: Incarnation) -> v1::WatchResponse {
    use v1::watch_response::Payload;
    let payload = match told {
        Told::Change(change) => Payload::Change(convert::change(&change, incarnation)),
        // 0 too: who begins at the very first sequence gets it back.
        Told::UpTo(n) => Payload::UpToSequence(Sequence { incarnation, n }.to_string()),
    };
    v1::WatchResponse { payload: Some(payload) }
}
