//! `highwater mv`.

use proto::v1::MoveRequest;

use crate::args::{Mv, on_conflict, optional};
use crate::commands::paths::{destination, parse_folder};
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::render::text::Deed;

/// Moves or renames a file or a folder.
pub(super) async fn run(context: &Context, args: Mv) -> Result<(), Failure> {
    let from = parse_folder(&args.from)?;
    let to = destination(&from, &args.to)?.to_string();
    let client = context.connect().await?;
    let receipt = change::make(context, &args.change, Sought::File, |request_id| {
        let request = MoveRequest {
            space: context.space(),
            from: from.to_string(),
            to: to.clone(),
            on_conflict: on_conflict(args.on_conflict),
            if_version: optional(args.if_version.as_ref()),
            request_id,
            actor: context.actor(),
        };
        let mut files = client.files.clone();
        async move { Ok(files.r#move(request).await?.into_inner().receipt) }
    })
    .await?;
    change::report(context, &receipt, &Deed::new("moved", from.to_string()).to("to", to))
}
