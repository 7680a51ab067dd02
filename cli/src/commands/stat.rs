//! `highwater stat`.

use std::cell::RefCell;
use std::time::Duration;

use proto::v1::{File, GetFileRequest};
use runtime::retry::Transient as _;
use tonic::Code;

use crate::args::Stat;
use crate::client::Client;
use crate::commands::Context;
use crate::commands::paths::parse_path;
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::render;

/// How often a waiting stat asks.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Which copies are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// None.
    Now,
    /// So many.
    Copies(u32),
    /// All that there shall be.
    All,
}

/// Shows a file, once it has the copies that are waited for.
pub(super) async fn run(context: &Context, args: Stat) -> Result<(), Failure> {
    let path = parse_path(&args.path)?;
    let wanted = match (args.wait, args.wait_replicated) {
        (Some(copies), _) => Wanted::Copies(copies),
        (None, true) => Wanted::All,
        (None, false) => Wanted::Now,
    };
    let request = GetFileRequest {
        space: context.space(),
        path: path.to_string(),
        min_sequence: args.after.min_sequence(),
        version_id: args.version_id.unwrap_or_default(),
    };
    let last = RefCell::new(String::new());
    let work = async {
        let client = context.connect().await?;
        loop {
            let file = match context.caught_up(|| ask(&client, &request)).await {
                // A gateway that is restarted meanwhile is worth waiting for too.
                Err(failure) if wanted != Wanted::Now && failure.is_transient() => {
                    say(context, &last, failure.to_string());
                    None
                }
                answer => Some(answer?),
            };
            if let Some(file) = file {
                if wanted.is_reached(&file)? {
                    break Ok(file);
                }
                say(context, &last, render::text::replicas(&file));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let file = context.stop.guard(work).await.map_err(|failure| explain(failure, &last.borrow()))?;
    if wanted != Wanted::Now {
        say(context, &last, render::text::replicas(&file));
    }
    context.output.print(&match context.output.format {
        Format::Text => render::text::file(&file),
        Format::Json => render::json::file(&file),
    })
}

/// Asks once.
pub(super) async fn ask(client: &Client, request: &GetFileRequest) -> Result<File, Failure> {
    let answer = client.files.clone().get_file(request.clone()).await;
    answer
        .map_err(|status| Failure::from_status(&status, Sought::File))?
        .into_inner()
        .file
        .ok_or_else(|| Failure::bad_answer("the gateway answered without a file"))
}

/// Says each state once.
pub(super) fn say(context: &Context, last: &RefCell<String>, now: String) {
    let mut last = last.borrow_mut();
    if *last != now {
        context.output.note(&now);
        *last = now;
    }
}

/// When the time is over, what was missing is the message.
pub(super) fn explain(failure: Failure, last: &str) -> Failure {
    if failure.code == "DEADLINE_EXCEEDED" && !last.is_empty() {
        let message = format!("{}; last seen: {last}", failure.message);
        return Failure { message, ..failure };
    }
    failure
}

// === impl Wanted ===

impl Wanted {
    fn is_reached(self, file: &File) -> Result<bool, Failure> {
        let (stored, planned) = (file.replicas_stored, file.replicas_wanted);
        match self {
            Self::Now => Ok(true),
            Self::All => Ok(stored >= planned && planned > 0),
            Self::Copies(copies) if copies > planned.max(stored) => {
                let path = &file.path;
                let message = format!("{path} shall have {planned} copies; {copies} cannot be reached");
                Err(Failure::new(Exit::Other, Code::OutOfRange, "too_many_copies", message))
            }
            Self::Copies(copies) => Ok(stored >= copies),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_when_enough_copies_are_stored() {
        let file = |stored, wanted| File { replicas_stored: stored, replicas_wanted: wanted, ..File::default() };
        assert_eq!(Wanted::Now.is_reached(&file(0, 3)), Ok(true));
        assert_eq!(Wanted::All.is_reached(&file(2, 3)), Ok(false));
        assert_eq!(Wanted::All.is_reached(&file(3, 3)), Ok(true));
        // Nothing is placed yet.
        assert_eq!(Wanted::All.is_reached(&file(0, 0)), Ok(false));
        assert_eq!(Wanted::Copies(2).is_reached(&file(1, 3)), Ok(false));
        assert_eq!(Wanted::Copies(2).is_reached(&file(2, 3)), Ok(true));
        assert_eq!(Wanted::Copies(4).is_reached(&file(3, 3)).unwrap_err().reason, "too_many_copies");
    }
}
