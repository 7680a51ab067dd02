//! `highwater mkdir`.

use proto::v1::CreateFolderRequest;

use crate::args::Mkdir;
use crate::commands::paths::parse_folder;
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::render::text::Deed;

/// Makes a folder.
pub(super) async fn run(context: &Context, args: Mkdir) -> Result<(), Failure> {
    let path = parse_folder(&args.path)?.to_string();
    let client = context.connect().await?;
    let receipt = change::make(context, &args.change, Sought::Folder, |request_id| {
        let request =
            CreateFolderRequest { space: context.space(), path: path.clone(), request_id, actor: context.actor() };
        let mut files = client.files.clone();
        async move { Ok(files.create_folder(request).await?.into_inner().receipt) }
    })
    .await?;
    change::report(context, &receipt, &Deed::new("made", format!("the folder {path}")))
}
