//! Many clients at once on the same few names, at two gateways: one winner each, and nothing that was answered is undone
//! or invented.

mod contents;
mod history;
mod model;
mod operation;
mod play;
mod told;

use anyhow::ensure;
use runtime::config::Environment;
use tests::{Client, Cluster, run};

use model::Model;
use operation::{Asked, Kind};
use play::{Log, Player};
use told::Counts;

const CLIENTS: u64 = 16;
/// Changes in all; `HIGHWATER_TEST_RACES` asks for another number.
const CHANGES: u64 = 20_000;

/// What must come of so many changes, by kind and reason; an empty one for what is applied.
const MUST_OCCUR: [(Kind, &str); 17] = [
    (Kind::CreateOnly, ""),
    (Kind::CreateOnly, "file_exists"),
    (Kind::Swap, ""),
    (Kind::Swap, "version_changed"),
    (Kind::Move, ""),
    (Kind::Move, "moved"),
    (Kind::Move, "file_exists"),
    (Kind::Move, "same_path"),
    (Kind::Delete, ""),
    (Kind::Delete, "moved"),
    (Kind::MoveFolder, ""),
    (Kind::MoveFolder, "moved"),
    (Kind::MoveFolder, "name_taken_by_folder"),
    (Kind::MoveFolder, "into_itself"),
    (Kind::MoveFolder, "same_path"),
    (Kind::DeleteFolder, ""),
    (Kind::DeleteFolder, "moved"),
];

fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    Environment::process().var(name).map_or(default, |text| text.parse().ok().unwrap())
}

#[test]
fn sixteen_clients_on_the_same_names() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let seed = from_environment("HIGHWATER_TEST_SEED", rand::random::<u64>());
            let changes = from_environment("HIGHWATER_TEST_RACES", CHANGES);
            println!("seed {seed}, {changes} changes");
            let (_second, second) = cluster.second_gateway().await?;
            let gateways = [cluster.stack.gateway_addr()?, second];
            let logs = futures::future::try_join_all((0..CLIENTS).map(async |n| {
                let [own, other] = if n % 2 == 0 { gateways } else { [gateways[1], gateways[0]] };
                let player = Player::new(Client::connect(own).await?, Client::connect(other).await?, seed, n);
                player.play(changes / CLIENTS).await
            }))
            .await?;
            check(cluster, &logs, changes).await
        },
    );
}

/// Every answer against the journal, and the catalog against what must have come of it.
async fn check(cluster: &Cluster, logs: &[Log], changes: u64) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    let asked: Vec<&Asked> = logs.iter().flat_map(|log| &log.asked).collect();
    ensure!(asked.len() as u64 == changes / CLIENTS * CLIENTS, "{} of {changes} changes were asked for", asked.len());
    let journal = told::journal(cluster).await?;
    let incarnation = client.status().await?.journal.unwrap_or_default().incarnation;
    let told = client.changes(&format!("{incarnation}-0")).await?;
    let space_id = told::space_of(&journal)?;
    let mut model = Model::new(space_id);
    let (history, counts) = told::follow(&journal, &told, &asked, &mut model)?;
    let mut reads = 0;
    for log in logs {
        reads += history.explains(&log.session)?;
    }
    let again: u64 = logs.iter().map(|log| log.answered_again).sum();
    let refused = asked.iter().filter(|asked| asked.answer.is_err()).count();
    println!("{counts:#?}\n{refused} refused, {again} answered again, {reads} reads");
    if changes >= CHANGES {
        occurred(&counts)?;
        ensure!(refused > 0 && again > 0, "{refused} were refused, {again} answered again");
    }
    contents::have_nothing_rejected(&model, &asked)?;
    contents::are_those_of(&client, &model).await?;
    contents::are_what_was_sent(&client, &asked).await?;
    contents::refusals_have_no_receipt(&client, space_id, &asked).await?;
    cluster.verify().await
}

/// What the race is about did happen, and nothing that cannot.
fn occurred(counts: &Counts) -> anyhow::Result<()> {
    for (kind, reason) in MUST_OCCUR {
        ensure!(counts.contains_key(&(kind, reason.to_owned())), "no {kind:?} became {reason:?}: {counts:?}");
    }
    ensure!(counts.len() == MUST_OCCUR.len(), "something came of a change that cannot: {counts:?}");
    Ok(())
}
