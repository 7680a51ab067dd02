//! A slice of the journal as a file: a line that says what it is of, then one line for each event, all JSON. What stands in
//! the journal is kept byte for byte, so that folding the file decides what folding the journal did.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Incarnation, Recorded, Sha256Digest};

/// What the first line of every such file says.
const FORMAT: &str = "highwater-journal";

/// Raised when a line changes its meaning.
const VERSION: u32 = 1;

/// The longest line that is read: an event has at most 64 KiB, twice that when its bytes are no JSON, and a frame.
const MAX_LINE_BYTES: u64 = 256 * 1024;

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    incarnation: Incarnation,
    from: u64,
    /// [`Recorded::chain`] before the first event, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Sha256Digest>,
}

/// An event where it is in the journal. `event` is it as published; bytes that are no JSON on one line are in `hex`.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    seq: u64,
    subject: String,
    message_id: String,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// Why a file is no slice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the slice {problem}")]
pub struct BadSlice {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it, as the end of a sentence.
    pub problem: String,
}

/// Writes a slice.
#[derive(Debug)]
pub struct SliceWriter<W> {
    out: W,
}

/// Reads a slice, event by event, and refuses what has a hole.
#[derive(Debug)]
pub struct SliceReader<R> {
    lines: R,
    /// The number of the last line that was read, from 1.
    line: u64,
    incarnation: Incarnation,
    before: Option<Sha256Digest>,
    /// The event that must come next.
    next: u64,
}

// === impl SliceWriter ===

impl<W: Write> SliceWriter<W> {
    /// Begins a slice of this journal that starts with event `from`; `before` is the chain digest before that, where it is
    /// known.
    pub fn begin(out: W, incarnation: Incarnation, from: u64, before: Option<Sha256Digest>) -> std::io::Result<Self> {
        let mut writer = Self { out };
        let header = Header { format: FORMAT.to_owned(), version: VERSION, incarnation, from, before };
        writer.line(&header)?;
        Ok(writer)
    }

    /// Adds the next event.
    pub fn add(&mut self, recorded: &Recorded) -> std::io::Result<()> {
        let event = raw(&recorded.payload);
        let hex = event.is_none().then(|| hex::encode(&recorded.payload));
        let (subject, message_id) = (recorded.subject.clone(), recorded.message_id.clone());
        self.line(&Line { seq: recorded.n, subject, message_id, event, hex })
    }

    /// Ends the slice.
    pub fn end(mut self) -> std::io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn line(&mut self, line: &impl Serialize) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}

/// The payload as JSON that can stand in a line and be read from there unchanged; `null` would be read as none at all.
fn raw(payload: &[u8]) -> Option<&RawValue> {
    let is_one_line = !payload.contains(&b'\n') && !payload.contains(&b'\r') && payload != b"null";
    let parsed: &RawValue = serde_json::from_slice(payload).ok()?;
    (is_one_line && parsed.get().as_bytes() == payload).then_some(parsed)
}

// === impl SliceReader ===

impl<R: BufRead> SliceReader<R> {
    /// Reads what the slice is of.
    pub fn begin(lines: R) -> Result<Self, BadSlice> {
        let incarnation = Incarnation::new(uuid::Uuid::nil());
        let mut reader = Self { lines, line: 0, incarnation, before: None, next: 1 };
        let Some(text) = reader.read_line()? else { return Err(reader.wrong("is missing: the file is empty")) };
        let header: Header = serde_json::from_slice(&text)
            .map_err(|error| reader.wrong(format!("is not what `projector export` begins with: {error}")))?;
        if header.format != FORMAT || header.version != VERSION {
            let found = format!("{} version {}", header.format, header.version);
            return Err(reader.wrong(format!("says {found}; this program reads {FORMAT} version {VERSION}")));
        }
        (reader.incarnation, reader.before, reader.next) = (header.incarnation, header.before, header.from.max(1));
        Ok(reader)
    }

    /// The journal it is of.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The chain digest before its first event, if the file says it.
    pub fn before(&self) -> Option<Sha256Digest> {
        self.before
    }

    /// The number of the event that comes next.
    pub fn next_n(&self) -> u64 {
        self.next
    }

