//! The journal, what `Watch` tells of it, and what clients were answered: one and the same.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context as _, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures::StreamExt as _;
use proto::v1::{self, Outcome, Receipt};
use proto::{Event, Fact, Recorded, Sequence, SpaceId};
use tests::Cluster;

use super::history::History;
use super::model::{Model, Verdict};
use super::operation::{Asked, Kind};

/// How often each outcome came, by kind of change and reason; none when applied.
pub(super) type Counts = BTreeMap<(Kind, String), u64>;

/// The journal from its beginning, as NATS has it.
pub(super) async fn journal(cluster: &Cluster) -> anyhow::Result<Vec<(u64, Event)>> {
    let jetstream = async_nats::jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?);
    let stream = jetstream.get_stream("HIGHWATER").await?;
    let head = stream.get_info().await?.state.last_sequence;
    let from_start = pull::OrderedConfig { deliver_policy: DeliverPolicy::All, ..Default::default() };
    let mut messages = stream.create_consumer(from_start).await?.messages().await?;
    let mut all = Vec::new();
    while all.len() as u64 != head {
        let message = messages.next().await.context("the journal ends before its head")??;
        let n = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
        let (subject, payload) = (message.subject.to_string(), message.payload.clone());
        all.push((n, Recorded { n, subject, message_id: String::new(), payload }.decode()?));
    }
    Ok(all)
}

/// The space in which everything happens.
pub(super) fn space_of(journal: &[(u64, Event)]) -> anyhow::Result<SpaceId> {
    let created = journal.iter().find_map(|(_, event)| match &event.fact {
        Fact::SpaceCreated(created) if created.name.as_str() == "main" => Some(made_by(event)),
        _ => None,
    });
    created.context("no space was ever made")
}

/// The space that an event that makes one makes.
fn made_by(event: &Event) -> SpaceId {
    SpaceId::new(event.id.derive(0))
}

/// Goes through the journal with the model: `Watch` tells every event once and in order, each with the outcome that the
/// rules give it; and each is the one event of one operation, whose client was answered just that.
pub(super) fn follow(
    journal: &[(u64, Event)],
    told: &[v1::Change],
    asked: &[&Asked],
    model: &mut Model,
) -> anyhow::Result<(History, Counts)> {
    let space_id = space_of(journal)?;
    let mut by_request: HashMap<&str, &Asked> =
        asked.iter().map(|asked| (asked.operation.request_id.as_str(), *asked)).collect();
    ensure!(by_request.len() == asked.len(), "two operations have one request id");
    let ids: HashSet<&str> = told.iter().map(|change| change.event_id.as_str()).collect();
    ensure!(ids.len() == told.len(), "{} events were told {} times", ids.len(), told.len());
    let (mut history, mut counts, mut told) = (History::new(), Counts::new(), told.iter());
    let is_of_space = |event: &Event| event.fact.space_id() == Some(space_id) || made_by(event) == space_id;
    for (n, event) in journal.iter().filter(|(_, event)| is_of_space(event)) {
        let change = told.next().with_context(|| format!("nothing is told of {n}: {event:?}"))?;
        let sequence: Sequence = change.sequence.parse()?;
        let kind = event.fact.kind().cloud_event_type();
        ensure!(
            (sequence.n, change.event_id.as_str(), change.r#type.as_str()) == (*n, &*event.id.to_string(), kind),
            "{n} is {event:?}, and {change:?} is told"
        );
        if matches!(event.fact, Fact::SpaceCreated(_)) {
            continue;
        }
        let request_id = event.request_id.as_ref().map(proto::RequestId::as_str).unwrap_or_default();
        let asked = by_request.remove(request_id).with_context(|| format!("nobody, or twice: {event:?}"))?;
        asked.operation.is_said_by(&event.fact)?;
        ensure!(event.id == asked.operation.event_id(space_id), "{event:?} of {asked:?}");
        let receipt = asked.answer.as_ref().ok().with_context(|| format!("{asked:?} was refused, and is {event:?}"))?;
        ensure!(is_answer(receipt, change), "{receipt:?} against {change:?}");
        let verdict = model.apply(event).with_context(|| format!("{change:?}"))?;
        ensure!(is_verdict(&verdict, change), "{change:?} must be {verdict:?}");
        *counts.entry((asked.operation.kind, change.reason.clone())).or_default() += 1;
        history.add(*n, model);
    }
    ensure!(told.next().is_none(), "more is told than the journal has");
    let unheard = by_request.values().find(|asked| asked.answer.is_ok());
    ensure!(unheard.is_none(), "answered, and not in the journal: {unheard:?}");
    Ok((history, counts))
}

fn is_answer(receipt: &Receipt, change: &v1::Change) -> bool {
    let same_place =
        receipt.outcome() != Outcome::Applied || (receipt.path == change.path && receipt.file_id == change.file_id);
    receipt.event_id == change.event_id
        && receipt.sequence == change.sequence
        && receipt.outcome() == change.outcome()
        && receipt.reason == change.reason
        && receipt.version_id == change.version_id
        && same_place
}

fn is_verdict(verdict: &Verdict, change: &v1::Change) -> bool {
    let text = |id: Option<String>| id.unwrap_or_default();
    verdict.outcome == change.outcome()
        && verdict.reason == change.reason
        && verdict.path == change.path
        && text(verdict.file_id.map(|id| id.to_string())) == change.file_id
        && text(verdict.version_id.map(|id| id.to_string())) == change.version_id
}
