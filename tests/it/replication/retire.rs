//! A node is taken out only once everything that it holds is elsewhere.

use anyhow::{Context as _, ensure};
use proto::v1::NodeHealth;
use tests::{Content, eventually, reason_of, run};
use tonic::Code;

#[test]
fn a_node_is_retired_when_everything_is_elsewhere() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let contents: Vec<(String, Content)> = (0..20).map(|n| (format!("f{n}"), Content::new(n, 5000))).collect();
            let mut on_b = 0;
            for (path, content) in &contents {
                on_b += u64::from(client.put(path, *content).await?.node == "node-b");
            }
            assert!(on_b > 0, "node-b took none of 20 uploads");
            let status = client.retire("node-x").await.expect_err("there is none");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::NotFound, "node_not_found"));

            // Nobody copies yet.
            let answer = client.retire("node-b").await?;
            assert_eq!(answer.blobs_elsewhere_pending, on_b, "{answer:?}");
            assert!(answer.waiting_for.contains("only node-b holds") && answer.sequence.is_empty(), "{answer:?}");
            let output = cluster.highwater(&["ops", "retire", "node-b"]).await?;
            assert_eq!(output.status.code(), Some(5), "{output:?}");
            // From now on it takes no uploads.
            for n in 20..40 {
                let receipt = client.put(&format!("f{n}"), Content::new(n, 5000)).await?;
                assert_ne!(receipt.node, "node-b");
            }

            let waiting = cluster.highwater(&["ops", "retire", "node-b", "--wait"]);
            let copying = cluster.stack.scale(1);
            let (output, scaled) = tokio::join!(waiting, copying);
            scaled?;
            let output = output?;
            ensure!(output.status.success(), "{output:?}");
            let said = String::from_utf8(output.stdout)?;
            assert!(said.contains("node-b is retired, at ") && said.contains("configuration"), "{said}");

            let status = cluster.client().await?.status().await?;
            let gone = status.nodes.iter().find(|node| node.node == "node-b").context("it is configured still")?;
            assert_eq!((gone.blobs_stored, gone.blobs_pending, gone.health()), (0, 0, NodeHealth::Healthy));
            assert!(gone.reason.contains("take it out of the configuration"), "{gone:?}");
            for n in 40..60 {
                let receipt = client.put(&format!("f{n}"), Content::new(n, 5000)).await?;
                assert_ne!(receipt.node, "node-b");
            }
            // Asked again, it is the same answer.
            let again = client.retire("node-b").await?;
            assert!(again.waiting_for.is_empty() && !again.sequence.is_empty(), "{again:?}");
            cluster.settle().await;

            // Everything is on the others, and readable without it.
            cluster.stack.stop("node-b").await?;
            for n in 0..60 {
                let file = cluster.replicated(&format!("f{n}"), 2).await;
                assert_eq!((file.replicas.len(), file.replicas_wanted), (2, 2), "{file:?}");
                assert_eq!(client.get(&format!("f{n}")).await?, Content::new(n, 5000).bytes());
            }
            cluster.verify().await
        },
    );
}

#[test]
fn a_node_that_alone_holds_something_is_not_retired_nor_is_the_last_one() {
    run(
        |b| b.node_count(1).replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let node = cluster.stack.nodes()[0].id.clone();
            client.put("a", Content::new(1, 10)).await?;
            let status = client.retire(&node).await.expect_err("it is the last one");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::FailedPrecondition, "last_node"));
            let status = client.retire("no name").await.expect_err("no name");
            assert_eq!(status.code(), Code::InvalidArgument);
            eventually("uploads go on", async || client.put("b", Content::new(2, 10)).await).await;
            cluster.verify().await
        },
    );
}
