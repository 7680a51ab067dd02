//! The calls of operations with request ids: the same id again is the first outcome.

use anyhow::Context as _;
use proto::Fact;
use proto::v1::{
    GetPlacementRequest, Placement, RedriveRequest, RetireNodeRequest, RetireNodeResponse, SetPlacementRequest,
};
use tests::{Client, Cluster, Content, eventually, reason_of, run};
use tonic::{Code, Status};

use super::world::Log;

fn is_reused<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.expect_err("the id was used for something else");
    assert_eq!((status.code(), reason_of(&status).as_str()), (Code::AlreadyExists, "request_id_reused"));
}

/// Another gateway process on another build of the catalog.
async fn anew(cluster: &Cluster) -> anyhow::Result<Client> {
    cluster.stack.restart("gateway").await?;
    let rebuilt = cluster.projector(&["rebuild", "--switch"]).await?;
    anyhow::ensure!(rebuilt.status.success(), "{rebuilt:?}");
    cluster.client().await
}

/// How many events ask for copies again.
async fn asked(log: &Log) -> anyhow::Result<usize> {
    let facts = log.facts().await?;
    Ok(facts.iter().filter(|(.., fact)| matches!(fact, Fact::ReplicationRedriven(_))).count())
}

#[test]
fn copies_are_asked_for_again_once() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let (mut client, log) = (cluster.client().await?, Log::open(cluster).await?);
            let redrive = |id: &str| RedriveRequest { pending: true, request_id: id.to_owned(), ..Default::default() };
            let nothing = client.redrive(redrive("nothing")).await?;
            assert_eq!((nothing.replicas, nothing.sequence.as_str()), (0, ""));
            client.put("a", Content::new(1, 10)).await?;
            client.put("b", Content::new(2, 10)).await?;
            let two = client.redrive(redrive("two")).await?;
            assert_eq!(two.replicas, 4);
            let asked = asked(&log).await?;
            client.put("c", Content::new(3, 10)).await?;
            for again in 0..2 {
                assert_eq!(client.redrive(redrive("nothing")).await?, nothing);
                assert_eq!(client.redrive(redrive("two")).await?, two);
                is_reused(client.redrive(RedriveRequest { pending: false, ..redrive("two") }).await);
                is_reused(client.redrive(RedriveRequest { pending: false, ..redrive("nothing") }).await);
                if again == 0 {
                    client = anew(cluster).await?;
                }
            }
            assert_eq!(self::asked(&log).await?, asked, "nothing more was asked for");
            let output = cluster.highwater(&["ops", "redrive", "--all", "--pending", "--request-id", "two"]).await?;
            assert!(output.status.success(), "{output:?}");
            assert!(String::from_utf8(output.stdout)?.contains('4'), "the same as over the API");
            cluster.verify().await
        },
    );
}

async fn place(client: &mut Client, copies: u32, id: &str) -> Result<Placement, Status> {
    let (copies, request_id) = (Some(copies), id.to_owned());
    let request = SetPlacementRequest { copies, request_id, ..Default::default() };
    Ok(client.operations.set_placement(request).await?.into_inner().placement.unwrap_or_default())
}

#[test]
fn the_placement_is_changed_once() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let unsaid = place(&mut client, 0, "as it is").await?;
            assert_eq!((unsaid.copies, unsaid.sequence.as_str()), (0, ""));
            let two = place(&mut client, 2, "two").await?;
            assert_eq!((two.copies, two.sequence.is_empty()), (2, false));
            let same = place(&mut client, 2, "the same").await?;
            assert_eq!(same, two, "it is so already");
            let one = place(&mut client, 1, "one").await?;
            for again in 0..2 {
                assert_eq!(place(&mut client, 0, "as it is").await?, unsaid);
                assert_eq!(place(&mut client, 2, "two").await?, two);
                assert_eq!(place(&mut client, 2, "the same").await?, same);
                is_reused(place(&mut client, 1, "two").await);
                is_reused(place(&mut client, 1, "the same").await);
                let now = client.operations.get_placement(GetPlacementRequest::default()).await?.into_inner();
                assert_eq!(now.placement.as_ref(), Some(&one));
                if again == 0 {
                    client = anew(cluster).await?;
                }
            }
            cluster.verify().await
        },
    );
}

async fn retire(client: &mut Client, node: &str, id: &str) -> Result<RetireNodeResponse, Status> {
    let request = RetireNodeRequest { node: node.to_owned(), request_id: id.to_owned(), ..Default::default() };
    Ok(client.operations.retire_node(request).await?.into_inner())
}

#[test]
fn a_node_that_joined_again_is_not_retired_by_an_old_request() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 10)).await?;
            cluster.replicated("a", 3).await;
            let retired = eventually("node-c is retired", async || {
                let answer = retire(&mut cluster.client().await?, "node-c", "out").await?;
                anyhow::ensure!(answer.waiting_for.is_empty(), "{answer:?}");
                Ok(answer)
            })
            .await;
            assert!(!retired.sequence.is_empty());
            let found = retire(&mut client, "node-c", "out already").await?;
            assert_eq!(found.sequence, retired.sequence);
            is_reused(retire(&mut client, "node-b", "out").await);
            is_reused(retire(&mut client, "node-b", "out already").await);

            super::wipe::wipe(cluster, "node-c").await?;
            cluster.stack.start("node-c").await?;
            cluster.stack.run_once("gateway", &["init"]).await?;
            cluster.replicated("a", 3).await;
            let mut client = anew(cluster).await?;
            for id in ["out", "out already"] {
                assert_eq!(retire(&mut client, "node-c", id).await?.sequence, retired.sequence);
            }
            let status = client.status().await?;
            let node = status.nodes.iter().find(|node| node.node == "node-c").context("no node-c")?;
            assert_eq!((node.blobs_stored, node.reason.as_str()), (1, ""), "it is a member still");
            cluster.verify().await
        },
    );
}
