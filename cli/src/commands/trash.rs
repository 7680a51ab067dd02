//! `highwater trash`.

use proto::FileId;
use proto::v1::{ListTrashRequest, ListTrashResponse, TrashEntry, UndeleteRequest};
use tonic::{Code, Response};

use crate::args::{After, TrashCommand, TrashLs, TrashRestore, on_conflict};
use crate::client::Client;
use crate::commands::paths::{destination, parse_folder, parse_path};
use crate::commands::{Context, change};
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::render;
use crate::render::text::Deed;

/// How many entries are looked through at a time.
const PAGE_SIZE: u32 = 1000;

/// Lists the trash or brings something back from it.
pub(super) async fn run(context: &Context, command: TrashCommand) -> Result<(), Failure> {
    match command {
        TrashCommand::Ls(args) => ls(context, args).await,
        TrashCommand::Restore(args) => restore(context, args).await,
    }
}

async fn ls(context: &Context, args: TrashLs) -> Result<(), Failure> {
    let client = context.connect().await?;
    let mut request = first_page(context, args.page_size, &args.after);
    let render = match context.output.format {
        Format::Text => render::text::deleted,
        Format::Json => render::json::deleted,
    };
    loop {
        let page = context.caught_up(|| ask(&client, &request)).await?;
        context.output.print(&page.entries.iter().map(render).collect::<String>())?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

async fn restore(context: &Context, args: TrashRestore) -> Result<(), Failure> {
    let wanted = Wanted::parse(&args.what)?;
    let client = context.connect().await?;
    let entry = find(context, &client, &wanted, first_page(context, PAGE_SIZE, &args.after)).await?;
    let path = match &args.to {
        Some(to) => destination(&parse_path(&entry.path)?, to)?.to_string(),
        None => String::new(),
    };
    context.output.note(&render::text::found_in_trash(&entry));
    let receipt = change::make(context, &args.change, Sought::File, |request_id| {
        let request = UndeleteRequest {
            space: context.space(),
            file_id: entry.file_id.clone(),
            folder_id: entry.folder_id.clone(),
            path: path.clone(),
            on_conflict: on_conflict(args.on_conflict),
            request_id,
            actor: context.actor(),
        };
        let mut files = client.files.clone();
        async move { Ok(files.undelete(request).await?.into_inner().receipt) }
    })
    .await?;
    let target = if path.is_empty() { entry.path.clone() } else { path };
    change::report(context, &receipt, &Deed::new("brought back", entry.path).to("as", target))
}

/// Looks through the trash, which is sorted by time: the first that fits is the newest.
async fn find(
    context: &Context,
    client: &Client,
    wanted: &Wanted,
    mut request: ListTrashRequest,
) -> Result<TrashEntry, Failure> {
    loop {
        let page = context.caught_up(|| ask(client, &request)).await?;
        if let Some(entry) = page.entries.into_iter().find(|entry| wanted.is(entry)) {
            return Ok(entry);
        }
        if page.next_page_token.is_empty() {
            return Err(wanted.missing());
        }
        request.page_token = page.next_page_token;
    }
}

fn first_page(context: &Context, page_size: u32, after: &After) -> ListTrashRequest {
    let (page_token, min_sequence) = (String::new(), after.min_sequence());
    ListTrashRequest { space: context.space(), page_size, page_token, min_sequence }
}

async fn ask(client: &Client, request: &ListTrashRequest) -> Result<ListTrashResponse, Failure> {
    let answer = client.files.clone().list_trash(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::Folder))
}

/// What to bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// A file's or a folder's id.
    Id(String),
    /// Where it was.
    Path(String),
}

// === impl Wanted ===

impl Wanted {
    /// What looks like an id is one: a path that does can be named by its own id.
    fn parse(text: &str) -> Result<Self, Failure> {
        match text.parse::<FileId>() {
            Ok(id) => Ok(Self::Id(id.to_string())),
            Err(_) => Ok(Self::Path(parse_folder(text)?.to_string())),
        }
    }

    fn is(&self, entry: &TrashEntry) -> bool {
        match self {
            Self::Id(id) => entry.file_id == *id || entry.folder_id == *id,
            Self::Path(path) => entry.path == *path,
        }
    }

    fn missing(&self) -> Failure {
        let message = match self {
            Self::Id(id) => format!("nothing in the trash has the id {id}"),
            Self::Path(path) => format!("nothing in the trash was at {path}; see `trash ls`"),
        };
        Failure::new(Exit::FileNotFound, Code::NotFound, "not_in_trash", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_an_id_says_what_to_bring_back() {
        let id = "0b7a3f0e-24c1-5a55-9d3b-5a0f1c2d3e4f";
        let entry = |path: &str, file_id: &str, folder_id: &str| TrashEntry {
            path: path.to_owned(),
            file_id: file_id.to_owned(),
            folder_id: folder_id.to_owned(),
            ..TrashEntry::default()
        };
        let by_id = Wanted::parse(&id.to_uppercase()).unwrap();
        assert_eq!(by_id, Wanted::Id(id.to_owned()));
        assert!(by_id.is(&entry("a", id, "")) && by_id.is(&entry("a", "", id)));
        assert!(!by_id.is(&entry(id, "", "")));
        let by_path = Wanted::parse("docs/").unwrap();
        assert!(by_path.is(&entry("docs", "", id)) && !by_path.is(&entry("docs/a", id, "")));
        assert!(Wanted::parse("/").is_err());
        assert_eq!(by_path.missing().exit, Exit::FileNotFound);
    }
}
