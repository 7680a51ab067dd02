//! Calls of bytes as they are, to say what no well-behaved client says.

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use crate::Client;

impl Client {
    /// Sends these bytes as the messages of a call, such as `/highwater.v1.Files/Upload`, until its first answer.
    pub async fn send_raw(&self, call: &'static str, messages: Vec<Bytes>) -> Result<(), Status> {
        let mut raw = tonic::client::Grpc::new(self.channel.clone());
        raw.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let request = Request::new(futures::stream::iter(messages));
        let answers = raw.streaming(request, PathAndQuery::from_static(call), RawCodec).await?;
        answers.into_inner().message().await.map(drop)
    }
}

/// Bytes out, bytes in.
#[derive(Debug, Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
