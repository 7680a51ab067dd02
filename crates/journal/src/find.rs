//! Single events by what they are.

use async_nats::jetstream;
use async_nats::jetstream::stream::RawMessageErrorKind;
use proto::{Kind, Recorded};

use crate::error::Error;
use crate::journal::Journal;
use crate::link::{MESSAGE_ID, header, with_sources};

impl Journal {
    /// The first event of a kind at `from` or after, as the stream's leader has it. Large uploads have a subject of their
    /// own and are not found.
    pub async fn next_of(&self, kind: Kind, from: u64) -> Result<Option<Recorded>, Error> {
        let shared = self.shared();
        let subject = format!("hw.v1.{}", kind.subject_token());
        let what = || format!("look for events with the subject {subject}");
        let context = jetstream::new(shared.link.client.clone());
        let stream = context.get_stream_no_info(&shared.config.stream).await;
        let stream = stream.map_err(|error| Error::unavailable(what(), &with_sources(&error)))?;
        match stream.get_first_raw_message_by_subject(&subject, from.max(1)).await {
            Ok(message) => Ok(Some(Recorded {
                n: message.sequence,
                subject: message.subject.to_string(),
                message_id: header(Some(&message.headers), MESSAGE_ID),
                payload: message.payload,
            })),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(Error::unavailable(what(), &with_sources(&error))),
        }
    }

    /// Stops all writes for good: somebody has proof that this is not the journal it was.
    pub fn report_diverged(&self, reason: impl Into<String>) {
        self.shared().guard.diverge(&reason.into());
    }
}
