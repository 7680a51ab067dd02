//! What Prometheus is told is what `Operations.GetStatus` tells, and what is not known is not told.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use proto::Sequence;
use proto::v1::{GetStatusResponse, Node, NodeHealth};
use runtime::clock::Clock;
use tests::{Cluster, Content, Http, eventually, run};
use time::OffsetDateTime;

use crate::catalog::{active_schema, sql};

/// The samples of a page: what stands before the number, and the number as it is written.
type Figures = BTreeMap<String, String>;

async fn scrape(http: &Http) -> anyhow::Result<Figures> {
    let answer = http.get("/metrics").await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    ensure!(answer.headers[CONTENT_TYPE] == "text/plain; version=0.0.4", "{answer:?}");
    let mut figures = Figures::new();
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        ensure!(value.parse::<f64>().is_ok(), "{line}");
        ensure!(figures.insert(series.to_owned(), value.to_owned()).is_none(), "{series} is there twice");
    }
    Ok(figures)
}

/// What a page must say of a cluster in which nothing happens, going by its status; but for how old things are.
fn expected(status: &GetStatusResponse) -> anyhow::Result<Figures> {
    let (journal, catalog) = (status.journal.as_ref().context("no journal")?, status.catalog.as_ref().context("none")?);
    let (head, checkpoint): (Sequence, Sequence) = (journal.head.parse()?, catalog.checkpoint.parse()?);
    let mut figures = Figures::new();
    for (series, value) in [
        ("highwater_build_info{version=\"0.1.0\"}".to_owned(), 1),
        ("highwater_ready".to_owned(), 1),
        ("highwater_transfers_in_progress{direction=\"upload\"}".to_owned(), 0),
        ("highwater_transfers_in_progress{direction=\"download\"}".to_owned(), 0),
        ("highwater_transfers_limit{direction=\"upload\"}".to_owned(), 64),
        ("highwater_transfers_limit{direction=\"download\"}".to_owned(), 64),
        ("highwater_journal_reachable".to_owned(), 1),
        (format!("highwater_journal_info{{incarnation=\"{}\"}}", journal.incarnation), 1),
        ("highwater_journal_head_sequence".to_owned(), head.n),
        ("highwater_journal_used_bytes".to_owned(), journal.stored_bytes),
        ("highwater_journal_limit_bytes".to_owned(), journal.max_bytes),
        ("highwater_catalog_reachable".to_owned(), 1),
        ("highwater_catalog_checkpoint_sequence".to_owned(), checkpoint.n),
        ("highwater_catalog_events_behind".to_owned(), catalog.events_behind),
        ("highwater_catalog_generation".to_owned(), catalog.generation.into()),
        ("highwater_catalog_undecodable_events".to_owned(), catalog.undecodable_events),
        ("highwater_catalog_verify_failures".to_owned(), catalog.verify_failures.into()),
    ] {
        figures.insert(series, value.to_string());
    }
    for node in &status.nodes {
        figures.extend(of_node(node)?);
    }
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn of_node(node: &Node) -> anyhow::Result<Figures> {
    let counts = [
        ("blobs_stored", node.blobs_stored),
        ("blobs_pending", node.blobs_pending),
        ("events_behind", node.events_behind),
        ("pending_bytes", node.bytes_pending),
        ("blobs_parked", node.blobs_parked),
        ("blobs_lost", node.blobs_lost),
        ("blobs_erasing", node.blobs_erasing),
    ];
    let series = |name: &str| format!("highwater_node_{name}{{node=\"{}\"}}", node.node);
    let mut figures: Figures = counts.into_iter().map(|(name, value)| (series(name), value.to_string())).collect();
    let states = [
        ("healthy", NodeHealth::Healthy),
        ("unavailable", NodeHealth::Unavailable),
        ("wrong_marker", NodeHealth::WrongMarker),
        ("not_configured", NodeHealth::Unspecified),
    ];
    for (state, health) in states {
        let series = format!("highwater_node_health{{node=\"{}\",state=\"{state}\"}}", node.node);
        figures.insert(series, u8::from(node.health() == health).to_string());
    }
    // A node that joined a moment ago, and is away since, is still to be filled.
    if let Some(refill) = &node.refill {
        let number =
            |sequence: &str| if sequence.is_empty() { Ok(0) } else { sequence.parse().map(|at: Sequence| at.n) };
        let (position, until) = (number(&refill.position)?, number(&refill.until)?);
        figures.insert(series("refill_progress_ratio"), (position as f64 / until as f64).to_string());
        figures.insert(series("refill_blobs_copied"), refill.blobs_copied.to_string());
        figures.insert(series("refill_copied_bytes"), refill.bytes_copied.to_string());
    }
    if let Ok(archived) = node.archived_sequence.parse::<Sequence>() {
        figures.insert(series("archived_sequence"), archived.n.to_string());
    }
    let refill_eta = node.refill.as_ref().and_then(|refill| refill.eta);
    for (name, eta) in [("pending_eta_seconds", node.eta), ("refill_eta_seconds", refill_eta)] {
        if let Some(eta) = eta {
            figures.insert(series(name), Duration::try_from(eta)?.as_secs_f64().to_string());
        }
    }
    Ok(figures)
}

/// A page, and the status of before and after it, which must be the same.
async fn page_and_status(cluster: &Cluster, http: &Http) -> anyhow::Result<(Figures, GetStatusResponse)> {
    let mut client = cluster.client().await?;
    let before = client.status().await?;
    let figures = scrape(http).await?;
    let after = client.status().await?;
    ensure!(before == after, "{before:?} became {after:?}");
    Ok((figures, after))
}

#[test]
fn the_figures_are_those_of_the_status() {
    let brisk = |b: compose::Builder| {
        ["gateway", "replicator"].into_iter().fold(b, |b, service| {
            b.env(service, "HIGHWATER_BLOBS__OPERATION_TIMEOUT", "2s")
                .env(service, "HIGHWATER_BLOBS__READ_TIMEOUT", "2s")
                .env(service, "HIGHWATER_BLOBS__HEALTH_INTERVAL", "1s")
        })
    };
    run(brisk, async |cluster| {
        let http = Http::one(cluster.stack.gateway_addr()?);
        let mut client = cluster.client().await?;
        client.put("before", Content::new(1, 5000)).await?;
        cluster.settle().await;
        cluster.stack.stop("node-c").await?;
        for n in 0..5 {
            client.put(&format!("f{n}"), Content::new(n, 1000 + n)).await?;
        }
        let (mut figures, status) = eventually("only the node that is away lacks anything", async || {
            let (figures, status) = page_and_status(cluster, &http).await?;
            for node in &status.nodes {
                let is_away = node.node == "node-c";
                ensure!(node.blobs_pending == if is_away { 5 } else { 0 }, "{node:?}");
                ensure!((node.health() == NodeHealth::Unavailable) == is_away, "{node:?}");
            }
            anyhow::Ok((figures, status))
        })
        .await;
        let told = figures.remove("highwater_node_oldest_pending_age_seconds{node=\"node-c\"}").context("no age")?;
        let told: f64 = told.parse()?;
        let oldest_at = status.nodes.iter().find_map(|node| node.oldest_pending_at).context("nothing is pending")?;
        let age = Clock::system().now() - OffsetDateTime::from_unix_timestamp(oldest_at.seconds)?;
        assert!(told > 0.0 && told <= age.as_seconds_f64(), "{told}, and it is {age}");
        assert_eq!(figures, expected(&status)?);
        assert_eq!(figures["highwater_node_pending_bytes{node=\"node-c\"}"], "5010");

        cluster.stack.start("node-c").await?;
        cluster.settle().await;
        let (figures, status) = eventually("everything is well", async || {
            let (figures, status) = page_and_status(cluster, &http).await?;
            ensure!(status.nodes.iter().all(|node| node.health() == NodeHealth::Healthy), "{status:?}");
            anyhow::Ok((figures, status))
        })
        .await;
        assert_eq!(figures, expected(&status)?, "and nothing has an age");
        Ok(())
    });
}

/// Which families have figures, of those whose name begins so.
fn families(figures: &Figures, start: &str) -> Vec<String> {
    let mut names: Vec<String> = figures
        .keys()
        .filter_map(|series| series.split('{').next())
        .filter(|name| name.starts_with(start))
        .map(str::to_owned)
        .collect();
    names.dedup();
    names
}

/// Waits until `/readyz` answers so, and gives what it says.
async fn ready_is(http: &Http, wanted: StatusCode) -> String {
    eventually(&format!("/readyz is {wanted}"), async || {
        let answer = http.get("/readyz").await?;
        ensure!(answer.status == wanted, "{answer:?}");
        anyhow::Ok(answer.body)
    })
    .await
}

#[test]
fn what_cannot_be_asked_is_not_told() {
    run(
        |b| b.replicators(0).env("gateway", "HIGHWATER_METRICS__TIMEOUT", "1s"),
        async |cluster| {
            let http = Http::one(cluster.stack.gateway_addr()?);
            assert_eq!(ready_is(&http, StatusCode::OK).await, "ok\n");
            let all = scrape(&http).await?;

            cluster.stack.stop("postgres").await?;
            let said = ready_is(&http, StatusCode::SERVICE_UNAVAILABLE).await;
            assert_eq!(said, "the catalog cannot be read now\n");
            let figures = scrape(&http).await?;
            assert_eq!(families(&figures, "highwater_catalog_"), ["highwater_catalog_reachable"]);
            assert_eq!(families(&figures, "highwater_node_"), ["highwater_node_health"], "the gateway itself sees it");
            assert_eq!(families(&figures, "highwater_journal_"), families(&all, "highwater_journal_"));
            assert_eq!([&figures["highwater_ready"], &figures["highwater_catalog_reachable"]], ["0", "0"]);
            assert_eq!(http.get("/livez").await?.status, StatusCode::OK, "restarting would not help");
            cluster.stack.start("postgres").await?;
            assert_eq!(ready_is(&http, StatusCode::OK).await, "ok\n");

            // It does not even refuse.
            cluster.stack.pause("nats").await?;
            let said = ready_is(&http, StatusCode::SERVICE_UNAVAILABLE).await;
            assert_eq!(said, "the journal cannot be reached now; try again later\n");
            let figures = scrape(&http).await?;
            assert_eq!(families(&figures, "highwater_journal_"), ["highwater_journal_reachable"]);
            let mut of_catalog = families(&all, "highwater_catalog_");
            of_catalog.retain(|name| name != "highwater_catalog_events_behind");
            assert_eq!(families(&figures, "highwater_catalog_"), of_catalog);
            assert_eq!(families(&figures, "highwater_node_"), families(&all, "highwater_node_"));
            cluster.stack.resume("nats").await?;
            assert_eq!(ready_is(&http, StatusCode::OK).await, "ok\n");
            let again = scrape(&http).await?;
            assert_eq!(again.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
            Ok(())
        },
    );
}

#[test]
fn a_row_that_was_changed_by_hand_is_found_by_the_projector_itself() {
    run(
        |b| b.replicators(0).env("projector", "HIGHWATER_PROJECTOR__VERIFY_INTERVAL", "1s"),
        async |cluster| {
            let http = Http::one(cluster.stack.gateway_addr()?);
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 5000)).await?;
            let differences = async |wanted: &str| {
                eventually(&format!("{wanted} rows differ"), async || {
                    let figures = scrape(&http).await?;
                    let found = figures.get("highwater_catalog_verified_differences").context("not verified yet")?;
                    ensure!(found == wanted, "{found} rows differ");
                    anyhow::Ok(figures)
                })
                .await
            };
            let figures = differences("0").await;
            let rows: f64 = figures["highwater_catalog_verified_rows"].parse()?;
            assert!(rows > 0.0, "{figures:?}");
            for name in ["sequence", "timestamp_seconds", "duration_seconds"] {
                assert!(figures.contains_key(&format!("highwater_catalog_verified_{name}")), "{figures:?}");
            }

            let schema = active_schema(cluster).await?;
            sql(cluster, format!("UPDATE {schema}.blobs SET size_bytes = size_bytes + 1")).await?;
            differences("1").await;
            let said = std::fs::read_to_string(cluster.stack.log("projector"))?;
            assert!(said.contains("the catalog is not what the journal says: 1 of "), "{said}");
            let verified =
                client.status().await?.catalog.and_then(|catalog| catalog.verified).context("not verified")?;
            assert_eq!(verified.differing, 1, "{verified:?}");

            // Which goes on without end; a person's command comes first, and mends it.
            let output = cluster.projector(&["rebuild", "--switch"]).await?;
            ensure!(output.status.success(), "{output:?}");
            differences("0").await;
            client.put("b", Content::new(2, 5000)).await?;
            cluster.settle_catalog().await;
            cluster.verify().await
        },
    );
}

#[test]
fn scrapes_at_once_wait_for_their_turn() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let http = Http::two(cluster.stack.gateway_addr()?);
            ready_is(&http, StatusCode::OK).await;
            let pages = futures::future::try_join_all((0..20).map(|_| scrape(&http))).await?;
            assert!(pages.iter().all(|page| page["highwater_catalog_reachable"] == "1"), "{pages:?}");

            // The one whose turn it is waits for the journal as long as the others wait for their turn.
            cluster.stack.pause("nats").await?;
            let answers = futures::future::try_join_all((0..4).map(|_| http.get("/metrics"))).await?;
            let turned_away: Vec<_> = answers.iter().filter(|answer| answer.status != StatusCode::OK).collect();
            assert!(!turned_away.is_empty() && turned_away.len() < answers.len(), "{answers:?}");
            for answer in turned_away {
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
                assert!(answer.body.starts_with("as many scrapes as may run at once"), "{answer:?}");
            }
            cluster.stack.resume("nats").await
        },
    );
}
