//! `highwater put`.

use std::sync::Arc;

use proto::v1::{OnConflict, Receipt, UploadMetadata};
use proto::{Path, SLICE_BYTES};
use runtime::clock::Clock;

use crate::args::{Put, on_conflict, optional};
use crate::client::Client;
use crate::commands::{Context, change};
use crate::exit::Failure;
use crate::output::Format;
use crate::render;
use crate::render::text::{Deed, Sent};
use crate::source::Source;

use self::resume::Upload;
use self::state::States;

mod abort;
mod plan;
mod resume;
mod send;
mod state;

/// One file to store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    source: Source,
    path: Path,
}

/// What the gateway answered.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    receipt: Receipt,
    /// No bytes were needed.
    instant: bool,
}

/// Stores the files one after the other; the first that fails ends it, and what was stored before stays.
pub(super) async fn run(context: &Context, args: Put) -> Result<(), Failure> {
    let find = if args.abort { Source::unseen } else { Source::find };
    let jobs = plan::jobs(&args.args, args.to.as_deref(), find)?;
    if args.change.request_id.is_some() && jobs.len() > 1 {
        return Err(Failure::usage("--request-id is the id of one request; store one file at a time with it"));
    }
    if args.if_version.is_some() && jobs.len() > 1 {
        return Err(Failure::usage("--if-version is the version of one file; store one file at a time with it"));
    }
    let states = States::find(args.state_home.as_deref());
    states.remove_old(Clock::system().now().into());
    if args.abort {
        return context.stop.guard(abort::run(context, &args, &jobs, &states)).await;
    }
    let client = context.stop.guard(context.connect()).await?;
    for job in &jobs {
        let stored = context.stop.guard(Box::pin(store(context, &client, &args, job, &states))).await;
        report(context, &stored.map_err(|failure| hint(context, &states, job, failure))?, job)?;
    }
    Ok(())
}

/// Says that what was begun is not lost.
fn hint(context: &Context, states: &States, job: &Job, failure: Failure) -> Failure {
    if !resume::is_resumable(&failure) || !states.has(&resume::key(context, job)) {
        return failure;
    }
    let message = format!("{}; the same command goes on with {}", failure.message, job.source.name());
    Failure { message, ..failure }
}

fn report(context: &Context, stored: &Stored, job: &Job) -> Result<(), Failure> {
    let Stored { receipt, instant } = stored;
    let rejected = change::is_rejected(receipt);
    let source = job.source.name();
    let how = if *instant { Sent::Nothing } else { Sent::Bytes };
    match context.output.format {
        Format::Json => context.output.print(&render::json::stored(receipt, *instant))?,
        Format::Text if context.global.quiet || rejected => {}
        Format::Text => context.output.print(&render::text::stored(receipt, &source, how))?,
    }
    change::check(receipt, &Deed::new("stored", source).to("as", job.path.as_str()))
}

async fn store(context: &Context, client: &Client, args: &Put, job: &Job, states: &States) -> Result<Stored, Failure> {
    let mut metadata = metadata(context, args, job);
    let Some((size_bytes, modified_at)) = job.source.facts()? else {
        // What cannot be read again is sent once: an unknown outcome is the caller's to look into.
        return send::send(context, client, metadata, job).await;
    };
    metadata.modified_at = modified_at;
    metadata.size_bytes = Some(size_bytes);
    let upload = Upload { context, client, job, states, retry_for: args.change.retry_for };
    let takes_parts = size_bytes > SLICE_BYTES;
    let left = if takes_parts { upload.left(&metadata).await } else { None };
    if let Some(saved) = &left {
        metadata.request_id.clone_from(&saved.request_id);
        metadata.sha256 = saved.sha256.as_ref().and_then(|sha256| Some(hex::decode(sha256).ok()?.into()));
    } else {
        metadata.request_id = change::request_id(&args.change);
        if !args.no_checksum {
            let progress = send::progress(context, "checking", job, Some(size_bytes));
            let digested = job.source.digest(Arc::clone(&progress)).await;
            progress.end();
            let whole = digested?;
            metadata.size_bytes = Some(whole.size_bytes);
            metadata.sha256 = Some(whole.sha256.as_bytes().to_vec().into());
        }
    }
    if takes_parts {
        match upload.store(&metadata, left.as_ref()).await {
            Err(failure) if resume::is_unknown(&failure) => {}
            answer => return answer,
        }
    }
    send::send_again(context, client, metadata, job, args.change.retry_for).await
}

fn metadata(context: &Context, args: &Put, job: &Job) -> UploadMetadata {
    UploadMetadata {
        space: context.space(),
        path: job.path.to_string(),
        content_type: args.content_type.clone().unwrap_or_default(),
        request_id: optional(args.change.request_id.as_ref()),
        actor: context.actor(),
        on_conflict: if args.create_only { OnConflict::Fail.into() } else { on_conflict(args.on_conflict) },
        if_version: optional(args.if_version.as_ref()),
        ack_replicas: args.ack_replicas.unwrap_or(0),
        ..UploadMetadata::default()
    }
}
