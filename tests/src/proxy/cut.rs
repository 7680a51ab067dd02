//! A body that ends early.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinSet;

use super::Fault;

/// The bytes of another body, up to a point where it fails.
pub(super) struct Cut<B> {
    inner: B,
    left: u64,
    /// What must live as long as the body.
    _driving: JoinSet<()>,
}

impl<B> Cut<B> {
    /// Fails after so many bytes.
    pub(super) fn new(inner: B, after: u64) -> Self {
        Self { inner, left: after, _driving: JoinSet::new() }
    }

    /// Does not fail.
    pub(super) fn whole(inner: B, driving: JoinSet<()>) -> Self {
        Self { inner, left: u64::MAX, _driving: driving }
    }
}

impl<B> Body for Cut<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Fault>,
{
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(Some(Err("cut".into())));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        polled.map(|frame| {
            frame.map(|frame| {
                let frame = frame.map_err(Into::into)?;
                let left = self.left;
                Ok(frame.map_data(|mut data| {
                    let keep = usize::try_from(left).unwrap_or(usize::MAX);
                    data.truncate(keep);
                    self.left = left - data.len() as u64;
                    data
                }))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left > 0 && self.inner.is_end_stream()
    }

    /// Exact, so that the head of the answer stays as it was.
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
