//! `highwater watch`.

use std::time::Instant;

use proto::v1::{WatchRequest, WatchResponse, watch_response::Payload};
use runtime::retry::{self, Transient as _};

use crate::args::{Watch, optional};
use crate::client::Client;
use crate::commands::Context;
use crate::commands::again::{Outage, RETRY_DELAY_MAX};
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Shows changes as they happen. A broken stream is opened again after the last change shown.
pub(super) async fn run(context: &Context, args: Watch) -> Result<(), Failure> {
    let client = context.connect().await?;
    let mut request = WatchRequest {
        space: context.space(),
        from_sequence: optional(args.from.as_ref()),
        once: args.once,
        space_id: optional(args.space_id.as_ref()),
    };
    let mut outage = Outage::new(args.retry_for);
    loop {
        let (opened_at, from) = (Instant::now(), request.from_sequence.clone());
        let failure = match follow(context, &client, &mut request).await {
            Ok(()) if args.once => {
                context.output.note(&format!("nothing more up to {}", request.from_sequence));
                return Ok(());
            }
            Ok(()) => Failure::connection_lost("the gateway ended the stream"),
            Err(failure) => failure,
        };
        // A stream that has given something, or has stood for a while, was no failed attempt.
        if request.from_sequence != from || opened_at.elapsed() > RETRY_DELAY_MAX {
            outage = Outage::new(args.retry_for);
        }
        let delay = match outage.next_delay(Instant::now()) {
            Some(delay) if failure.is_transient() => delay,
            _ => return Err(failure),
        };
        let place = match request.from_sequence.as_str() {
            "" => "going on with new changes; some may be missed".to_owned(),
            sequence => format!("going on after {sequence}"),
        };
        context.output.note(&format!("{failure}; {place}"));
        retry::sleep(delay, context.stop.token()).await;
    }
}

/// Prints changes until the stream ends, and moves the request on, so that it can be made again.
async fn follow(context: &Context, client: &Client, request: &mut WatchRequest) -> Result<(), Failure> {
    let failed = |status| Failure::from_status(&status, Sought::Folder);
    let mut stream = client.files.clone().watch(request.clone()).await.map_err(failed)?.into_inner();
    while let Some(WatchResponse { payload }) = stream.message().await.map_err(failed)? {
        match payload {
            Some(Payload::Change(change)) => {
                context.output.print(&match context.output.format {
                    Format::Text => render::text::change(&change),
                    Format::Json => render::json::change(&change),
                })?;
                request.from_sequence = change.sequence;
            }
            Some(Payload::UpToSequence(sequence)) => request.from_sequence = sequence,
            // Something that a newer gateway says.
            None => {}
        }
    }
    Ok(())
}
