//! What the gateway's port offers besides its own calls, and what it bears.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use proto::v1::UploadRequest;
use proto::v1::upload_request::Payload;
use tests::{Client, Cluster, Content, eventually, metadata, reason_of, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt as _;

const SERVICES: [&str; 3] = ["highwater.v1.Files", "highwater.v1.Operations", "FileStorage"];

macro_rules! listed {
    ($version:ident, $client:expr) => {{
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let mut client = $version::server_reflection_client::ServerReflectionClient::new($client);
        let ask = |message| $version::ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let requests = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("highwater.v1.Files".to_owned())),
        ];
        let mut answers = client.server_reflection_info(futures::stream::iter(requests)).await?.into_inner();
        let list = answers.message().await?.and_then(|answer| answer.message_response);
        let Some(MessageResponse::ListServicesResponse(list)) = list else { anyhow::bail!("no list: {list:?}") };
        let file = answers.message().await?.and_then(|answer| answer.message_response);
        let Some(MessageResponse::FileDescriptorResponse(file)) = file else { anyhow::bail!("no file: {file:?}") };
        ensure!(!file.file_descriptor_proto.is_empty(), "an empty description");
        list.service.into_iter().map(|service| service.name).collect::<BTreeSet<String>>()
    }};
}

#[test]
fn reflection_lists_the_services_in_both_versions() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let client = cluster.client().await?;
            let now = listed!(v1, client.channel.clone());
            let before = listed!(v1alpha, client.channel.clone());
            for names in [now, before] {
                for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
                    ensure!(names.contains(service), "{service} is not in {names:?}");
                }
            }
            Ok(())
        },
    );
}

async fn health(cluster: &Cluster, service: &str) -> anyhow::Result<ServingStatus> {
    let mut client = HealthClient::new(cluster.client().await?.channel);
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(client.check(request).await?.into_inner().status())
}

async fn all_are(cluster: &Cluster, wanted: ServingStatus) {
    eventually(&format!("all services are {wanted:?}"), async || {
        for service in SERVICES.into_iter().chain([""]) {
            let status = health(cluster, service).await?;
            ensure!(status == wanted, "{service:?} is {status:?}");
        }
        anyhow::Ok(())
    })
    .await;
}

#[test]
fn health_says_whether_the_gateway_can_do_its_work() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            all_are(cluster, ServingStatus::Serving).await;
            for name in ["postgres", "nats"] {
                cluster.stack.stop(name).await?;
                all_are(cluster, ServingStatus::NotServing).await;
                assert_eq!(health(cluster, "liveness").await?, ServingStatus::Serving, "restarting would not help");
                cluster.stack.start(name).await?;
                all_are(cluster, ServingStatus::Serving).await;
            }
            let error = health(cluster, "nothing").await.expect_err("there is no such service");
            let status = error.downcast::<tonic::Status>()?;
            assert_eq!(status.code(), Code::NotFound);
            Ok(())
        },
    );
}

#[test]
fn garbage_is_refused_and_harms_nobody_else() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let pid = cluster.stack.pid("gateway").context("no gateway")?;
            // No field, a field that ends early, a length beyond the end, random bytes.
            let garbage: [&[u8]; 4] = [&[0xff; 64], &[0x0a], &[0x0a, 0xff, 0xff, 0x03, 1], &[7; 1000]];
            for bytes in garbage {
                let other = cluster.client().await?;
                let sent = other.send_raw("/highwater.v1.Files/Upload", vec![Bytes::from_static(bytes)]).await;
                let status = sent.expect_err("garbage");
                assert_eq!(status.code(), Code::InvalidArgument, "{bytes:?}: {status:?}");
                assert!(!reason_of(&status).is_empty(), "{status:?}");
            }
            // What is not even HTTP: the connection is closed.
            let mut stream = TcpStream::connect(cluster.stack.gateway_addr()?).await?;
            stream.write_all(&[0; 4096]).await?;
            let mut answer = Vec::new();
            // A connection that is reset is closed as well.
            let _ = stream.read_to_end(&mut answer).await;
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
            let content = Content::new(1, 5000);
            client.put("fine", content).await?;
            assert_eq!(client.get("fine").await?, content.bytes(), "on the connection from before");
            assert_eq!(cluster.stack.pid("gateway"), Some(pid));
            Ok(())
        },
    );
}

#[test]
fn a_header_that_is_too_large_is_refused() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 5000)).await?;
            let ask = |bytes: usize| {
                let mut request = tonic::Request::new(proto::v1::GetStatusRequest {});
                let value = MetadataValue::try_from("x".repeat(bytes)).expect("it is ASCII");
                request.metadata_mut().insert("x-large", value);
                request
            };
            client.operations.get_status(ask(8 * 1024)).await.context("8 KiB are fine")?;
            for bytes in [17 * 1024, 200 * 1024] {
                let refused = cluster.client().await?.operations.get_status(ask(bytes)).await;
                let status = refused.expect_err("more than 16 KiB of header");
                ensure!(status.code() != Code::Ok, "{status:?}");
            }
            assert_eq!(client.get("a").await?, Content::new(1, 5000).bytes());
            Ok(())
        },
    );
}

/// An upload that goes on as messages are sent.
async fn slow_upload(
    mut client: Client,
    path: &str,
) -> anyhow::Result<(mpsc::Sender<Payload>, impl Future<Output = Result<proto::v1::Receipt, tonic::Status>>)> {
    let (send, messages) = mpsc::channel(4);
    send.send(Payload::Metadata(metadata(path))).await?;
    let messages = ReceiverStream::new(messages).map(|payload| UploadRequest { payload: Some(payload) });
    Ok((send, async move { client.send(messages).await }))
}

#[test]
fn uploads_above_the_limit_are_told_to_come_later() {
    run(
        |b| {
            let b = b.replicators(0).env("gateway", "HIGHWATER_LIMITS__MAX_UPLOADS", "1");
            // So long that the slow upload gets the place in its turn, whoever has it at first.
            b.env("gateway", "HIGHWATER_LIMITS__QUEUE_WAIT", "3s")
        },
        async |cluster| {
            let mut client = cluster.client().await?;
            let content = Content::new(1, 5000);
            client.put("before", content).await.context("the gateway works")?;
            let (send, upload) = slow_upload(cluster.client().await?, "slow").await?;
            let others = async {
                let status = eventually("the only place is taken", async || match client.put("other", content).await {
                    Ok(receipt) => anyhow::bail!("it was taken: {receipt:?}"),
                    Err(status) => anyhow::Ok(status),
                })
                .await;
                assert_eq!(
                    (status.code(), reason_of(&status).as_str()),
                    (Code::ResourceExhausted, "too_many_uploads"),
                    "{status:?}"
                );
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                send.send(Payload::Chunk(content.bytes())).await?;
                drop(send);
                anyhow::Ok(())
            };
            let (receipt, others) = tokio::join!(upload, others);
            others?;
            assert_eq!(receipt?.size_bytes, content.size);
            client.put("other", content).await.context("the place is free again")?;
            assert_eq!(client.get("slow").await?, content.bytes());
            Ok(())
        },
    );
}
