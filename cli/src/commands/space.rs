//! `highwater space`.

use proto::v1::{
    CreateSpaceRequest, DeleteSpaceRequest, ListSpacesRequest, PruneRequest, RenameSpaceRequest, Retention,
    SetRetentionRequest, Space,
};
use tonic::{Code, Response};

use crate::args::{After, SpaceCommand, SpaceLs, SpacePrune, SpaceRetention};
use crate::client::Client;
use crate::commands::again::again;
use crate::commands::{Context, change};
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::render;
use crate::render::text::Deed;

/// Makes, lists and changes spaces.
pub(super) async fn run(context: &Context, command: SpaceCommand) -> Result<(), Failure> {
    match command {
        SpaceCommand::Create(args) => {
            let client = context.connect().await?;
            let receipt = change::make(context, &args.change, Sought::Folder, |request_id| {
                let request = CreateSpaceRequest { space: args.name.to_string(), request_id, actor: context.actor() };
                let mut files = client.files.clone();
                async move { Ok(files.create_space(request).await?.into_inner().receipt) }
            })
            .await?;
            change::report(context, &receipt, &Deed::new("made", format!("the space {}", args.name)))
        }
        SpaceCommand::Ls(args) => ls(context, &args).await,
        SpaceCommand::Rename(args) => {
            let client = context.connect().await?;
            let receipt = change::make(context, &args.change, Sought::Folder, |request_id| {
                let (space, new_name) = (args.name.to_string(), args.new_name.to_string());
                let request = RenameSpaceRequest { space, new_name, request_id, actor: context.actor() };
                let mut files = client.files.clone();
                async move { Ok(files.rename_space(request).await?.into_inner().receipt) }
            })
            .await?;
            let deed = format!("the space {} to {}", args.name, args.new_name);
            change::report(context, &receipt, &Deed::new("renamed", deed))
        }
        SpaceCommand::Rm(args) => {
            let client = context.connect().await?;
            let receipt = change::make(context, &args.change, Sought::Folder, |request_id| {
                let (space, force) = (args.name.to_string(), args.force);
                let request = DeleteSpaceRequest { space, force, request_id, actor: context.actor() };
                let mut files = client.files.clone();
                async move { Ok(files.delete_space(request).await?.into_inner().receipt) }
            })
            .await?;
            change::report(context, &receipt, &Deed::new("deleted", format!("the space {}", args.name)))
        }
        SpaceCommand::Retention(args) => retention(context, args).await,
        SpaceCommand::Prune(args) => prune(context, args).await,
    }
}

async fn ls(context: &Context, args: &SpaceLs) -> Result<(), Failure> {
    let client = context.connect().await?;
    let mut spaces = context.caught_up(|| list(&client, &args.after, args.deleted)).await?;
    spaces.retain(|space| space.deleted_sequence.is_empty() != args.deleted);
    context.output.print(&match context.output.format {
        Format::Text if args.deleted => render::text::deleted_spaces(&spaces),
        Format::Text => render::text::spaces(&spaces),
        Format::Json => spaces.iter().map(render::json::space).collect(),
    })
}

/// Sets what the flags name, or shows what is set.
async fn retention(context: &Context, args: SpaceRetention) -> Result<(), Failure> {
    let wanted = if args.clear { Some(Retention::default()) } else { args.limits.retention() };
    let client = context.connect().await?;
    let Some(wanted) = wanted else {
        let spaces = context.caught_up(|| list(&client, &args.after, false)).await?;
        let space = spaces.iter().find(|space| space.name == args.name.as_str()).ok_or_else(|| {
            let message = format!("there is no space {}", args.name);
            Failure::new(Exit::FolderNotFound, Code::NotFound, "space_not_found", message)
        })?;
        return context.output.print(&match context.output.format {
            Format::Text => render::text::retention(space),
            Format::Json => render::json::space(space),
        });
    };
    let receipt = change::make(context, &args.change, Sought::Folder, |request_id| {
        let (space, retention) = (args.name.to_string(), Some(wanted));
        let request = SetRetentionRequest { space, retention, request_id, actor: context.actor() };
        let mut files = client.files.clone();
        async move { Ok(files.set_retention(request).await?.into_inner().receipt) }
    })
    .await?;
    let deed = format!("the retention of {} to: {}", args.name, render::text::limits(Some(&wanted)));
    change::report(context, &receipt, &Deed::new("set", deed))
}

async fn prune(context: &Context, args: SpacePrune) -> Result<(), Failure> {
    let retention = args.limits.retention();
    if retention.is_some() && !args.dry_run {
        return Err(Failure::usage(
            "limits can be tried with --dry-run only; set them with `space retention` before pruning by them",
        ));
    }
    let request = PruneRequest {
        space: args.name.to_string(),
        dry_run: args.dry_run,
        retention,
        request_id: change::request_id(&args.change),
        actor: context.actor(),
        min_sequence: args.after.min_sequence(),
    };
    let client = context.connect().await?;
    let ask = || {
        let (mut files, request) = (client.files.clone(), request.clone());
        async move {
            let answer = files.prune(request).await.map(Response::into_inner);
            answer.map_err(|status| Failure::from_status(&status, Sought::Folder))
        }
    };
    let pruned = again(context, args.change.retry_for, || context.caught_up(ask)).await?;
    context.output.print(&match context.output.format {
        Format::Text => render::text::pruned(&pruned, args.dry_run),
        Format::Json => render::json::pruned(&pruned),
    })?;
    let deed = Deed::new("pruned", format!("the space {}", args.name));
    pruned.receipts.iter().try_for_each(|receipt| change::check(receipt, &deed))
}

async fn list(client: &Client, after: &After, include_deleted: bool) -> Result<Vec<Space>, Failure> {
    let request = ListSpacesRequest { min_sequence: after.min_sequence(), include_deleted };
    let answer = client.files.clone().list_spaces(request).await;
    Ok(answer.map_err(|status| Failure::from_status(&status, Sought::Folder))?.into_inner().spaces)
}
