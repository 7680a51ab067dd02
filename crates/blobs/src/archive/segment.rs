//! One segment: its events, and the bytes that they are on a node.

use std::io::Read as _;

use bytes::Bytes;
use proto::{Incarnation, Recorded, Sha256Digest, SliceReader, SliceWriter};

use super::SegmentName;

/// The events of one segment have at most so many bytes together.
pub const MAX_SEGMENT_BYTES: u64 = 64 << 20;

/// A line of a slice may be longer than its event: twice as long when that is no JSON, and a frame.
const MAX_TEXT_BYTES: u64 = 4 * MAX_SEGMENT_BYTES;

/// The longest object that is read as a segment.
pub(super) const MAX_OBJECT_BYTES: u64 = MAX_SEGMENT_BYTES + (1 << 20);

/// The level of zstd's own command line: most of what can be gained at a small part of the time.
const COMPRESSION: i32 = 3;

/// Why an object is not the segment that its name says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the segment {key} {problem}")]
pub struct BadSegment {
    /// The key of the object.
    pub key: String,
    /// What is wrong with it, as the end of a sentence.
    pub problem: String,
}

/// Events that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    incarnation: Incarnation,
    first: u64,
    before: Sha256Digest,
    chain: Sha256Digest,
    events: Vec<Recorded>,
    /// The length of all events.
    bytes: u64,
}

// === impl BadSegment ===

impl BadSegment {
    /// Says that the object with this name is wrong, and how, as the end of a sentence.
    pub fn new(name: &SegmentName, problem: impl std::fmt::Display) -> Self {
        Self { key: name.key(), problem: problem.to_string() }
    }
}

// === impl Segment ===

impl Segment {
    /// An empty one that begins with event `first`; `before` is the chain digest before that.
    pub fn begin(incarnation: Incarnation, first: u64, before: Sha256Digest) -> Self {
        Self { incarnation, first, before, chain: before, events: Vec::new(), bytes: 0 }
    }

    /// The empty one that comes after this one.
    #[must_use]
    pub fn next(&self) -> Self {
        Self::begin(self.incarnation, self.first + self.events.len() as u64, self.chain)
    }

    /// Adds the event that comes next.
    ///
    /// # Panics
    ///
    /// When it is another one.
    pub fn push(&mut self, recorded: Recorded) {
        assert_eq!(recorded.n, self.first + self.events.len() as u64, "events come one after the other");
        self.chain = recorded.chain(self.chain);
        self.bytes += recorded.payload.len() as u64;
        self.events.push(recorded);
    }

    /// The events, in order.
    pub fn events(&self) -> &[Recorded] {
        &self.events
    }

    /// The length of all events together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The chain digest before the first event.
    pub fn before(&self) -> Sha256Digest {
        self.before
    }

    /// The chain digest after the last event.
    pub fn chain(&self) -> Sha256Digest {
        self.chain
    }

    /// The last event; `None` while it is empty.
    pub fn last(&self) -> Option<&Recorded> {
        self.events.last()
    }

    /// Which events it has. It must not be empty.
    pub fn name(&self) -> SegmentName {
        let (first, len) = (self.first, self.events.len() as u64);
        SegmentName { incarnation: self.incarnation, first, last: first + len.max(1) - 1 }
    }

    /// The bytes of the object. The same events give the same bytes.
    pub(super) fn encode(&self) -> Bytes {
        let encoded = (|| -> std::io::Result<Vec<u8>> {
            let mut zstd = zstd::Encoder::new(Vec::new(), COMPRESSION)?;
            zstd.include_checksum(true)?;
            let mut slice = SliceWriter::begin(zstd, self.incarnation, self.first, Some(self.before))?;
            for event in &self.events {
                slice.add(event)?;
            }
            slice.end()?.finish()
        })();
        encoded.expect("writing to memory does not fail").into()
    }

    /// Reads an object that has this name: whole, its own, and with the chain that its events give.
    pub(super) fn decode(name: &SegmentName, object: &[u8]) -> Result<Self, BadSegment> {
        let bad = |problem: &dyn std::fmt::Display| BadSegment::new(name, problem);
        let cannot = |error: std::io::Error| bad(&format!("cannot be decompressed: {error}"));
        let zstd = zstd::Decoder::with_buffer(object).map_err(cannot)?;
        let mut slice = SliceReader::begin(std::io::BufReader::new(zstd.take(MAX_TEXT_BYTES))).map_err(|e| bad(&e))?;
        if slice.incarnation() != name.incarnation || slice.next_n() != name.first {
            let (life, first) = (slice.incarnation().uuid().simple(), slice.next_n());
            return Err(bad(&format!("is one of the journal {life} from event {first} on")));
        }
        let Some(before) = slice.before() else { return Err(bad(&"does not say the chain digest before it")) };
        let mut segment = Self::begin(name.incarnation, name.first, before);
        while let Some(recorded) = slice.next_event().map_err(|e| bad(&e))? {
            segment.push(recorded);
        }
        if segment.events.is_empty() || segment.name() != *name {
            return Err(bad(&format!("has {} events", segment.events.len())));
        }
        Ok(segment)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn segment(from: u64, len: u64) -> Segment {
        let mut segment = Segment::begin(Incarnation::new(Uuid::from_u128(7)), from, Sha256Digest::of(b"before"));
        for n in from..from + len {
            let payload = if n.is_multiple_of(2) { vec![0xff, 0] } else { format!("{{\"n\": {n}}}").into_bytes() };
            let (subject, message_id) = ("hw.v1.x".to_owned(), format!("id-{n}"));
            segment.push(Recorded { n, subject, message_id, payload: payload.into() });
        }
        segment
    }

    #[test]
    fn every_byte_comes_back() {
        let written = segment(5, 100);
        let name = written.name();
        assert_eq!((name.first, name.last), (5, 104));
        let bytes = written.encode();
        assert_eq!(bytes, written.encode(), "the same events give the same bytes");
        assert_eq!(Segment::decode(&name, &bytes).unwrap(), written);
        let next = written.next();
        assert_eq!((next.first, next.before()), (105, written.chain()));
    }

    #[test]
    fn what_is_not_the_segment_of_its_name_is_refused() {
        let written = segment(5, 10);
        let (name, bytes) = (written.name(), written.encode());
        let refused = |name: SegmentName, bytes: &[u8]| Segment::decode(&name, bytes).unwrap_err().problem;
        assert!(refused(name, b"").ends_with("incomplete frame"), "{}", refused(name, b""));
        let mut found = 0;
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0x10;
            // Some bits of the frame's header mean nothing to the events; never are they read as other ones.
            let read = Segment::decode(&name, &flipped);
            found += usize::from(read.is_err());
            assert!(read.is_err() || read.as_ref() == Ok(&written), "byte {at}");
            assert!(Segment::decode(&name, &bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(found + 4 > bytes.len(), "{found} of {}", bytes.len());
        assert_eq!(refused(SegmentName { last: 15, ..name }, &bytes), "has 10 events");
        assert!(refused(SegmentName { first: 4, ..name }, &bytes).ends_with("from event 5 on"));
        let other = SegmentName { incarnation: Incarnation::new(Uuid::nil()), ..name };
        assert!(refused(other, &bytes).starts_with("is one of the journal"));
    }
}
