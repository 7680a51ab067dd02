//! What the gateway's port answers to those who do not speak gRPC, and what it bears from them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, StatusCode, Version};
use tests::{Cluster, Content, Http, eventually, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TEXT: &str = "text/plain; charset=utf-8";
/// Much more than the settings of these tests give a client.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn pages_are_answered_in_both_versions_of_http() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let gateway = cluster.stack.gateway_addr()?;
            let clients = [(Http::one(gateway), Version::HTTP_11), (Http::two(gateway), Version::HTTP_2)];
            for (http, version) in &clients {
                let ready = eventually("the gateway is ready", async || {
                    let ready = http.get("/readyz").await?;
                    ensure!(ready.status == StatusCode::OK, "{ready:?}");
                    anyhow::Ok(ready)
                })
                .await;
                for answer in [ready, http.get("/livez").await?] {
                    assert_eq!((answer.status, answer.version), (StatusCode::OK, *version), "{answer:?}");
                    assert_eq!((answer.body.as_str(), &answer.headers[CONTENT_TYPE]), ("ok\n", &TEXT.parse()?));
                }
                let head = http.send(&Method::HEAD, "/livez").await?;
                assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
                assert_eq!(head.headers[CONTENT_LENGTH], "3");

                for path in ["/", "/livez/x", "/v1/files", "/highwater.v1.Operations/GetStatus"] {
                    for method in [Method::GET, Method::POST] {
                        let answer = http.send(&method, path).await?;
                        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {answer:?}");
                        assert_eq!(answer.headers[CONTENT_TYPE], TEXT);
                        assert!(answer.body.starts_with("nothing is here but /livez"), "{answer:?}");
                    }
                }
                for path in ["/livez", "/readyz", "/metrics"] {
                    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
                        let answer = http.send(&method, path).await?;
                        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}: {answer:?}");
                        assert_eq!(answer.headers[ALLOW], "GET, HEAD");
                    }
                }
            }
            let content = Content::new(1, 5000);
            let mut client = cluster.client().await?;
            client.put("a", content).await?;
            assert_eq!(client.get("a").await?, content.bytes());
            Ok(())
        },
    );
}

/// A connection on which these bytes were sent.
async fn sent(cluster: &Cluster, bytes: &[u8]) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(cluster.stack.gateway_addr()?).await?;
    stream.write_all(bytes).await?;
    Ok(stream)
}

/// What comes until the gateway closes the connection.
async fn until_closed(mut stream: TcpStream) -> anyhow::Result<String> {
    let mut answer = Vec::new();
    let read = timeout(LONG, stream.read_to_end(&mut answer)).await.context("it is not closed")?;
    // Reset with bytes of the client unread is closed as well.
    read.or_else(|error| if error.kind() == std::io::ErrorKind::ConnectionReset { Ok(0) } else { Err(error) })?;
    Ok(String::from_utf8(answer)?)
}

#[test]
fn clients_that_keep_the_gateway_waiting_are_left() {
    run(
        |b| {
            let b = b.replicators(0).env("gateway", "HIGHWATER_HTTP1__HEADER_TIMEOUT", "1s");
            b.env("gateway", "HIGHWATER_CONNECTIONS__FIRST_REQUEST_TIMEOUT", "3s")
        },
        async |cluster| {
            let half = sent(cluster, b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ").await?;
            let silent = sent(cluster, b"").await?;
            let undecided = sent(cluster, b"PRI * HTTP/2.0\r\n").await?;
            let idle = sent(cluster, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await?;
            let second = sent(cluster, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHo").await?;
            for stream in [half, silent, undecided] {
                assert_eq!(until_closed(stream).await?, "");
            }
            for stream in [idle, second] {
                let answer = until_closed(stream).await?;
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer:?}");
            }
            // Nobody but them.
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 5000)).await?;
            Ok(())
        },
    );
}

#[test]
fn headers_have_their_bounds() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let request = |fields: &str| format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
            let large = |bytes: usize| request(&format!("X-Large: {}\r\n", "x".repeat(bytes)));
            let many = |fields: usize| request(&"X-Many: 1\r\n".repeat(fields));
            for fine in [request(""), large(15 * 1024), many(98)] {
                let answer = until_closed(sent(cluster, fine.as_bytes()).await?).await?;
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
            }
            for refused in [many(99), many(1000)] {
                let answer = until_closed(sent(cluster, refused.as_bytes()).await?).await?;
                assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
            }
            // Whether the refusal arrives before the reset for what was not read is a matter of luck.
            let answer = until_closed(sent(cluster, large(20 * 1024).as_bytes()).await?).await?;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
            // A body is nothing that anybody waits for.
            let endless = "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nabc";
            let answer = until_closed(sent(cluster, endless.as_bytes()).await?).await?;
            assert!(answer.starts_with("HTTP/1.1 405 "), "{answer:?}");
            Ok(())
        },
    );
}