    /// The next event; none at the end.
    pub fn next_event(&mut self) -> Result<Option<Recorded>, BadSlice> {
        let Some(text) = self.read_line()? else { return Ok(None) };
        let line: Line<'_> =
            serde_json::from_slice(&text).map_err(|error| self.wrong(format!("is no event: {error}")))?;
        let payload = match (line.event, line.hex) {
            (Some(event), None) => event.get().as_bytes().to_vec(),
            (None, Some(hex)) => hex::decode(hex).map_err(|error| self.wrong(format!("has bad `hex`: {error}")))?,
            _ => return Err(self.wrong("must have one of `event` and `hex`")),
        };
        if line.seq != self.next {
            let reason = format!("has event {} where event {} must come", line.seq, self.next);
            return Err(self.wrong(reason));
        }
        self.next = self.next.saturating_add(1);
        let Line { seq, subject, message_id, .. } = line;
        Ok(Some(Recorded { n: seq, subject, message_id, payload: payload.into() }))
    }

    fn read_line(&mut self) -> Result<Option<Vec<u8>>, BadSlice> {
        let mut text = Vec::new();
        let mut limited = std::io::Read::take(&mut self.lines, MAX_LINE_BYTES);
        let read = limited.read_until(b'\n', &mut text);
        self.line += 1;
        match read {
            Err(error) => Err(self.wrong(format!("cannot be read: {error}"))),
            Ok(0) => Ok(None),
            Ok(_) if text.last() == Some(&b'\n') => Ok(Some(text)),
            Ok(read) if read as u64 == MAX_LINE_BYTES => {
                Err(self.wrong(format!("is longer than {MAX_LINE_BYTES} bytes")))
            }
            Ok(_) => Err(self.wrong("breaks off: the file was cut short")),
        }
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> BadSlice {
        BadSlice { line: self.line, problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(n: u64, payload: &'static [u8]) -> Recorded {
        let (subject, message_id) = ("hw.v1.x".to_owned(), format!("id-{n}"));
        Recorded { n, subject, message_id, payload: payload.into() }
    }

    fn written(events: &[Recorded]) -> Vec<u8> {
        let incarnation = Incarnation::new(uuid::Uuid::from_u128(7));
        let from = events.first().map_or(1, |first| first.n);
        let mut writer = SliceWriter::begin(Vec::new(), incarnation, from, None).unwrap();
        for event in events {
            writer.add(event).unwrap();
        }
        writer.end().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Recorded>, String> {
        let mut reader = SliceReader::begin(bytes).map_err(|error| error.to_string())?;
        assert_eq!(reader.incarnation(), Incarnation::new(uuid::Uuid::from_u128(7)));
        let mut events = Vec::new();
        while let Some(event) = reader.next_event().map_err(|error| error.to_string())? {
            events.push(event);
        }
        Ok(events)
    }

    #[test]
    fn every_byte_comes_back() {
        let payloads: [&[u8]; 8] =
            [br#"{"b": 1,  "a":"\u00e9"}"#, b"", b"\xff\x00", b"{\"a\":\n1}", b" {}", b"12", b"\"x\"", b"null"];
        let events: Vec<_> = (5..).zip(payloads).map(|(n, payload)| recorded(n, payload)).collect();
        let bytes = written(&events);
        assert_eq!(bytes.split(|&byte| byte == b'\n').count(), events.len() + 2, "a line each, and one before them");
        assert_eq!(read(&bytes).unwrap(), events);
    }

    #[test]
    fn what_is_no_slice_is_refused_with_its_line() {
        let good = String::from_utf8(written(&[recorded(1, b"{}"), recorded(2, b"{}")])).unwrap();
        let refused = |text: &str| read(text.as_bytes()).unwrap_err();
        assert!(refused("").starts_with("line 1 of the slice is missing"));
        assert!(refused("{}\n").starts_with("line 1 of the slice is not what `projector export` begins with"));
        let later = good.replace("\"version\":1", "\"version\":2");
        assert!(refused(&later).contains("this program reads highwater-journal version 1"));
        let hole = good.replace("\"seq\":2", "\"seq\":3");
        assert_eq!(refused(&hole), "line 3 of the slice has event 3 where event 2 must come");
        assert!(refused(good.trim_end()).ends_with("breaks off: the file was cut short"));
        let both = good.replacen("\"event\":{}", "\"event\":{},\"hex\":\"00\"", 1);
        assert!(refused(&both).ends_with("must have one of `event` and `hex`"));
        let endless = format!("{good}{}", "x".repeat(300_000));
        assert!(refused(&endless).contains("is longer than"));
    }
}
