//! Events, and how they are written: CloudEvents 1.0, structured JSON.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use crate::{Actor, EventId, Fact, Fingerprint, Kind, RequestId};

/// CloudEvents' `specversion`.
pub const SPEC_VERSION: &str = "1.0";

/// The highest number of decision rules that this program knows; the fold keeps every number ever used. What an event
/// carries is [`Fact::rules`].
pub const RULES: u32 = 2;

/// One change, complete in itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id, also the `Nats-Msg-Id`.
    pub id: EventId,
    /// Who published it, such as `/highwater/gateway`.
    pub source: String,
    /// When, by the publisher's clock; never orders anything.
    pub time: OffsetDateTime,
    /// Who asked for the change.
    pub actor: Actor,
    /// The client's own id of the request, when it gave one.
    pub request_id: Option<RequestId>,
    /// Digest of the request, to tell a repeated request from another one with the same id.
    pub fingerprint: Option<Fingerprint>,
    /// Under which decision rules the fold decides it.
    pub rules: u32,
    /// What happened.
    pub fact: Fact,
}

/// Why bytes of the journal are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A later version of the program wrote it: whoever folds must halt, since skipping it would decide all after it
    /// wrongly.
    #[error("event {id} has the type {event_type:?}, which this program ({version}) does not know; a newer one is needed", version = env!("CARGO_PKG_VERSION"))]
    UnknownType {
        /// The event's id, as written.
        id: String,
        /// Its CloudEvents type.
        event_type: String,
    },
    /// It asks for decision rules of a later version: as above.
    #[error("event {id} asks for the decision rules {rules}, this program ({version}) knows them up to {RULES}; a newer one is needed", version = env!("CARGO_PKG_VERSION"))]
    UnknownRules {
        /// The event's id.
        id: String,
        /// The number it carries.
        rules: u32,
    },
    /// No version can ever decode it: it gets the outcome `rejected: undecodable`.
    #[error("the bytes are not an event: {reason}")]
    Undecodable {
        /// What the decoder said.
        reason: String,
    },
}

/// The envelope as written; `data` stays raw until the type is known.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    specversion: &'a str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    datacontenttype: &'a str,
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requestid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    rules: u32,
    #[serde(borrow)]
    data: &'a RawValue,
}

// === impl Event ===

impl Event {
    /// One that nobody asked for: the system itself says what it knows.
    pub fn of_system(id: EventId, source: &str, time: OffsetDateTime, fact: Fact) -> Self {
        Self {
            id,
            source: source.to_owned(),
            time,
            actor: Actor::system(),
            request_id: None,
            fingerprint: None,
            rules: fact.rules(),
            fact,
        }
    }

    /// Writes the event as CloudEvents structured JSON.
    pub fn encode(&self) -> Vec<u8> {
        let data = self.fact.to_raw().expect("facts hold only strings, numbers and lists, which JSON can write");
        let envelope = Envelope {
            specversion: SPEC_VERSION,
            id: &self.id.to_string(),
            source: self.source.clone(),
            event_type: self.fact.kind().cloud_event_type().to_owned(),
            subject: self.fact.about(),
            time: self.time,
            datacontenttype: "application/json",
            actor: self.actor.to_string(),
            requestid: self.request_id.as_ref().map(ToString::to_string),
            fingerprint: self.fingerprint.as_ref().map(ToString::to_string),
            rules: self.rules,
            data: &data,
        };
        serde_json::to_vec(&envelope).expect("the envelope holds only strings, a number and JSON")
    }

    /// Reads what [`Self::encode`] of this or any earlier version wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let head: Head<'_> = serde_json::from_slice(bytes).map_err(undecodable)?;
        if head.specversion != SPEC_VERSION {
            return Err(undecodable(format!("CloudEvents version {:?} is not {SPEC_VERSION}", head.specversion)));
        }
        let Some(kind) = Kind::of_type(&head.event_type) else {
            let id = head.id.into_owned();
            return Err(DecodeError::UnknownType { id, event_type: head.event_type.into_owned() });
        };
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(undecodable)?;
        if envelope.rules > RULES {
            return Err(DecodeError::UnknownRules { id: envelope.id.to_owned(), rules: envelope.rules });
        }
        let fact = Fact::from_raw(kind, envelope.data).map_err(undecodable)?;
        Ok(Self {
            id: envelope.id.parse().map_err(undecodable)?,
            source: envelope.source,
            time: envelope.time,
            actor: envelope.actor.parse().map_err(undecodable)?,
            request_id: envelope.requestid.map(|id| id.parse()).transpose().map_err(undecodable)?,
            fingerprint: envelope.fingerprint.map(|text| text.parse()).transpose().map_err(undecodable)?,
            rules: envelope.rules,
            fact,
        })
    }
}

/// What is read first: enough to know whether this program can read the rest.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    specversion: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    event_type: std::borrow::Cow<'a, str>,
}

#[expect(clippy::needless_pass_by_value, reason = "written to be named in map_err")]
fn undecodable(reason: impl ToString) -> DecodeError {
    DecodeError::Undecodable { reason: reason.to_string() }
}
