//! `highwater put --abort`.

use proto::v1::AbortUploadRequest;
use tonic::Code;

use super::state::States;
use super::{Job, resume};
use crate::args::Put;
use crate::client::Client;
use crate::commands::Context;
use crate::commands::again::again;
use crate::exit::{Failure, Sought, code_name};
use crate::output::Format;
use crate::render;

/// Throws away what earlier commands left of these files, at the gateway and here.
pub(super) async fn run(context: &Context, args: &Put, jobs: &[Job], states: &States) -> Result<(), Failure> {
    let client = context.connect().await?;
    for job in jobs {
        let key = resume::key(context, job);
        let left = states.load(&key);
        let aborted = match &left {
            Some(saved) => abort(context, &client, args, &saved.upload_id).await?,
            None => false,
        };
        states.remove(&key);
        let upload_id = left.as_ref().filter(|_| aborted).map(|saved| saved.upload_id.as_str());
        match context.output.format {
            Format::Json => context.output.print(&render::json::aborted(job.path.as_str(), upload_id))?,
            Format::Text if context.global.quiet => {}
            Format::Text => context.output.print(&render::text::aborted(&job.source.name(), upload_id))?,
        }
    }
    Ok(())
}

/// Whether the gateway had it; else it has expired, or was given up by another command.
async fn abort(context: &Context, client: &Client, args: &Put, upload_id: &str) -> Result<bool, Failure> {
    let request = AbortUploadRequest { upload_id: upload_id.to_owned() };
    let aborted = again(context, args.change.retry_for, || {
        let (mut files, request) = (client.files.clone(), request.clone());
        async move { files.abort_upload(request).await.map_err(|status| Failure::from_status(&status, Sought::Other)) }
    });
    match aborted.await {
        Ok(_) => Ok(true),
        Err(failure) if failure.code == code_name(Code::NotFound) => Ok(false),
        Err(failure) => Err(failure),
    }
}
