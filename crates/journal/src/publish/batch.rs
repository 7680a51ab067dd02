//! Many events as one atomic batch of JetStream.

use async_nats::HeaderMap;

use super::send::{self, Ack};
use super::{Entry, Failure, Published};
use crate::journal::Shared;
use crate::link::ConnectionId;

const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// What became of a batch.
enum Outcome {
    /// All of it is stored, in order, from this number on.
    Stored { first: u64 },
    /// It was refused, for a reason that may be that of one event only: each goes alone now. That none of it is stored is
    /// certain unless `maybe_stored`.
    Refused { reason: String, maybe_stored: bool },
    /// Nobody knows: each is asked for alone, later.
    Failed(Failure),
}

/// Publishes events together and ends their attempts. Returns those that must now be published one by one: none if the
/// batch is stored, and none while the connection is down.
pub(super) async fn publish(shared: &Shared, mut entries: Vec<Entry>) -> Vec<Entry> {
    match store(shared, &entries).await {
        Outcome::Stored { first } => {
            for (n, entry) in (first..).zip(entries) {
                entry.acknowledged(shared, Published { n, duplicate: false });
            }
            Vec::new()
        }
        Outcome::Refused { reason, maybe_stored } => {
            tracing::debug!("publishing {} events one by one, as a batch was refused: {reason}", entries.len());
            for entry in &mut entries {
                entry.maybe_stored |= maybe_stored;
            }
            entries
        }
        Outcome::Failed(failure) => {
            for entry in entries {
                entry.end(Err(failure.clone()));
            }
            Vec::new()
        }
    }
}

async fn store(shared: &Shared, entries: &[Entry]) -> Outcome {
    let Some((last, staged)) = entries.split_last() else { return not_sent("it is empty".to_owned()) };
    let inbox = shared.link.client.new_inbox();
    let id = inbox.rsplit('.').next().unwrap_or_default();
    if let Err(outcome) = stage(shared, staged, id).await {
        return outcome;
    }
    let mut headers = headers(last, id, entries.len());
    headers.insert(BATCH_COMMIT, "1");
    // From here on the server may have stored the batch, whatever happens.
    let answer = send::request(shared, &last.message, headers).await;
    let connection = shared.link.current();
    match answer.and_then(|answer| send::parse(&answer.payload)) {
        Ok(Ack { error: Some(error), .. }) => {
            let maybe_stored = matches!(send::refusal(&error), Failure::Unknown(_));
            Outcome::Refused { reason: error.to_string(), maybe_stored }
        }
        Ok(ack) => committed(shared, &ack, connection, id, entries.len() as u64).await,
        Err(failure) => Outcome::Failed(unknown(failure)),
    }
}

/// Sends all but the last event. Nothing is stored by that. The first answer says whether the server takes the batch.
async fn stage(shared: &Shared, staged: &[Entry], id: &str) -> Result<(), Outcome> {
    for (index, entry) in staged.iter().enumerate() {
        let headers = headers(entry, id, index + 1);
        if index > 0 {
            let (subject, payload) = (entry.message.subject.clone(), entry.message.payload.clone());
            let sent = shared.link.client.publish_with_headers(subject, headers, payload).await;
            sent.map_err(|error| not_sent(error.to_string()))?;
            continue;
        }
        let answer = send::request(shared, &entry.message, headers).await.map_err(|failure| match failure {
            Failure::Unknown(reason) | Failure::NotStored(reason) => Outcome::Failed(Failure::NotStored(reason)),
            Failure::Final(error) => not_sent(error.to_string()),
        })?;
        if !answer.payload.is_empty() {
            return Err(not_sent(String::from_utf8_lossy(&answer.payload).into_owned()));
        }
    }
    Ok(())
}

/// The commit never left.
fn not_sent(reason: String) -> Outcome {
    Outcome::Refused { reason, maybe_stored: false }
}

async fn committed(shared: &Shared, ack: &Ack, came_on: Option<ConnectionId>, id: &str, count: u64) -> Outcome {
    let whole = ack.batch.as_deref() == Some(id) && ack.count == Some(count) && ack.n >= count;
    if !whole {
        return Outcome::Failed(Failure::Unknown(format!("the answer to a batch of {count} is not one: {ack:?}")));
    }
    if let Err(failure) = send::from_own_stream(shared, ack) {
        return Outcome::Failed(failure);
    }
    match send::approved(shared, came_on).await {
        Ok(()) => Outcome::Stored { first: ack.n - count + 1 },
        Err(failure) => Outcome::Failed(failure),
    }
}

fn headers(entry: &Entry, id: &str, sequence: usize) -> HeaderMap {
    let mut headers = send::headers(&entry.message);
    headers.insert(BATCH_ID, id);
    headers.insert(BATCH_SEQUENCE, sequence.to_string());
    headers
}

/// What fails after the commit was sent says nothing about whether it arrived; but no responders means that it did not.
fn unknown(failure: Failure) -> Failure {
    match failure {
        Failure::Final(error) => Failure::Unknown(error.to_string()),
        other => other,
    }
}
