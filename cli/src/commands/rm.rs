//! `highwater rm`.

use proto::v1::DeleteRequest;

use crate::args::{Rm, optional};
use crate::commands::paths::parse_folder;
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::render::text::Deed;

/// Puts a file or a folder into the trash.
pub(super) async fn run(context: &Context, args: Rm) -> Result<(), Failure> {
    let path = parse_folder(&args.path)?.to_string();
    let client = context.connect().await?;
    let receipt = change::make(context, &args.change, Sought::File, |request_id| {
        let request = DeleteRequest {
            space: context.space(),
            path: path.clone(),
            recursive: args.recursive,
            if_version: optional(args.if_version.as_ref()),
            request_id,
            actor: context.actor(),
        };
        let mut files = client.files.clone();
        async move { Ok(files.delete(request).await?.into_inner().receipt) }
    })
    .await?;
    change::report(context, &receipt, &Deed::new("deleted", path))
}
