//! Storing a file in parts, which survives broken connections, and the end of this program.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::v1::{
    AbortUploadRequest, FinishUploadRequest, GetUploadRequest, PartHeader, Receipt, StartUploadRequest, UploadMetadata,
    UploadSession, start_upload_response::Outcome as Started,
};
use runtime::retry::{self, Transient as _};
use tonic::Code;

use super::state::{Key, Saved, States};
use super::{Job, Stored, send};
use crate::client::Client;
use crate::commands::again::{Outage, again};
use crate::commands::{Context, change};
use crate::exit::{Exit, Failure, Sought, code_name};
use crate::progress::Progress;
use crate::render;
use crate::source::{Content, Digest, Source, Tally};

/// The gateway's parts are sent so many at a time. What is in the middle of a call when it breaks may be lost; what an
/// ended call took is not.
const PARTS_PER_CALL: u64 = 4;

/// One file on its way.
pub(super) struct Upload<'a> {
    pub(super) context: &'a Context,
    pub(super) client: &'a Client,
    pub(super) job: &'a Job,
    pub(super) states: &'a States,
    pub(super) retry_for: Duration,
}

/// Which upload the command is about.
pub(super) fn key(context: &Context, job: &Job) -> Key {
    let path = match &job.source {
        Source::File(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        // Never sent in parts.
        Source::Stdin | Source::Stream(_) => PathBuf::new(),
    };
    Key::new(&context.global.addr, &context.space(), job.path.as_str(), &path)
}

/// Whether the same command, said again, has a chance after this.
pub(super) fn is_resumable(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::Temporary | Exit::Interrupted | Exit::Terminated)
}

/// Whether the gateway is one that takes no parts.
pub(super) fn is_unknown(failure: &Failure) -> bool {
    failure.code == code_name(Code::Unimplemented)
}

// === impl Upload ===

