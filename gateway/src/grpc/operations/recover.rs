//! Recovering as a stream of messages.

use proto::v1;

use crate::error::Result;
use crate::files::{Fate, Files, Recover, Recovered, RecoveredCounts, Recovery, request};
use crate::grpc::answer::{Messages, told};
use crate::grpc::convert;

/// Recovers, and tells of it until it is done or the client is gone.
pub(super) fn messages(files: &Files, asked: &v1::RecoverRequest) -> Result<Messages<v1::RecoverResponse>> {
    // Before the journal is known there is nothing to compare: said at once, not in the stream.
    files.incarnation()?;
    let asked = Recover {
        blob_ids: asked.blob_ids.iter().map(|id| request::blob_id(id)).collect::<Result<_>>()?,
        is_done: asked.recover,
        nodes: asked.nodes.iter().map(|node| request::node(node)).collect::<Result<_>>()?,
        actor: request::actor(&asked.actor)?,
    };
    let recovering = files.clone();
    let work = |sender| async move { recovering.recover(&asked, &sender).await };
    Ok(told(files, "gateway.recover", work, message))
}

fn message(said: Recovery) -> v1::RecoverResponse {
    use v1::recover_response::Message;
    let message = match said {
        Recovery::Progress(RecoveredCounts { objects, bytes, .. }) => {
            Message::Progress(v1::RecoverProgress { objects, bytes })
        }
        Recovery::Blob(recovered) => Message::Blob(blob(recovered)),
        Recovery::Summary(sequence, counts) => Message::Summary(v1::RecoverSummary {
            sequence: sequence.to_string(),
            objects: counts.objects,
            offered: counts.offered,
            recovered: counts.recovered,
            erased: counts.erased,
            refused: counts.refused,
            left_out: counts.left_out,
        }),
    };
    v1::RecoverResponse { message: Some(message) }
}

fn blob(recovered: Recovered) -> v1::RecoveredBlob {
    let Recovered { blob_id, size_bytes, nodes, place, fate } = recovered;
    let (space, path) = place.map(|(space, path)| (space.to_string(), path.to_string())).unwrap_or_default();
    let told = v1::RecoveredBlob {
        blob_id: blob_id.to_string(),
        size_bytes,
        uploaded_at: blob_id.began_at().map(convert::timestamp),
        nodes: nodes.iter().map(ToString::to_string).collect(),
        space,
        path,
        ..v1::RecoveredBlob::default()
    };
    match fate {
        Fate::Offered => v1::RecoveredBlob { state: v1::RecoverState::Offered.into(), ..told },
        Fate::Recovered(version_id, sequence) => v1::RecoveredBlob {
            state: v1::RecoverState::Recovered.into(),
            version_id: version_id.map(|id| id.to_string()).unwrap_or_default(),
            sequence: sequence.to_string(),
            ..told
        },
        Fate::Erased(sequence) => {
            v1::RecoveredBlob { state: v1::RecoverState::Erased.into(), sequence: sequence.to_string(), ..told }
        }
        Fate::Refused(reason, detail) => {
            v1::RecoveredBlob { state: v1::RecoverState::Refused.into(), reason: reason.to_owned(), detail, ..told }
        }
    }
}
