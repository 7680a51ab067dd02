//! How far the filling of nodes has come that joined or were found wiped, as their replicators say.

use std::time::Duration;

use journal::{Journal, Refill};
use proto::NodeId;
use tracing::debug;

/// The filling of a node that is under way; none too while that cannot be asked. It is a comfort: no answer waits for it.
pub(crate) async fn under_way(journal: &Journal, node: &NodeId) -> Option<Refill> {
    let told = journal.refill(node).await;
    let told =
        told.inspect_err(|error| debug!(node.id = %node, "how {node} is filled is not known: {error}")).ok()??;
    (!told.refill.done).then_some(told.refill)
}

/// The catching up of a node with the one that brought a blob, if it is to do what event `n` asks for; as above.
pub(super) async fn catching_up(journal: &Journal, node: &NodeId, origin: &NodeId, n: u64) -> Option<Refill> {
    let told = journal.catching_up(node, origin).await;
    let told = told
        .inspect_err(|error| debug!(node.id = %node, "how {node} catches up with {origin} is not known: {error}"))
        .ok()??;
    (!told.refill.done && told.refill.covers(n)).then_some(told.refill)
}

/// How long it takes until a filling is done, if it goes on as it did; none before that can be told.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(crate) fn eta(refill: &Refill) -> Option<Duration> {
    let left = refill.until.saturating_sub(refill.position);
    let took: Duration = (refill.updated_at - refill.started_at).try_into().ok()?;
    if refill.position == 0 || took.is_zero() {
        return None;
    }
    Duration::try_from_secs_f64(took.as_secs_f64() * (left as f64 / refill.position as f64)).ok()
}

#[cfg(test)]
mod tests {
    use proto::MarkerId;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_filling_tells_how_long_it_takes() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let refill = Refill {
            position: 250,
            updated_at: start + Duration::from_secs(10),
            ..Refill::new(1000, MarkerId::new(Uuid::nil()), start)
        };
        assert_eq!(eta(&refill), Some(Duration::from_secs(30)));
        assert_eq!(eta(&Refill { position: 0, ..refill.clone() }), None);
        assert_eq!(eta(&Refill { position: 1000, ..refill }), Some(Duration::ZERO));
    }
}
