//! `highwater cp`.

use proto::v1::CopyRequest;

use crate::args::{Cp, on_conflict, optional};
use crate::commands::paths::{destination, parse_path};
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::render::text::Deed;

/// Copies a file.
pub(super) async fn run(context: &Context, args: Cp) -> Result<(), Failure> {
    let from = parse_path(&args.from)?;
    let to = destination(&from, &args.to)?.to_string();
    let client = context.connect().await?;
    let receipt = change::make(context, &args.change, Sought::File, |request_id| {
        let request = CopyRequest {
            space: context.space(),
            from: from.to_string(),
            to: to.clone(),
            version_id: optional(args.version_id.as_ref()),
            on_conflict: on_conflict(args.on_conflict),
            if_version: optional(args.if_version.as_ref()),
            request_id,
            actor: context.actor(),
        };
        let mut files = client.files.clone();
        async move { Ok(files.copy(request).await?.into_inner().receipt) }
    })
    .await?;
    change::report(context, &receipt, &Deed::new("copied", from.to_string()).to("to", to))
}
