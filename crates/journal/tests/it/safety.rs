//! What is refused, with its sentence.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream::stream;
use journal::{Error, JOURNAL_DIVERGED, JOURNAL_UNSAFE};
use proto::Sequence;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::bench::Bench;
use crate::server::{Server, Sync, eventually};

/// The sentences with which opening is refused.
async fn refusal(bench: &Bench) -> String {
    match bench.open().await {
        Err(error @ Error::Unsafe(_)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_acknowledges_before_it_fsyncs() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.server.kill()?;
    bench.server.restart(Sync::Default).await?;
    let sentence = refusal(&bench).await;
    assert!(sentence.contains("acknowledges before it fsyncs, and would lose acknowledged changes"), "{sentence}");
    assert!(sentence.contains("set `sync_interval: always` in the `jetstream` block"), "{sentence}");
    let init = bench.init().await.unwrap_err().to_string();
    assert!(init.contains("`sync_interval: always`"), "{init}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_state_cannot_be_seen() -> Result<()> {
    let mut bench = Bench::start().await?;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    bench.config.monitor_url = format!("http://{closed}");
    let sentence = refusal(&bench).await;
    assert!(sentence.contains("cannot see whether nats-server"), "{sentence}");
    assert!(sentence.contains("start it with `http_port: 8222` and set `nats.monitor_url`"), "{sentence}");
    assert!(sentence.contains("Connection refused"), "{sentence}");

    // Another server's word does not count.
    let other = Server::start().await?;
    bench.config.monitor_url.clone_from(&other.monitor_url);
    let sentence = refusal(&bench).await;
    assert!(sentence.contains("cannot see whether nats-server"), "{sentence}");
    assert!(sentence.contains("is nats-server"), "{sentence}");
    Ok(())
}

/// The address of a way to the server on which it says that it is of another version.
async fn as_version(server: &Server, version: &'static str) -> Result<String> {
    let real = server.url.trim_start_matches("nats://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let mut ways = tokio::task::JoinSet::new();
    tokio::runtime::Handle::current().spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::TcpStream::connect(&real).await?;
            let way = async move {
                // All that it says at first is one line.
                let mut hello = String::new();
                let mut reader = tokio::io::BufReader::new(&mut server);
                reader.read_line(&mut hello).await?;
                let rest = reader.buffer().to_vec();
                let (before, found) = hello.split_once("\"version\":\"").context("a greeting without a version")?;
                let (_, after) = found.split_once('"').context("a version without an end")?;
                client.write_all(format!("{before}\"version\":\"{version}\"{after}").as_bytes()).await?;
                client.write_all(&rest).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await?;
                anyhow::Ok(())
            };
            ways.spawn(async move {
                if let Err(error) = way.await {
                    println!("the way to the server: {error:#}");
                }
            });
        }
        anyhow::Ok(())
    });
    Ok(format!("nats://{addr}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.url = as_version(&bench.server, "2.15.0").await?;
    let sentence = refusal(&bench).await;
    assert!(sentence.contains("has the version \"2.15.0\": 2.15.1 or newer is needed"), "{sentence}");
    let init = bench.init().await.unwrap_err().to_string();
    assert!(init.contains("2.15.1 or newer is needed"), "{init}");
    bench.config.url = as_version(&bench.server, "2.15.1").await?;
    bench.open().await?;
    Ok(())
}

/// Makes the stream by hand, as `edit` changes it.
async fn stream_with(edit: impl FnOnce(&mut stream::Config)) -> Result<Bench> {
    let bench = Bench::start().await?;
    let jetstream = bench.jetstream().await?;
    let mut config = jetstream.get_stream(&bench.config.stream).await?.cached_info().config.clone();
    jetstream.delete_stream(&bench.config.stream).await?;
    edit(&mut config);
    jetstream.create_stream(config).await?;
    Ok(bench)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_as_init_makes_it() -> Result<()> {
    let bench = stream_with(|config| {
        config.max_age = Duration::from_hours(1);
        config.discard = stream::DiscardPolicy::Old;
        config.deny_delete = false;
        config.deny_purge = false;
        config.allow_direct = false;
        config.duplicate_window = Duration::from_mins(1);
        config.persist_mode = Some(stream::PersistenceMode::Async);
        config.allow_atomic_publish = false;
    })
    .await?;
    let sentence = refusal(&bench).await;
    for field in [
        "persist_mode is Async instead of Default",
        "max_age (the age limit) is 3600s instead of 0ns",
        "discard is Old instead of New",
        "duplicate_window is 60s instead of 600s",
        "deny_delete is false instead of true",
        "deny_purge is false instead of true",
        "allow_direct is false instead of true",
        "allow_atomic is false instead of true",
        "set it back with `nats stream edit HIGHWATER`",
    ] {
        assert!(sentence.contains(field), "{field:?} is not in: {sentence}");
    }
    let init = bench.init().await.unwrap_err();
    assert_eq!(init.to_string(), sentence);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_stream_is_no_drift_and_a_smaller_one_is() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.max_bytes /= 2;
    bench.open().await?;
    bench.config.max_bytes *= 4;
    let sentence = refusal(&bench).await;
    assert!(sentence.contains("max_bytes is 67108864 instead of at least 134217728"), "{sentence}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_somebody_else_or_of_a_later_version() -> Result<()> {
    let bench = stream_with(|config| config.metadata.clear()).await?;
    let sentence = refusal(&bench).await;
    assert!(sentence.contains("the stream HIGHWATER was not made by Highwater"), "{sentence}");

    let bench =
        stream_with(|config| drop(config.metadata.insert("highwater_schema".to_owned(), "2".to_owned()))).await?;
    let sentence = refusal(&bench).await;
    assert!(sentence.contains("a newer version of Highwater is needed"), "{sentence}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_unsafe_stops_writes_until_it_is_mended() -> Result<()> {
    let mut bench = Bench::start().await?;
    let journal = bench.open().await?;
    journal.publish(&bench.upload(0)).await?;
    bench.server.kill()?;
    bench.server.restart(Sync::Default).await?;
    let event = bench.upload(1);
    let error = journal.publish(&event).await.unwrap_err();
    assert_eq!(error.reason(), JOURNAL_UNSAFE);
    assert!(error.to_string().contains("`sync_interval: always`"), "{error}");
    assert_eq!(journal.stopped(), Some(error));
    assert_eq!(journal.is_diverged(), None);
    bench.server.kill()?;
    bench.server.restart(Sync::Always).await?;
    let publish = async || journal.publish(&event).await.ok();
    let published = eventually("writes go on", publish).await;
    assert_eq!(published.n, 2);
    assert_eq!(journal.stopped(), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_while_it_is_open_stops_writes() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let jetstream = bench.jetstream().await?;
    let config = jetstream.get_stream(&bench.config.stream).await?.cached_info().config.clone();
    jetstream.update_stream(stream::Config { max_age: Duration::from_mins(150), ..config }).await?;
    let error = eventually("the drift is seen", async || journal.publish(&bench.upload(0)).await.err()).await;
    assert_eq!(error.reason(), JOURNAL_UNSAFE);
    assert!(error.to_string().contains("the age limit"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_incarnation() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    bench.jetstream().await?.delete_stream(&bench.config.stream).await?;
    let error = eventually("the loss is seen", async || journal.check().await.err()).await;
    assert!(error.to_string().contains("the stream HIGHWATER does not exist"), "{error}");
    bench.init().await?;
    let reason = eventually("the new stream is seen", async || journal.is_diverged()).await;
    assert!(reason.contains("it was restored, or deleted and made again"), "{reason}");
    let error = journal.publish(&bench.upload(0)).await.unwrap_err();
    assert_eq!(error.reason(), JOURNAL_DIVERGED);
    assert_eq!(journal.head().await?.n, 0);

    let journal = bench.open().await?;
    journal.observe_sequence(Sequence { incarnation: proto::Incarnation::new(bench.ids.v4()), n: 1 });
    assert!(journal.check().await.unwrap_err().to_string().contains("had been read"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_sequence_below_the_checkpoint() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let first = bench.upload(0);
    journal.publish(&first).await?;
    journal.observe_checkpoint(1, first.id);
    journal.check().await?;
    journal.observe_checkpoint(5, bench.event_id());
    let error = journal.check().await.unwrap_err().to_string();
    assert!(error.contains("ends with event 1, but event 5 had been read: its tail is lost"), "{error}");
    assert_eq!(journal.publish(&bench.upload(1)).await.unwrap_err().reason(), JOURNAL_DIVERGED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_event_at_the_checkpoint() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    journal.publish(&bench.upload(0)).await?;
    journal.observe_checkpoint(1, bench.event_id());
    let error = journal.check().await.unwrap_err().to_string();
    assert!(error.contains("its tail was lost and written anew"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_at_or_below_the_checkpoint() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.check_interval = Duration::from_hours(1);
    let journal = bench.open().await?;
    let event = bench.upload(0);
    journal.publish(&event).await?;
    journal.observe_checkpoint(1, event.id);
    // The duplicate of an event at the checkpoint is as it should be.
    assert!(journal.publish(&event).await?.duplicate);
    journal.observe_checkpoint(2, bench.event_id());
    let error = journal.publish(&bench.upload(1)).await.unwrap_err();
    assert_eq!(error.reason(), JOURNAL_DIVERGED);
    assert!(error.to_string().contains("a new event got the number 2, but event 2 had been read"), "{error}");
    Ok(())
}

/// The checks compare what others have read with what the stream says, while both go on. Sixty-four writers whose
/// acknowledgements are read at once keep that race up for many checks.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_only_grows_is_never_taken_for_another_one() -> Result<()> {
    let mut bench = Bench::start().await?;
    bench.config.check_interval = Duration::from_millis(5);
    let journal = bench.open().await?;
    let events: Vec<_> = (0..2000).map(|n| bench.upload(n)).collect();
    let writers = events.chunks(32).map(async |events| {
        for event in events {
            let published = journal.publish(event).await?;
            journal.observe_checkpoint(published.n, event.id);
        }
        anyhow::Ok(())
    });
    futures::future::try_join_all(writers).await?;
    assert_eq!(journal.is_diverged(), None);
    journal.check().await?;
    assert_eq!(journal.head().await?.n, 2000);
    Ok(())
}
