//! The tutorial's `FileStorage`: its clients work unchanged, and see the same files as everybody else.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use compose::Install;
use proto::file_storage::file_storage_client::FileStorageClient;
use proto::file_storage::{FileDownloadRequest, FileMetadataRequest, FileRequest, MetadataResponse};
use runtime::clock::Clock;
use runtime::config::Environment;
use tests::{Cluster, Content, announce, reason_of, run, said, skipped_in_ci_too};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

const CHUNK: u64 = 64 * 1024;

/// A client, as the tutorial's users have it.
struct Storage(FileStorageClient<Channel>);

impl Storage {
    async fn connect(cluster: &Cluster) -> anyhow::Result<Self> {
        Ok(Self(FileStorageClient::new(cluster.client().await?.channel)))
    }

    /// Sends these messages, with call metadata `filename` when there is one.
    async fn send(&mut self, in_call: Option<&str>, messages: Vec<FileRequest>) -> Result<String, Status> {
        let mut request = Request::new(futures::stream::iter(messages));
        if let Some(name) = in_call {
            request.metadata_mut().insert("filename", name.parse().unwrap());
        }
        Ok(self.0.upload_file(request).await?.into_inner().message)
    }

    async fn get(&mut self, name: &str) -> Result<Vec<u8>, Status> {
        let request = FileDownloadRequest { file_name: name.to_owned() };
        let mut stream = self.0.download_file(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(message) = stream.message().await? {
            bytes.extend_from_slice(&message.file_data);
        }
        Ok(bytes)
    }

    async fn describe(&mut self, name: &str) -> Result<MetadataResponse, Status> {
        Ok(self.0.get_metadata(FileMetadataRequest { file_name: name.to_owned() }).await?.into_inner())
    }
}

fn message(name: &str, data: impl Into<Bytes>) -> FileRequest {
    FileRequest { file_data: data.into(), file_name: name.to_owned() }
}

/// The content in chunks; the first one has the name.
fn messages(name: &str, content: Content) -> Vec<FileRequest> {
    let first = std::iter::once(name).chain(std::iter::repeat(""));
    first.zip(content.chunks(CHUNK)).map(|(name, chunk)| message(name, chunk)).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, reason: &str) {
    let status = outcome.expect_err(reason);
    assert_eq!((status.code(), reason_of(&status).as_str()), (code, reason), "{status:?}");
}

#[test]
fn the_name_comes_from_the_first_message_or_from_the_call() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut storage = Storage::connect(cluster).await?;
            let mut client = cluster.client().await?;
            // One PUT, and a multipart upload.
            for size in [1, 200_000, 9 * 1024 * 1024 + 1] {
                let (one, two) = (Content::new(1, size), Content::new(2, size));
                assert!(!storage.send(None, messages("dir/in message.bin", one)).await?.is_empty());
                assert!(!storage.send(Some("in-call.bin"), messages("", two)).await?.is_empty());
                for (name, content) in [("dir/in message.bin", one), ("in-call.bin", two)] {
                    assert_eq!(storage.get(name).await?, content.bytes(), "{name}");
                    assert_eq!(client.get(name).await?, content.bytes(), "the same files as everybody's");
                }
            }
            // Repeated in every message, which is what the tutorial's own client does; and in the call as well.
            let content = Content::new(3, 200_000);
            let all = messages("", content).into_iter().map(|m| message("repeated", m.file_data)).collect();
            storage.send(None, all).await?;
            assert_eq!(storage.get("repeated").await?, content.bytes());
            storage.send(Some("both"), messages("both", content)).await?;
            assert_eq!(storage.get("both").await?, content.bytes());
            // Not ASCII: call metadata has its own way to say that.
            let mut request = Request::new(futures::stream::iter(messages("", content)));
            let name = "gr\u{fc}\u{df}e.txt";
            request.metadata_mut().insert_bin("filename-bin", MetadataValue::from_bytes(name.as_bytes()));
            storage.0.upload_file(request).await?;
            assert_eq!(storage.get(name).await?, content.bytes());
            // And the other way round.
            client.put("everybodys", content).await?;
            assert_eq!(storage.get("everybodys").await?, content.bytes());
            Ok(())
        },
    );
}

#[test]
fn an_empty_file_is_a_file() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut storage = Storage::connect(cluster).await?;
            storage.send(None, vec![message("in message", "")]).await?;
            storage.send(Some("in-call"), vec![]).await?;
            storage.send(Some("in-call-with-message"), vec![message("", "")]).await?;
            for name in ["in message", "in-call", "in-call-with-message"] {
                assert_eq!(storage.get(name).await?, b"", "{name}");
                assert_eq!(storage.describe(name).await?.file_name, name);
                let file = cluster.client().await?.file(name).await?;
                assert_eq!(file.version.context("no version")?.size_bytes, 0);
            }
            Ok(())
        },
    );
}

