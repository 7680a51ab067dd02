//! `highwater undo`.

use proto::v1::UndoRequest;
use tonic::Response;

use crate::args::{Undo, optional};
use crate::commands::again::again;
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;
use crate::render::text::Deed;

/// Undoes the changes of somebody, or says what that would be.
pub(super) async fn run(context: &Context, args: Undo) -> Result<(), Failure> {
    let request = UndoRequest {
        space: context.space(),
        of_actor: optional(args.of_actor.as_ref()),
        from_sequence: args.from.to_string(),
        to_sequence: args.to.to_string(),
        dry_run: args.dry_run,
        request_id: change::request_id(&args.change),
        actor: optional(args.by.as_ref()),
        min_sequence: args.after.min_sequence(),
    };
    let client = context.connect().await?;
    let ask = || {
        let (mut files, request) = (client.files.clone(), request.clone());
        async move {
            let answer = files.undo(request).await.map(Response::into_inner);
            answer.map_err(|status| Failure::from_status(&status, Sought::Folder))
        }
    };
    let undone = again(context, args.change.retry_for, || context.caught_up(ask)).await?;
    context.output.print(&match context.output.format {
        Format::Text => render::text::undo(&undone, args.dry_run),
        Format::Json => undone.steps.iter().map(render::json::undo_step).collect(),
    })?;
    // What something came after is left alone, which is an answer; what the fold rejected was tried.
    undone.steps.iter().try_for_each(|step| {
        let what = step.change.as_ref().map_or_else(String::new, |change| format!("{} ", change.sequence));
        let deed = Deed::new("undone", format!("the change {what}"));
        step.receipt.as_ref().map_or(Ok(()), |receipt| change::check(receipt, &deed))
    })
}
