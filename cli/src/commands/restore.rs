//! `highwater restore`.

use proto::v1::RestoreRequest;

use crate::args::{Restore, optional};
use crate::commands::paths::parse_path;
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::render::text::Deed;

/// Makes an older version of a file the current one.
pub(super) async fn run(context: &Context, args: Restore) -> Result<(), Failure> {
    let path = parse_path(&args.path)?.to_string();
    let client = context.connect().await?;
    let receipt = change::make(context, &args.change, Sought::File, |request_id| {
        let request = RestoreRequest {
            space: context.space(),
            path: path.clone(),
            version_id: args.version.to_string(),
            if_version: optional(args.if_version.as_ref()),
            request_id,
            actor: context.actor(),
        };
        let mut files = client.files.clone();
        async move { Ok(files.restore(request).await?.into_inner().receipt) }
    })
    .await?;
    change::report(context, &receipt, &Deed::new("restored", format!("{path} from version {}", args.version)))
}
