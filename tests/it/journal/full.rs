//! A journal that is full takes no more changes of users; the room that is left is for the system.

use async_nats::jetstream::context::Context;
use compose::Builder;
use tests::{Content, eventually, reason_of, run};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{STREAM, jetstream};

const MAX_BYTES: u64 = 1 << 20;

fn small(builder: Builder) -> Builder {
    ["gateway", "replicator", "projector"]
        .into_iter()
        .fold(builder.replicators(1), |b, service| b.env(service, "HIGHWATER_NATS__MAX_BYTES", "1MiB"))
}

/// Makes the journal 96 % full, with events that are no events.
async fn fill(jetstream: &Context) -> anyhow::Result<()> {
    while jetstream.get_stream(STREAM).await?.cached_info().state.bytes < MAX_BYTES / 100 * 96 {
        jetstream.publish("hw.v1.file_uploaded", vec![b'x'; 4096].into()).await?.await?;
    }
    Ok(())
}

#[test]
fn a_full_journal_takes_no_more_changes_but_the_copies_of_what_it_has() {
    run(small, async |cluster| {
        let mut client = cluster.client().await?;
        let content = Content::new(1, 5000);
        cluster.stack.stop("replicator-1").await?;
        client.put("before", content).await?;
        fill(&jetstream(cluster).await?).await?;
        let status = eventually("uploads are refused", async || match client.put("after", content).await {
            Ok(receipt) => anyhow::bail!("acknowledged: {receipt:?}"),
            Err(status) => anyhow::Ok(status),
        })
        .await;
        assert_eq!((status.code(), reason_of(&status).as_str()), (Code::ResourceExhausted, "journal_full"));
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
        assert_eq!(client.get("before").await?, content.bytes(), "reads go on");
        cluster.stack.start("replicator-1").await?;
        cluster.replicated("before", 3).await;
        Ok(())
    });
}
