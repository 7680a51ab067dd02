//! Whether the journal is the one that the catalog was folded from.

use catalog::Checkpoint;
use journal::Journal;

use crate::error::{Error, Halt};

/// Compares the checkpoint with the journal: the incarnation, the length, and the event at the checkpoint. From then on the
/// journal itself watches that they stay so.
pub(crate) async fn check(journal: &Journal, at: &Checkpoint) -> Result<(), Error> {
    let identity = journal.identity();
    if at.incarnation != identity.incarnation {
        let halt = Halt::OtherJournal { catalog: at.incarnation, journal: identity.incarnation, n: at.n };
        return Err(Error::Halt(halt));
    }
    match compare(journal, at).await? {
        None => Ok(()),
        // The journal may know more: that it is another one than it was when this process opened it.
        Some(halt) => match journal.check().await {
            Err(diverged @ journal::Error::Diverged(_)) => Err(Error::Halt(Halt::Journal(diverged))),
            Ok(()) | Err(_) => Err(Error::Halt(halt)),
        },
    }
}

/// As [`check`], apart from the incarnation: why the journal does not lead to the checkpoint, if so.
pub(crate) async fn compare(journal: &Journal, at: &Checkpoint) -> Result<Option<Halt>, Error> {
    let n = at.n;
    if n == 0 {
        return Ok(None);
    }
    let head = journal.head().await?.n;
    if head < n {
        return Ok(Some(Halt::Short { n, head }));
    }
    let Some(recorded) = journal.read(n).await? else { return Ok(Some(Halt::Hole { n })) };
    // Bytes that cannot be decoded have no id: there, and only there, the catalog has none either.
    let found = recorded.decode().ok().map(|event| event.id);
    if found != at.event_id {
        let words = |id: Option<proto::EventId>| id.map_or_else(|| "undecodable".to_owned(), |id| id.to_string());
        return Ok(Some(Halt::OtherEvent { n, folded: words(at.event_id), found: words(found) }));
    }
    journal.observe_checkpoint(n, &recorded.message_id);
    Ok(None)
}
