//! `highwater get`.

use proto::v1::{DownloadHeader, DownloadRequest, DownloadResponse, download_response::Payload};
use tonic::{Code, Status, Streaming};

use crate::args::{Get, optional};
use crate::client::Client;
use crate::commands::Context;
use crate::commands::paths::parse_path;
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::progress::Progress;
use crate::render;
use crate::sink::{Sink, Target};
use crate::source::Content;

/// Reads a file into its target, which appears whole or not at all.
pub(super) async fn run(context: &Context, args: Get) -> Result<(), Failure> {
    let path = parse_path(&args.path)?;
    let target = Target::find(args.target.as_deref(), &path, args.force)?;
    let request = DownloadRequest {
        space: context.space(),
        path: path.to_string(),
        version_id: args.version_id.unwrap_or_default(),
        offset: args.offset.unwrap_or(0),
        limit: args.limit,
        min_sequence: args.after.min_sequence(),
        at: optional(args.at.as_ref()),
    };
    let begin = async {
        let client = context.connect().await?;
        context.caught_up(|| ask(&client, &request)).await
    };
    // Asked before the target is opened: what is not there leaves no trace here.
    let (stream, header) = context.stop.guard(begin).await?;

    let mut sink = Sink::open(target.clone())?;
    if let Err(failure) = context.stop.guard(receive(context, stream, &header, path.as_str(), &mut sink)).await {
        sink.discard();
        return Err(failure);
    }
    let (flushed, written) = sink.flush().await;
    if let Err(failure) = written.and_then(|content| check(&header, content)) {
        flushed.discard();
        return Err(failure);
    }
    flushed.keep(args.force)?;
    report(context, &target, &header, path.as_str())
}

async fn ask(
    client: &Client,
    request: &DownloadRequest,
) -> Result<(Streaming<DownloadResponse>, DownloadHeader), Failure> {
    let answer = client.files.clone().download(request.clone()).await;
    let mut stream = answer.map_err(|status| failure(&status))?.into_inner();
    match stream.message().await.map_err(|status| failure(&status))?.and_then(|message| message.payload) {
        Some(Payload::Header(header)) => Ok((stream, header)),
        Some(Payload::Chunk(_)) | None => Err(Failure::bad_answer("the download does not begin with a header")),
    }
}

async fn receive(
    context: &Context,
    mut stream: Streaming<DownloadResponse>,
    header: &DownloadHeader,
    path: &str,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let progress = Progress::start(context.output, &format!("reading {path}"), Some(header.length));
    let mut result = Ok(());
    while result.is_ok() {
        result = match stream.message().await {
            Ok(None) => break,
            Ok(Some(DownloadResponse { payload: Some(Payload::Chunk(chunk)) })) => {
                progress.add(chunk.len() as u64);
                sink.write(chunk).await
            }
            Ok(Some(_)) => Err(Failure::bad_answer("the download has a second header")),
            Err(status) => Err(failure(&status)),
        };
    }
    progress.end();
    result
}

/// The bytes must be those that were announced.
fn check(header: &DownloadHeader, content: Content) -> Result<(), Failure> {
    let lost = |reason: &str, message: String| Err(Failure::new(Exit::Fatal, Code::DataLoss, reason, message));
    if content.size_bytes != header.length {
        let (came, announced) = (content.size_bytes, header.length);
        return lost("size_mismatch", format!("{came} bytes came, {announced} were announced"));
    }
    let Some(version) = header.version.as_ref().filter(|_| render::text::is_whole(header)) else { return Ok(()) };
    if version.sha256[..] != content.sha256.as_bytes()[..] {
        let (came, recorded) = (content.sha256, hex::encode(&version.sha256));
        return lost("digest_mismatch", format!("the bytes that came have the SHA-256 {came}, recorded is {recorded}"));
    }
    Ok(())
}

/// What was written is said on stdout, unless that took the content.
fn report(context: &Context, target: &Target, header: &DownloadHeader, path: &str) -> Result<(), Failure> {
    match (target, context.output.format) {
        (Target::Stdout, _) => Ok(()),
        (_, Format::Json) => context.output.print(&render::json::downloaded(header, &target.name())),
        (_, Format::Text) if context.global.quiet => Ok(()),
        (_, Format::Text) => context.output.print(&render::text::downloaded(header, path, &target.name())),
    }
}

fn failure(status: &Status) -> Failure {
    Failure::from_status(status, Sought::File)
}

#[cfg(test)]
mod tests {
    use proto::Sha256Digest;
    use proto::v1::Version;

    use super::*;

    #[test]
    fn whole_content_must_have_the_recorded_digest() {
        let content = Content { size_bytes: 1, sha256: Sha256Digest::of(b"a") };
        let version = |of: &[u8], size_bytes| {
            let sha256 = Sha256Digest::of(of).as_bytes().to_vec().into();
            Some(Version { size_bytes, sha256, ..Version::default() })
        };
        let header = |version, offset, length| DownloadHeader { version, offset, length };
        assert_eq!(check(&header(version(b"a", 1), 0, 1), content), Ok(()));
        assert_eq!(check(&header(version(b"b", 1), 0, 1), content).unwrap_err().reason, "digest_mismatch");
        assert_eq!(check(&header(version(b"a", 2), 0, 2), content).unwrap_err().reason, "size_mismatch");
        // A range has no digest of its own.
        assert_eq!(check(&header(version(b"ba", 2), 1, 1), content), Ok(()));
    }
}
