//! The embedded node, over HTTP.

use base64_simd::{STANDARD as BASE64, URL_SAFE_NO_PAD as IN_NAMES};
use bytes::Bytes;
use compose::{NodeEntry, Stack};
use sha2::{Digest as _, Sha256};

use crate::s3::{element, send};
use crate::stack::{servers, until};

const PART: usize = 5 * 1024 * 1024;

async fn one_node() -> Stack {
    let stack = servers().nats(false).postgres(false).node_count(1).start().await.unwrap();
    let made = send(&stack.nodes()[0], "PUT", "/highwater", &[], "").await.unwrap();
    assert_eq!(made.status(), 200, "{made:?}");
    stack
}

fn sha256(bytes: &[u8]) -> String {
    BASE64.encode_to_string(Sha256::digest(bytes))
}

/// Every file of the node that may hold bytes of an object.
fn files(stack: &Stack) -> usize {
    fn count(dir: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        entries.map(|entry| if entry.file_type().unwrap().is_dir() { count(&entry.path()) } else { 1 }).sum()
    }
    count(&stack.data_of("node-a").unwrap())
}

#[tokio::test]
async fn objects_come_back_as_they_went_in() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let body = Bytes::from_static(b"hello, node");
    let headers = [("x-amz-checksum-sha256", sha256(&body)), ("x-amz-meta-blob-id", "42".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let put = send(&node, "PUT", "/highwater/blobs/ab/one", &headers, body.clone()).await.unwrap();
    assert_eq!(put.status(), 200, "{put:?}");

    stack.kill("node-a").await.unwrap();
    stack.start("node-a").await.unwrap();
    let got = send(&node, "GET", "/highwater/blobs/ab/one", &[], "").await.unwrap();
    assert_eq!((got.status().as_u16(), got.body()), (200, &body));
    assert_eq!(got.headers()["x-amz-meta-blob-id"], "42");
    let range = send(&node, "GET", "/highwater/blobs/ab/one", &[("range", "bytes=7-10")], "").await.unwrap();
    assert_eq!((range.status().as_u16(), range.body().as_ref()), (206, b"node".as_ref()));
    let listed = send(&node, "GET", "/highwater?list-type=2&prefix=blobs%2F", &[], "").await.unwrap();
    assert_eq!(element(listed.body(), "Key"), Some("blobs/ab/one"));

    assert_eq!(
        send(&node, "GET", "/highwater/blobs/ab", &[], "").await.unwrap().status(),
        404,
        "a folder is no object"
    );
    assert_eq!(send(&node, "GET", "/nowhere/x", &[], "").await.unwrap().status(), 404);
    assert_eq!(send(&node, "PUT", "/nowhere/x", &[], "x").await.unwrap().status(), 404);
    assert_eq!(send(&node, "DELETE", "/highwater/blobs/ab/one", &[], "").await.unwrap().status(), 204);
    assert_eq!(send(&node, "GET", "/highwater/blobs/ab/one", &[], "").await.unwrap().status(), 404);
    assert_eq!(files(&stack), 0, "nothing of a deleted object stays");
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_nothing_is_stored() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let wrong = sha256(b"something else");
    let refused = send(&node, "PUT", "/highwater/k", &[("x-amz-checksum-sha256", &wrong)], "bytes").await.unwrap();
    assert_eq!((refused.status().as_u16(), element(refused.body(), "Code")), (400, Some("BadDigest")), "{refused:?}");
    assert_eq!(send(&node, "HEAD", "/highwater/k", &[], "").await.unwrap().status(), 404);
    assert_eq!(files(&stack), 0);

    // An object that is there stays as it was.
    assert_eq!(send(&node, "PUT", "/highwater/k", &[], "first").await.unwrap().status(), 200);
    let refused = send(&node, "PUT", "/highwater/k", &[("x-amz-checksum-sha256", &wrong)], "second").await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(send(&node, "GET", "/highwater/k", &[], "").await.unwrap().body().as_ref(), b"first");
    stack.shutdown().await.unwrap();
}

/// The id of a multipart upload that begins.
async fn begin(node: &NodeEntry, key: &str) -> String {
    let begun = send(node, "POST", &format!("/highwater/{key}?uploads="), &[], "").await.unwrap();
    element(begun.body(), "UploadId").unwrap().to_owned()
}

/// What completes an upload of parts with these ETags.
fn whole_of(etags: &[impl AsRef<str>]) -> String {
    let part =
        |(number, etag): (usize, &str)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    let parts: String = (1..).zip(etags.iter().map(AsRef::as_ref)).map(part).collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

#[tokio::test]
async fn multipart_uploads_check_parts_and_are_listed() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let id = begin(&node, "big").await;
    let first = Bytes::from(vec![7_u8; PART]);
    let part = |number: u8| format!("/highwater/big?partNumber={number}&uploadId={id}");

    let wrong =
        send(&node, "PUT", &part(1), &[("x-amz-checksum-sha256", &sha256(b"no"))], first.clone()).await.unwrap();
    assert_eq!((wrong.status().as_u16(), element(wrong.body(), "Code")), (400, Some("BadDigest")), "{wrong:?}");
    let open = send(&node, "GET", "/highwater?uploads=", &[], "").await.unwrap();
    assert_eq!(element(open.body(), "UploadId"), Some(id.as_str()), "{open:?}");
    let parts = send(&node, "GET", &format!("/highwater/big?uploadId={id}"), &[], "").await.unwrap();
    assert_eq!(element(parts.body(), "PartNumber"), None, "{parts:?}");

    let right =
        send(&node, "PUT", &part(1), &[("x-amz-checksum-sha256", &sha256(&first))], first.clone()).await.unwrap();
    let etag = right.headers()["etag"].to_str().unwrap().to_owned();
    let listed = send(&node, "GET", &format!("/highwater/big?uploadId={id}"), &[], "").await.unwrap();
    assert!(element(listed.body(), "ETag").is_some_and(|listed| listed.contains(etag.trim_matches('"'))), "{listed:?}");

    let complete = format!("/highwater/big?uploadId={id}");
    let missing = send(&node, "POST", &complete, &[], whole_of(&[etag.as_str(), "x"])).await.unwrap();
    assert_eq!(element(missing.body(), "Code"), Some("InvalidPart"), "{missing:?}");
    let last = send(&node, "PUT", &part(2), &[], "end").await.unwrap();
    let last_etag = last.headers()["etag"].to_str().unwrap().to_owned();
    let whole = send(&node, "POST", &complete, &[], whole_of(&[&etag, &last_etag])).await.unwrap();
    assert_eq!(whole.status(), 200, "{whole:?}");
    let got = send(&node, "GET", "/highwater/big", &[], "").await.unwrap();
    assert_eq!(got.body().len(), PART + 3);
    assert!(got.body().ends_with(b"\x07end"));

    let again = send(&node, "POST", &complete, &[], whole_of(&[&etag])).await.unwrap();
    assert_eq!((again.status().as_u16(), element(again.body(), "Code")), (404, Some("NoSuchUpload")), "{again:?}");
    let late = send(&node, "PUT", &part(1), &[], "late").await.unwrap();
    assert_eq!(late.status(), 404, "{late:?}");
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let id = begin(&node, "x").await;
    send(&node, "PUT", &format!("/highwater/x?partNumber=1&uploadId={id}"), &[], "part").await.unwrap();
    let aborted = send(&node, "DELETE", &format!("/highwater/x?uploadId={id}"), &[], "").await.unwrap();
    assert_eq!(aborted.status(), 204, "{aborted:?}");
    assert_eq!(files(&stack), 0);
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_part_that_comes_when_its_upload_has_ended_is_not_kept() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let id = begin(&node, "x").await;
    let mut parts = tokio::task::JoinSet::new();
    for number in 1..=12 {
        let (node, path) = (node.clone(), format!("/highwater/x?partNumber={number}&uploadId={id}"));
        parts.spawn(async move { send(&node, "PUT", &path, &[], Bytes::from(vec![7; 8_000_000])).await });
    }
    // Some are there, some on their way.
    parts.join_next().await.unwrap().unwrap().unwrap();
    let aborted = send(&node, "DELETE", &format!("/highwater/x?uploadId={id}"), &[], "").await.unwrap();
    assert_eq!(aborted.status(), 204, "{aborted:?}");
    parts.join_all().await;
    assert_eq!(files(&stack), 0);
    stack.shutdown().await.unwrap();
}

/// Sends so many parts; what completes the upload then.
async fn parts(node: &NodeEntry, key: &str, id: &str, count: usize) -> String {
    let mut etags = Vec::new();
    for number in 1..=count {
        let path = format!("/highwater/{key}?partNumber={number}&uploadId={id}");
        let put = send(node, "PUT", &path, &[], Bytes::from(vec![7; PART])).await.unwrap();
        etags.push(put.headers()["etag"].to_str().unwrap().to_owned());
    }
    whole_of(&etags)
}

#[tokio::test]
async fn what_a_client_has_asked_for_is_done_to_its_end_without_it() {
    const PARTS: usize = 8;
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let id = begin(&node, "x").await;
    let whole = parts(&node, "x", &id, PARTS).await;
    let folder = stack.data_of("node-a").unwrap();
    let open = folder.join(format!(".upload-{id}.json"));
    assert!(open.exists());
    let has_begun = async {
        while open.exists() {
            tokio::task::yield_now().await;
        }
    };
    let path = format!("/highwater/x?uploadId={id}");
    tokio::select! {
        biased;
        () = has_begun => {}
        answer = send(&node, "POST", &path, &[], whole) => panic!("answered before it was cut: {answer:?}"),
    }
    let object = folder.join("highwater/x");
    until("the object is there", || object.exists()).await;
    let got = send(&node, "GET", "/highwater/x", &[], "").await.unwrap();
    assert_eq!((got.status().as_u16(), got.body().len()), (200, PARTS * PART));
    assert_eq!(files(&stack), 3, "the object, its attributes and its digests");
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_killed_node_had_half_done_is_cleared_and_an_open_upload_stays() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let id = begin(&node, "x").await;
    let whole = parts(&node, "x", &id, 2).await;
    let before = files(&stack);
    stack.kill("node-a").await.unwrap();
    let folder = stack.data_of("node-a").unwrap();
    // Of one that had begun, one whose object was being made, and one that was being aborted.
    let left = [
        ".upload-b3b1ad84-7d54-4a4a-9b3c-1f0c2d6f7a10.json".to_owned(),
        ".upload_id-b3b1ad84-7d54-4a4a-9b3c-1f0c2d6f7a11.part-2".to_owned(),
        format!(
            ".bucket-{}.object-{}.upload-b3b1ad84-7d54-4a4a-9b3c-1f0c2d6f7a12.metadata.json",
            IN_NAMES.encode_to_string("highwater"),
            IN_NAMES.encode_to_string("y")
        ),
    ];
    for name in left {
        std::fs::write(folder.join(name), "null").unwrap();
    }
    stack.start("node-a").await.unwrap();
    assert_eq!(files(&stack), before);
    let made = send(&node, "POST", &format!("/highwater/x?uploadId={id}"), &[], whole).await.unwrap();
    assert_eq!(made.status(), 200, "{made:?}");
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn listings_and_reads_are_answered_while_objects_come_and_go() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (node, path) = (node.clone(), format!("/highwater/blobs/{}/{number}", number % 2));
        writers.spawn(async move {
            for _ in 0..60 {
                assert_eq!(send(&node, "PUT", &path, &[], "x").await.unwrap().status(), 200);
                assert_eq!(send(&node, "DELETE", &path, &[], "").await.unwrap().status(), 204);
            }
        });
    }
    let mut work = std::pin::pin!(writers.join_all());
    loop {
        let ask = async {
            let list = send(&node, "GET", "/highwater?list-type=2&prefix=blobs%2F", &[], "").await.unwrap();
            assert_eq!(list.status(), 200, "{list:?}");
            for method in ["GET", "HEAD"] {
                let read = send(&node, method, "/highwater/blobs/1/1", &[], "").await.unwrap();
                assert!(matches!(read.status().as_u16(), 200 | 404), "{read:?}");
            }
        };
        tokio::select! {
            _ = &mut work => break,
            () = ask => {}
        }
    }
    assert_eq!(files(&stack), 0);
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn keys_stay_in_their_bucket_and_strangers_out() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    for path in ["/highwater/a/../../b", "/highwater/%2e%2e/other/x", "/highwater/a//b"] {
        let refused = send(&node, "PUT", path, &[], "x").await.unwrap();
        assert!(refused.status().is_client_error(), "{path}: {refused:?}");
    }
    let mut stranger = node.clone();
    stranger.access_key = "nobody".to_owned();
    assert_eq!(send(&stranger, "GET", "/highwater/x", &[], "").await.unwrap().status(), 403);
    assert_eq!(files(&stack), 0);
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn writers_of_one_key_do_not_mix() {
    let stack = one_node().await;
    let node = stack.nodes()[0].clone();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..16_u8 {
        let node = node.clone();
        writers.spawn(async move {
            let body = Bytes::from(vec![number; 200_000]);
            let number = number.to_string();
            send(&node, "PUT", "/highwater/same", &[("x-amz-meta-n", &number)], body).await.unwrap().status()
        });
    }
    assert!(writers.join_all().await.iter().all(http::StatusCode::is_success));
    let got = send(&node, "GET", "/highwater/same", &[], "").await.unwrap();
    let number: u8 = got.headers()["x-amz-meta-n"].to_str().unwrap().parse().unwrap();
    assert!(got.body().iter().all(|byte| *byte == number), "bytes and metadata of different writers");
    assert_eq!(got.body().len(), 200_000);
    stack.shutdown().await.unwrap();
}
