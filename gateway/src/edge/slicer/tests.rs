use std::collections::VecDeque;
use std::future::poll_fn;

use prost::Message as _;
use proto::v1::upload_request::Payload;
use proto::v1::{UploadMetadata, UploadRequest};

use super::*;

const MAX_CHUNK: u64 = 4 << 20;

/// A body that gives its bytes in frames of a certain size.
struct Frames(VecDeque<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn content(bytes: usize) -> Bytes {
    (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn metadata() -> Payload {
    Payload::Metadata(UploadMetadata { path: "a".to_owned(), ..UploadMetadata::default() })
}

fn encode(payloads: &[Payload]) -> Bytes {
    let mut stream = BytesMut::new();
    for payload in payloads {
        let message = UploadRequest { payload: Some(payload.clone()) }.encode_to_vec();
        stream.put_u8(0);
        stream.put_u32(u32::try_from(message.len()).unwrap());
        stream.put_slice(&message);
    }
    stream.freeze()
}

/// What comes out of the slicer for `stream` that comes in frames of `frame_bytes`.
async fn sliced(stream: &Bytes, frame_bytes: usize) -> Bytes {
    try_sliced(stream, frame_bytes).await.unwrap()
}

async fn try_sliced(stream: &Bytes, frame_bytes: usize) -> Result<Bytes, Status> {
    let frames = stream.chunks(frame_bytes).map(Bytes::copy_from_slice).collect();
    let mut slicer = Slicer::new(Frames(frames), MAX_CHUNK);
    let mut out = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut slicer).poll_frame(cx)).await {
        out.put(frame?.into_data().unwrap());
    }
    Ok(out.freeze())
}

/// The messages of a stream.
fn decode(mut stream: Bytes) -> Vec<Payload> {
    let mut payloads = Vec::new();
    while stream.has_remaining() {
        assert_eq!(stream.get_u8(), 0);
        let length = stream.get_u32() as usize;
        payloads.push(UploadRequest::decode(stream.split_to(length)).unwrap().payload.unwrap());
    }
    payloads
}

fn chunks(payloads: &[Payload]) -> Vec<Bytes> {
    let chunk = |payload: &Payload| match payload {
        Payload::Chunk(chunk) => Some(chunk.clone()),
        Payload::Metadata(_) => None,
    };
    payloads.iter().filter_map(chunk).collect()
}

#[tokio::test]
async fn the_bytes_stay_the_same_however_they_come() {
    for chunk_bytes in [0, 1, PIECE_BYTES - 8, PIECE_BYTES, PIECE_BYTES + 1, (1 << 20) + 7, 4 << 20] {
        let stream = encode(&[metadata(), Payload::Chunk(content(chunk_bytes)), Payload::Chunk(content(5))]);
        for frame_bytes in [1, 7, 16_384, 1 << 20, usize::MAX] {
            if chunk_bytes > frame_bytes.saturating_mul(100_000) {
                continue;
            }
            let out = decode(sliced(&stream, frame_bytes).await);
            assert_eq!(out[0], metadata());
            let chunks = chunks(&out);
            assert!(chunks.iter().all(|chunk| chunk.len() <= PIECE_BYTES), "{chunk_bytes} in {frame_bytes}");
            let expected = [content(chunk_bytes), content(5)].concat();
            assert!(chunks.concat() == expected, "{chunk_bytes} in {frame_bytes}");
        }
    }
}

#[tokio::test]
async fn small_messages_are_passed_on_as_they_are() {
    let stream = encode(&[metadata(), Payload::Chunk(content(1000)), Payload::Chunk(Bytes::new()), metadata()]);
    for frame_bytes in [1, 100, usize::MAX] {
        assert_eq!(sliced(&stream, frame_bytes).await, stream);
    }
}

#[tokio::test]
async fn chunks_over_the_limit_stay_whole() {
    let stream = encode(&[Payload::Chunk(content((4 << 20) + 1))]);
    assert_eq!(sliced(&stream, 1 << 20).await, stream);
}

#[tokio::test]
async fn messages_that_are_more_than_a_chunk_stay_whole() {
    let mut stream = BytesMut::from(&encode(&[Payload::Chunk(content(PIECE_BYTES * 2))])[..]);
    // An unknown field after the chunk.
    let length = u32::try_from(stream.len() - PREFIX_BYTES + 2).unwrap();
    stream[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    stream.put_slice(&[0x78, 1]);
    let stream = stream.freeze();
    assert_eq!(sliced(&stream, 1 << 20).await, stream);
}

#[tokio::test]
async fn a_stream_that_ends_inside_of_a_message_is_broken() {
    let stream = encode(&[metadata(), Payload::Chunk(content(PIECE_BYTES * 2))]);
    let metadata_bytes = encode(&[metadata()]).len();
    for end in [stream.len() - 1, stream.len() - PIECE_BYTES, metadata_bytes + PREFIX_BYTES, metadata_bytes + 1, 3] {
        let broken = try_sliced(&stream.slice(..end), 16_384).await.unwrap_err();
        assert_eq!(broken.code(), tonic::Code::Internal, "{end}");
    }
    assert!(try_sliced(&stream.slice(..metadata_bytes), 16_384).await.is_ok());
    assert!(try_sliced(&Bytes::new(), 16_384).await.is_ok());
}

#[test]
fn compressed_messages_are_left_to_tonic() {
    let mut start = encode(&[Payload::Chunk(content(PIECE_BYTES * 2))])[..PREFIX_BYTES].to_vec();
    start[0] = 1;
    assert!(matches!(read_start(&start, MAX_CHUNK), Start::Whole(_)));
}

#[tokio::test]
async fn a_chunk_that_says_it_is_longer_than_can_be_is_passed_on() {
    let mut message = BytesMut::new();
    encode_key(CHUNK_FIELD, WireType::LengthDelimited, &mut message);
    encode_varint(u64::MAX, &mut message);
    message.put_bytes(7, PIECE_BYTES);
    let mut stream = BytesMut::new();
    stream.put_u8(0);
    stream.put_u32(u32::try_from(message.len()).unwrap());
    stream.put(message);
    let stream = stream.freeze();
    assert_eq!(sliced(&stream, 1000).await, stream);
}