#[test]
fn metadata_have_the_name_the_time_and_the_version() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut storage = Storage::connect(cluster).await?;
            let clock = Clock::system();
            let mut versions = Vec::new();
            let mut last = OffsetDateTime::UNIX_EPOCH;
            for n in 0..2 {
                let before = clock.now();
                storage.send(None, messages("dir/a", Content::new(n, 1000))).await?;
                let after = clock.now();
                let about = storage.describe("dir/a").await?;
                assert_eq!(about.file_name, "dir/a");
                let uploaded = OffsetDateTime::parse(&about.upload_time, &Rfc3339)?;
                // Written with milliseconds.
                let slack = time::Duration::milliseconds(1);
                ensure!(before - slack <= uploaded && uploaded <= after, "{before} {about:?} {after}");
                ensure!(last < uploaded, "{about:?}");
                last = uploaded;
                let version = cluster.client().await?.file("dir/a").await?.version.context("no version")?;
                assert_eq!(about.version, version.version_id);
                versions.push(about.version);
            }
            assert_ne!(versions[0], versions[1], "every upload is a version");
            assert_eq!(storage.get("dir/a").await?, Content::new(1, 1000).bytes(), "the last one counts");
            Ok(())
        },
    );
}

#[test]
fn bad_names_and_missing_files_are_refused() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut storage = Storage::connect(cluster).await?;
            storage.send(None, vec![message("dir/a", "content")]).await?;
            for name in ["b", "dir", "dir/a/b"] {
                refused(storage.get(name).await, Code::NotFound, "file_not_found");
                refused(storage.describe(name).await, Code::NotFound, "file_not_found");
            }
            let long = "x".repeat(256);
            for name in ["/", "/a", "a/", "a//b", ".", "..", "../a", "a\0b", "a\u{1b}b", &long] {
                let sent = storage.send(None, vec![message(name, "content")]).await;
                refused(sent, Code::InvalidArgument, "path_invalid");
                refused(storage.get(name).await, Code::InvalidArgument, "path_invalid");
                refused(storage.describe(name).await, Code::InvalidArgument, "path_invalid");
            }
            refused(storage.get("").await, Code::InvalidArgument, "path_invalid");
            let sent = storage.send(Some("../a"), vec![message("", "content")]).await;
            refused(sent, Code::InvalidArgument, "path_invalid");
            let nameless: [(Option<&str>, Vec<FileRequest>); 3] =
                [(None, vec![]), (None, vec![message("", "content")]), (Some(""), vec![message("", "content")])];
            for (in_call, messages) in nameless {
                refused(storage.send(in_call, messages).await, Code::InvalidArgument, "metadata_missing");
            }
            let changed = vec![message("c", "con"), message("d", "tent")];
            refused(storage.send(None, changed).await, Code::InvalidArgument, "metadata_twice");
            for name in ["c", "d"] {
                refused(storage.get(name).await, Code::NotFound, "file_not_found");
            }
            let keys = crate::s3::blobs(cluster).await?;
            ensure!(keys.len() == 1, "only the good one is stored: {keys:?}");
            Ok(())
        },
    );
}

/// Whether a program is on PATH.
fn is_there(name: &str) -> bool {
    let path = Environment::process().var("PATH").unwrap_or_default().to_owned();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// Why the client for Node.js is not run here.
fn without_node_js() -> Option<String> {
    if let Some(name) = ["node", "npm"].into_iter().find(|name| !is_there(name)) {
        return Some(format!("there is no `{name}`; install Node.js 18 or newer"));
    }
    let install: Install = Environment::process().var("INSTALL").unwrap_or_default().parse().unwrap();
    (install == Install::No).then(|| "`npm ci` would install what it needs, and INSTALL=no".to_owned())
}

#[test]
fn the_client_for_node_js_passes() {
    if let Some(reason) = without_node_js() {
        return skipped_in_ci_too("the_client_for_node_js_passes", &reason);
    }
    announce("will run: npm ci (in a temporary folder, for the_client_for_node_js_passes)");
    run(
        |b| b.replicators(0),
        async |cluster| {
            let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
            let folder = tempfile::tempdir()?;
            for name in [".npmrc", "client.js", "package.json", "package-lock.json"] {
                std::fs::copy(ours.join("node").join(name), folder.path().join(name))?;
            }
            let installed = Command::new("npm").arg("ci").current_dir(folder.path()).output()?;
            ensure!(installed.status.success(), "npm ci: {}: {}", installed.status, said(&installed));
            let client = |address: &str| {
                let mut command = Command::new("node");
                command.arg("client.js").arg(address).arg(ours.join("../proto/file_storage.proto"));
                command.current_dir(folder.path()).output()
            };
            let output = client(&cluster.stack.gateway_addr()?.to_string())?;
            let text = String::from_utf8(output.stdout.clone())?;
            ensure!(output.status.code() == Some(0), "{text}{}", said(&output));
            let steps = text.lines().filter(|line| line.starts_with("ok: ")).count();
            ensure!(steps == 9 && text.lines().count() == steps, "{text}");
            // It can tell when something is wrong.
            let nats = client(&cluster.stack.addr("nats")?.to_string())?;
            ensure!(nats.status.code() == Some(1), "it passes against NATS: {nats:?}");
            Ok(())
        },
    );
}
