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
    if at.n == 0 {
        return Ok(());
    }
    let head = journal.head().await?.n;
    if head < at.n {
        return Err(Error::Halt(Halt::Short { n: at.n, head }));
    }
    let Some(recorded) = journal.read(at.n).await? else { return Err(Error::Halt(Halt::Hole { n: at.n })) };
    // Bytes that cannot be decoded have no id: there, and only there, the catalog has none either.
    let found = recorded.decode().ok().map(|event| event.id);
    if found != at.event_id {
        let words = |id: Option<proto::EventId>| id.map_or_else(|| "undecodable".to_owned(), |id| id.to_string());
        let halt = Halt::OtherEvent { n: at.n, folded: words(at.event_id), found: words(found) };
        return Err(Error::Halt(halt));
    }
    journal.observe_checkpoint(at.n, &recorded.message_id);
    Ok(())
}