impl Upload<'_> {
    /// The upload that an earlier command left, if it was about the same content; another one is given up.
    pub(super) async fn left(&self, metadata: &UploadMetadata) -> Option<Saved> {
        let key = key(self.context, self.job);
        let saved = self.states.load(&key)?;
        if saved.fits(metadata) {
            return Some(saved);
        }
        let name = self.job.source.name();
        self.context.output.note(&format!("{name} or what is asked has changed since it was begun; beginning anew"));
        self.give_up(&key, &saved.upload_id).await;
        None
    }

    /// Stores the file; begins, or goes on with what was `left`.
    pub(super) async fn store(&self, metadata: &UploadMetadata, left: Option<&Saved>) -> Result<Stored, Failure> {
        let key = key(self.context, self.job);
        let size_bytes = metadata.size_bytes.unwrap_or_default();
        let going_on = match left {
            Some(saved) => self.find(&saved.upload_id).await?,
            None => None,
        };
        let session = if let Some(session) = going_on {
            let (done, all) = (render::size(session.offset), render::size(size_bytes));
            self.context.output.note(&format!("going on with {} at {done} of {all}", self.job.source.name()));
            session
        } else {
            match self.start(metadata).await? {
                (Started::Receipt(receipt), instant) => {
                    self.states.remove(&key);
                    if let Some(content) = declared(metadata) {
                        send::check(&receipt, content)?;
                    }
                    return Ok(Stored { receipt, instant });
                }
                (Started::Session(session), _) => {
                    self.remember(&key, metadata, &session);
                    session
                }
            }
        };
        let upload_id = session.upload_id.clone();
        let stored = self.send_and_finish(metadata, session).await;
        match &stored {
            Ok(_) => self.states.remove(&key),
            Err(failure) if is_resumable(failure) => {}
            // The same again would fail in the same way.
            Err(_) => self.give_up(&key, &upload_id).await,
        }
        Ok(Stored { receipt: stored?, instant: false })
    }

    async fn send_and_finish(&self, metadata: &UploadMetadata, session: UploadSession) -> Result<Receipt, Failure> {
        let size_bytes = metadata.size_bytes.unwrap_or_default();
        let progress = send::progress(self.context, "sending", self.job, Some(size_bytes));
        let digest = declared(metadata).map_or_else(|| Digest::Growing(Tally::default()), Digest::Known);
        let upload_id = session.upload_id.clone();
        let sent = self.send(session, size_bytes, digest, &progress).await;
        progress.end();
        let content = sent?;
        let receipt = again(self.context, self.retry_for, || self.finish(&upload_id)).await?;
        send::check(&receipt, content)?;
        Ok(receipt)
    }

    /// Sends what the gateway does not have yet, and answers what all of it is.
    async fn send(
        &self,
        mut session: UploadSession,
        size_bytes: u64,
        mut digest: Digest,
        progress: &Arc<Progress>,
    ) -> Result<Content, Failure> {
        let mut outage = Outage::new(self.retry_for);
        progress.resume(session.offset);
        loop {
            digest = self.digest_at(digest, session.offset).await?;
            if session.offset >= size_bytes {
                return Ok(digest.content());
            }
            let failure = match self.send_part(&session, size_bytes, digest.clone(), progress).await {
                Ok((next, grown)) if next.offset > session.offset => {
                    (session, digest, outage) = (next, grown, Outage::new(self.retry_for));
                    continue;
                }
                Ok(_) => return Err(Failure::bad_answer("the gateway took a part and is where it was before")),
                Err(failure) => failure,
            };
            let is_first = outage.is_over();
            let delay = match outage.next_delay(Instant::now()) {
                Some(delay) if failure.is_transient() || failure.reason == "offset_wrong" => delay,
                _ => return Err(failure),
            };
            if is_first {
                self.context.output.note(&format!("{failure}; trying to go on for up to {:?}", self.retry_for));
            }
            retry::sleep(delay, self.context.stop.token()).await;
            match self.get(&session.upload_id).await {
                Ok(found) => {
                    if found.offset > session.offset {
                        outage = Outage::new(self.retry_for);
                    }
                    session = found;
                    progress.resume(session.offset);
                }
                Err(failure) if failure.is_transient() => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn send_part(
        &self,
        session: &UploadSession,
        size_bytes: u64,
        digest: Digest,
        progress: &Arc<Progress>,
    ) -> Result<(UploadSession, Digest), Failure> {
        let length = part_length(session, size_bytes);
        let header = PartHeader { upload_id: session.upload_id.clone(), offset: session.offset };
        let (messages, reading) = self.job.source.part(header, length, digest.clone(), Arc::clone(progress));
        let mut files = self.client.files.clone();
        let call = files.upload_part(messages);
        let (answer, read) = send::answered(&self.job.source, call, reading, Sought::Other).await?;
        // A part that was taken without being read whole leaves the digest to be made anew.
        Ok((answer.session.ok_or_else(without_session)?, read.unwrap_or(digest)))
    }

    /// The digest of all before `offset`, reading that once more if it is another place than where it was.
    async fn digest_at(&self, digest: Digest, offset: u64) -> Result<Digest, Failure> {
        match digest {
            Digest::Growing(tally) if tally.size_bytes() != offset => {
                Ok(Digest::Growing(self.job.source.tally(offset).await?))
            }
            digest => Ok(digest),
        }
    }

    async fn start(&self, metadata: &UploadMetadata) -> Result<(Started, bool), Failure> {
        let request = StartUploadRequest { metadata: Some(metadata.clone()) };
        again(self.context, self.retry_for, || {
            let (mut files, request) = (self.client.files.clone(), request.clone());
            async move {
                let answer = files.start_upload(request).await;
                let answer = answer.map_err(|status| Failure::from_status(&status, Sought::Folder))?.into_inner();
                Ok((answer.outcome.ok_or_else(without_session)?, answer.instant))
            }
        })
        .await
    }

    /// The session if the gateway still has it.
    async fn find(&self, upload_id: &str) -> Result<Option<UploadSession>, Failure> {
        match again(self.context, self.retry_for, || self.get(upload_id)).await {
            Ok(session) => Ok(Some(session)),
            Err(failure) if failure.code == code_name(Code::NotFound) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn get(&self, upload_id: &str) -> Result<UploadSession, Failure> {
        let request = GetUploadRequest { upload_id: upload_id.to_owned() };
        let answer = self.client.files.clone().get_upload(request).await;
        let answer = answer.map_err(|status| Failure::from_status(&status, Sought::Other))?.into_inner();
        answer.session.ok_or_else(without_session)
    }

    async fn finish(&self, upload_id: &str) -> Result<Receipt, Failure> {
        let request = FinishUploadRequest { upload_id: upload_id.to_owned() };
        let answer = self.client.files.clone().finish_upload(request).await;
        let answer = answer.map_err(|status| Failure::from_status(&status, Sought::Other))?.into_inner();
        answer.receipt.ok_or_else(change::without_receipt)
    }

    fn remember(&self, key: &Key, metadata: &UploadMetadata, session: &UploadSession) {
        let saved = Saved::new(metadata, session.upload_id.clone(), &self.context.global.addr, &self.job.source);
        if let Err(error) = self.states.save(key, &saved) {
            let name = self.job.source.name();
            self.context.output.note(&format!("{name} cannot be resumed if it is stopped: {error}"));
        }
    }

    async fn give_up(&self, key: &Key, upload_id: &str) {
        self.states.remove(key);
        // The gateway throws away what it is not told about too, only later.
        let request = AbortUploadRequest { upload_id: upload_id.to_owned() };
        let _ = self.client.files.clone().abort_upload(request).await;
    }
}

/// What the gateway was told to expect.
fn declared(metadata: &UploadMetadata) -> Option<Content> {
    let sha256 = proto::Sha256Digest::try_from(&metadata.sha256.as_ref()?[..]).ok()?;
    Some(Content { size_bytes: metadata.size_bytes?, sha256 })
}

/// Whole parts, or all that is left.
fn part_length(session: &UploadSession, size_bytes: u64) -> u64 {
    let part_bytes = if session.part_bytes == 0 { proto::SLICE_BYTES } else { session.part_bytes };
    part_bytes.saturating_mul(PARTS_PER_CALL).min(size_bytes.saturating_sub(session.offset))
}

fn without_session() -> Failure {
    Failure::bad_answer("the gateway answered without an upload session")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_until_the_last() {
        let session = |offset, part_bytes| UploadSession { offset, part_bytes, ..UploadSession::default() };
        assert_eq!(part_length(&session(0, 10), 95), 40);
        assert_eq!(part_length(&session(80, 10), 95), 15);
        assert_eq!(part_length(&session(95, 10), 95), 0);
        assert_eq!(part_length(&session(99, 10), 95), 0);
        assert_eq!(part_length(&session(0, u64::MAX), 95), 95);
        assert_eq!(part_length(&session(0, 0), u64::MAX), PARTS_PER_CALL * proto::SLICE_BYTES);
    }

    #[test]
    fn what_passes_by_itself_is_worth_resuming() {
        let failure = |exit| Failure::new(exit, Code::Unknown, "", "no");
        for exit in [Exit::Temporary, Exit::Interrupted, Exit::Terminated] {
            assert!(is_resumable(&failure(exit)), "{exit:?}");
        }
        for exit in [Exit::Other, Exit::Fatal, Exit::FolderNotFound, Exit::Usage] {
            assert!(!is_resumable(&failure(exit)), "{exit:?}");
        }
    }
}
