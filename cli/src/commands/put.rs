//! `highwater put`.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::{Outcome, Receipt, UploadMetadata};
use proto::{Path, Sha256Digest};
use runtime::clock::Ids;
use runtime::retry::{self, Policy, Transient as _};
use tonic::Code;

use crate::args::Put;
use crate::client::Client;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::progress::Progress;
use crate::render;
use crate::source::{Content, Source};

mod plan;

/// The first wait before the same request is tried again, and the longest.
const RETRY_DELAY: Duration = Duration::from_millis(200);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(3);

/// One file to store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    source: Source,
    path: Path,
}

/// Stores the files one after the other; the first that fails ends it, and what was stored before stays.
pub(super) async fn run(context: &Context, args: Put) -> Result<(), Failure> {
    let jobs = plan::jobs(&args.args, args.to.as_deref())?;
    if args.request_id.is_some() && jobs.len() > 1 {
        return Err(Failure::usage("--request-id is the id of one request; store one file at a time with it"));
    }
    let client = context.stop.guard(context.connect()).await?;
    for job in &jobs {
        let receipt = context.stop.guard(store(context, &client, &args, job)).await?;
        report(context, &receipt, job)?;
    }
    Ok(())
}

fn report(context: &Context, receipt: &Receipt, job: &Job) -> Result<(), Failure> {
    let rejected = receipt.outcome == i32::from(Outcome::Rejected);
    match context.output.format {
        Format::Json => context.output.print(&render::json::receipt(receipt))?,
        Format::Text if context.global.quiet || rejected => {}
        Format::Text => context.output.print(&render::text::receipt(receipt, &job.source.name()))?,
    }
    if rejected {
        let message = render::text::receipt(receipt, &job.source.name());
        let reason = &receipt.reason;
        return Err(Failure::new(Exit::Other, Code::FailedPrecondition, reason, message.trim_end()));
    }
    Ok(())
}

async fn store(context: &Context, client: &Client, args: &Put, job: &Job) -> Result<Receipt, Failure> {
    let mut metadata = UploadMetadata {
        space: context.space(),
        path: job.path.to_string(),
        content_type: args.content_type.clone().unwrap_or_default(),
        request_id: args.request_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        actor: context.global.actor.as_ref().map(ToString::to_string).unwrap_or_default(),
        ..UploadMetadata::default()
    };
    let Some((size_bytes, modified_at)) = job.source.facts()? else {
        // What cannot be read again is sent once: an unknown outcome is the caller's to look into.
        return send(context, client, metadata, job).await;
    };
    metadata.modified_at = modified_at;
    metadata.size_bytes = Some(size_bytes);
    if !args.no_checksum {
        let progress = progress(context, "checking", job, Some(size_bytes));
        let digested = job.source.digest(Arc::clone(&progress)).await;
        progress.end();
        let Content { size_bytes, sha256 } = digested?;
        metadata.size_bytes = Some(size_bytes);
        metadata.sha256 = Some(sha256.as_bytes().to_vec().into());
    }
    if metadata.request_id.is_empty() {
        metadata.request_id = Ids::system().v4().to_string();
    }
    send_again(context, client, metadata, job, args.retry_for).await
}

/// Sends until there is an answer. The request id makes it the same request each time, which is stored at most once. The
/// time to try again starts when the first attempt fails: that one may have taken long and come far.
async fn send_again(
    context: &Context,
    client: &Client,
    metadata: UploadMetadata,
    job: &Job,
    retry_for: Duration,
) -> Result<Receipt, Failure> {
    let failure = match send(context, client, metadata.clone(), job).await {
        Err(failure) if failure.is_transient() && !retry_for.is_zero() => failure,
        answer => return answer,
    };
    let token = context.stop.token();
    context.output.note(&format!("{failure}; trying again for up to {retry_for:?}"));
    retry::sleep(RETRY_DELAY, token).await;
    let policy = Policy::new(RETRY_DELAY, RETRY_DELAY_MAX).with_max_elapsed(retry_for);
    retry::run(&policy, token, || send(context, client, metadata.clone(), job)).await
}

async fn send(context: &Context, client: &Client, metadata: UploadMetadata, job: &Job) -> Result<Receipt, Failure> {
    let progress = progress(context, "sending", job, metadata.size_bytes);
    let (messages, mut reading) = job.source.messages(metadata, Arc::clone(&progress));
    let mut files = client.files.clone();
    let mut call = std::pin::pin!(files.upload(messages));
    let (answer, read) = tokio::select! {
        // A refusal, or a repeated request: answered before all is read.
        answer = &mut call => (answer, None),
        end = &mut reading.end => match end {
            Ok(Ok(whole)) => {
                // When the call has failed nobody takes this, and the answer says why.
                let _ = reading.finish.send(());
                (call.await, Some(whole))
            }
            Ok(Err(error)) => return Err(job.source.unreadable(&error)),
            Err(_) => (call.await, None),
        },
    };
    progress.end();
    let receipt = answer.map_err(|status| Failure::from_status(&status, Sought::Folder))?.into_inner().receipt;
    let receipt = receipt.ok_or_else(|| Failure::bad_answer("the gateway answered without a receipt"))?;
    if let Some(read) = read {
        check(&receipt, read)?;
    }
    Ok(receipt)
}

/// What is stored must be what was read.
fn check(receipt: &Receipt, read: Content) -> Result<(), Failure> {
    let stored = Sha256Digest::try_from(&receipt.sha256[..]);
    if stored.is_ok_and(|stored| stored == read.sha256) && receipt.size_bytes == read.size_bytes {
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

fn progress(context: &Context, doing: &str, job: &Job, total_bytes: Option<u64>) -> Arc<Progress> {
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
    }
}
