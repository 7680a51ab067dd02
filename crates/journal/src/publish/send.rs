//! One event alone, and what the server's answers mean.

use async_nats::{HeaderMap, Request, RequestErrorKind};
use runtime::trace::TRACEPARENT;
use serde::Deserialize;

use super::{Entry, Failure, Message, Published};
use crate::error::PublishError;
use crate::journal::Shared;
use crate::link::{ApiError, ConnectionId, MESSAGE_ID, with_sources};

/// The server's error codes for a stream or an account that can hold no more.
const STORAGE_EXCEEDED: [u64; 2] = [10047, 10002];
/// What the server says, under the code of any failure to store, when the stream has reached its size.
const FULL: &str = "maximum bytes exceeded";
/// The server's error code for an id that it is storing at this moment.
const IN_PROCESS: u64 = 10158;

/// What the server answers to a publish.
#[derive(Debug, Deserialize)]
pub(super) struct Ack {
    #[serde(default)]
    pub(super) stream: String,
    #[serde(default, rename = "seq")]
    pub(super) n: u64,
    #[serde(default)]
    pub(super) duplicate: bool,
    #[serde(default)]
    pub(super) batch: Option<String>,
    #[serde(default)]
    pub(super) count: Option<u64>,
    #[serde(default)]
    pub(super) error: Option<ApiError>,
}

/// Publishes one event and ends its attempt.
pub(super) async fn publish(shared: &Shared, entry: Entry) {
    match stored(shared, &entry.message).await {
        Ok(published) => entry.acknowledged(shared, published),
        Err(failure) => entry.end(Err(failure)),
    }
}

async fn stored(shared: &Shared, message: &Message) -> Result<Published, Failure> {
    let answer = request(shared, message, headers(message)).await?;
    let connection = shared.link.current();
    let ack = parse(&answer.payload)?;
    if let Some(error) = &ack.error {
        return Err(refusal(error));
    }
    from_own_stream(shared, &ack)?;
    approved(shared, connection).await?;
    Ok(Published { n: ack.n, duplicate: ack.duplicate })
}

/// Sends a message and waits for the answer; gives up early when the connection is made anew, since the answer would
/// have come on the old one.
pub(super) async fn request(
    shared: &Shared,
    message: &Message,
    headers: HeaderMap,
) -> Result<async_nats::Message, Failure> {
    let mut connections = shared.link.connections.clone();
    connections.borrow_and_update();
    let request =
        Request::new().headers(headers).payload(message.payload.clone()).timeout(Some(shared.config.publish_timeout));
    let answer = tokio::select! {
        biased;
        answer = shared.link.client.send_request(message.subject.clone(), request) => answer,
        _ = connections.changed() => return Err(Failure::Unknown("the connection to NATS was lost meanwhile".to_owned())),
    };
    answer.map_err(|error| {
        let reason = with_sources(&error);
        match error.kind() {
            RequestErrorKind::TimedOut | RequestErrorKind::Other => Failure::Unknown(reason),
            RequestErrorKind::NoResponders => Failure::NotStored("no stream takes the subject".to_owned()),
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                Failure::Final(PublishError::Rejected { reason })
            }
        }
    })
}

/// The headers of an event.
pub(super) fn headers(message: &Message) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, message.id.as_str());
    if let Some(trace) = message.trace {
        headers.insert(TRACEPARENT, trace.to_string());
    }
    headers
}

pub(super) fn parse(payload: &[u8]) -> Result<Ack, Failure> {
    serde_json::from_slice(payload).map_err(|error| Failure::Unknown(format!("the answer cannot be read: {error}")))
}

/// An acknowledgement counts only if the checks hold for the connection that it came on.
pub(super) async fn approved(shared: &Shared, came_on: Option<ConnectionId>) -> Result<(), Failure> {
    match shared.approved(shared.config.publish_timeout).await {
        Ok(connection) if Some(&connection) == came_on.as_ref() => Ok(()),
        Ok(_) => Err(Failure::Unknown("the connection to NATS was lost meanwhile".to_owned())),
        Err(refusal) => Err(match Failure::from(refusal) {
            Failure::NotStored(reason) => Failure::Unknown(reason),
            other => other,
        }),
    }
}

pub(super) fn from_own_stream(shared: &Shared, ack: &Ack) -> Result<(), Failure> {
    let name = &shared.config.stream;
    if ack.stream == *name && ack.n > 0 {
        return Ok(());
    }
    let reason = format!("the subjects of the journal go to the stream {:?} instead of {name:?}", ack.stream);
    Err(Failure::Final(PublishError::Unsafe { reason }))
}

/// What a no of the server means.
pub(super) fn refusal(error: &ApiError) -> Failure {
    let (reason, code) = (error.to_string(), error.error_code().0);
    if STORAGE_EXCEEDED.contains(&code) || reason.contains(FULL) {
        Failure::Final(PublishError::Full { reason })
    } else if error.code() >= 500 || error.code() == 429 || code == IN_PROCESS {
        Failure::Unknown(reason)
    } else {
        Failure::Final(PublishError::Rejected { reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: usize, err_code: u64, description: &str) -> Failure {
        let json = serde_json::json!({ "code": code, "err_code": err_code, "description": description });
        refusal(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn answers_of_the_server_are_told_apart() {
        assert!(matches!(refused(503, 10077, "maximum bytes exceeded"), Failure::Final(PublishError::Full { .. })));
        assert!(matches!(refused(500, 10047, "insufficient storage"), Failure::Final(PublishError::Full { .. })));
        assert!(matches!(refused(409, 10158, "duplicate message id is in process"), Failure::Unknown(_)));
        assert!(matches!(refused(503, 10008, "temporarily unavailable"), Failure::Unknown(_)));
        assert!(matches!(refused(503, 10077, "input/output error"), Failure::Unknown(_)));
        assert!(matches!(refused(400, 10054, "message size exceeds"), Failure::Final(PublishError::Rejected { .. })));
    }
}
