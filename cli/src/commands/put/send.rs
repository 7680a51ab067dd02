//! Storing a file in one call.

use std::sync::Arc;
use std::time::Duration;

use proto::Sha256Digest;
use proto::v1::{Outcome, Receipt, UploadMetadata};
use tonic::{Code, Response, Status};

use super::{Job, Stored};
use crate::client::Client;
use crate::commands::again::again;
use crate::commands::{Context, change};
use crate::exit::{Exit, Failure, Sought};
use crate::progress::Progress;
use crate::source::{Content, Reading, Source};

/// Sends until there is an answer. The request id makes it the same request each time, which is stored at most once.
pub(super) async fn send_again(
    context: &Context,
    client: &Client,
    metadata: UploadMetadata,
    job: &Job,
    retry_for: Duration,
) -> Result<Stored, Failure> {
    again(context, retry_for, || send(context, client, metadata.clone(), job)).await
}

/// Sends once.
pub(super) async fn send(
    context: &Context,
    client: &Client,
    metadata: UploadMetadata,
    job: &Job,
) -> Result<Stored, Failure> {
    let progress = progress(context, "sending", job, metadata.size_bytes);
    let (messages, reading) = job.source.messages(metadata, Arc::clone(&progress));
    let mut files = client.files.clone();
    let answer = answered(&job.source, files.upload(messages), reading, Sought::Folder).await;
    progress.end();
    let (answer, read) = answer?;
    let receipt = answer.receipt.ok_or_else(change::without_receipt)?;
    if let Some(read) = read {
        check(&receipt, read)?;
    }
    Ok(Stored { receipt, instant: answer.instant })
}

/// Waits for the answer to a call whose messages are being read, and for how the reading ended if it did.
pub(super) async fn answered<A, T>(
    source: &Source,
    call: impl Future<Output = Result<Response<A>, Status>>,
    mut reading: Reading<T>,
    sought: Sought,
) -> Result<(A, Option<T>), Failure> {
    let mut call = std::pin::pin!(call);
    let (answer, read) = tokio::select! {
        // A refusal, a repeated request, or known content: answered before all is read.
        answer = &mut call => (answer, None),
        end = &mut reading.end => match end {
            Ok(Ok(whole)) => {
                // When the call has failed nobody takes this, and the answer says why.
                let _ = reading.finish.send(());
                (call.await, Some(whole))
            }
            Ok(Err(error)) => return Err(source.unreadable(&error)),
            Err(_) => (call.await, None),
        },
    };
    let answer = answer.map_err(|status| Failure::from_status(&status, sought))?.into_inner();
    Ok((answer, read))
}

/// What is stored must be what was read. What was rejected is not stored.
pub(super) fn check(receipt: &Receipt, read: Content) -> Result<(), Failure> {
    let stored = Sha256Digest::try_from(&receipt.sha256[..]);
    let is_same = stored.is_ok_and(|stored| stored == read.sha256) && receipt.size_bytes == read.size_bytes;
    if is_same || receipt.outcome == i32::from(Outcome::Rejected) {
        return Ok(());
    }
    let (path, event_id, sequence) = (&receipt.path, &receipt.event_id, &receipt.sequence);
    let (sent, stored) = (read.sha256, hex::encode(&receipt.sha256));
    let message = format!(
        "{path} was stored with other bytes than were read: SHA-256 {stored} instead of {sent} (event {event_id} at \
         {sequence})"
    );
    Err(Failure::new(Exit::Fatal, Code::DataLoss, "digest_mismatch", message))
}

/// A bar for one file.
pub(super) fn progress(context: &Context, doing: &str, job: &Job, total_bytes: Option<u64>) -> Arc<Progress> {
    Arc::new(Progress::start(context.output, &format!("{doing} {}", job.source.name()), total_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receipt_must_tell_of_the_bytes_that_were_read() {
        let read = Content { size_bytes: 1, sha256: Sha256Digest::of(b"a") };
        let receipt = |of: &[u8], size_bytes| {
            let sha256 = Sha256Digest::of(of).as_bytes().to_vec().into();
            Receipt { size_bytes, sha256, ..Receipt::default() }
        };
        assert_eq!(check(&receipt(b"a", 1), read), Ok(()));
        assert_eq!(check(&receipt(b"b", 1), read).unwrap_err().exit, Exit::Fatal);
        assert_eq!(check(&receipt(b"a", 2), read).unwrap_err().reason, "digest_mismatch");
        assert!(check(&Receipt::default(), read).is_err());
        let rejected = Receipt { outcome: Outcome::Rejected.into(), ..Receipt::default() };
        assert_eq!(check(&rejected, read), Ok(()));
    }
}
