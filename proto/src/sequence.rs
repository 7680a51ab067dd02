//! Positions in the journal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Incarnation, Invalid};

/// A position in one life of the journal, written `<incarnation>-<n>` with the incarnation as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sequence {
    /// Which life of the journal.
    pub incarnation: Incarnation,
    /// The stream's sequence number, from 1; 0 is before the first event.
    pub n: u64,
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation.uuid().simple(), self.n)
    }
}

impl FromStr for Sequence {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("sequence", format!("{text:?} is not of the form <incarnation>-<n>"));
        let (incarnation, n) = text.rsplit_once('-').ok_or_else(invalid)?;
        if incarnation.len() != 32 || n.is_empty() || !n.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        Ok(Self {
            incarnation: Incarnation::new(Uuid::try_parse(incarnation).map_err(|_| invalid())?),
            n: n.parse().map_err(|_| invalid())?,
        })
    }
}

impl From<Sequence> for String {
    fn from(sequence: Sequence) -> Self {
        sequence.to_string()
    }
}

impl TryFrom<String> for Sequence {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}
