//! Paths inside a space.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::Invalid;

/// Longest path, in bytes of UTF-8.
pub const MAX_PATH_BYTES: usize = 4096;
/// Longest segment, in bytes of UTF-8; what common file systems can hold.
pub const MAX_SEGMENT_BYTES: usize = 255;

/// A path inside a space: segments joined by `/`, NFC, never empty, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Path(String);

/// One name of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Segment(String);

// === impl Path ===

impl Path {
    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names, from the top down.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = Segment> {
        self.0.split('/').map(|name| Segment(name.to_owned()))
    }

    /// The last name.
    pub fn name(&self) -> Segment {
        Segment(self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name).to_owned())
    }

    /// All but the last name; `None` at the top.
    pub fn parent(&self) -> Option<Path> {
        self.0.rsplit_once('/').map(|(parent, _)| Path(parent.to_owned()))
    }

    /// The path that these names make; may be longer than [`MAX_PATH_BYTES`], as a conflicted copy's can be.
    pub fn from_segments(segments: &[Segment]) -> Option<Path> {
        let names: Vec<&str> = segments.iter().map(Segment::as_str).collect();
        if names.is_empty() { None } else { Some(Path(names.join("/"))) }
    }
}

impl FromStr for Path {
    type Err = Invalid;

    /// Parses and normalises to NFC.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("path", "is empty"));
        }
        let path: String = text.nfc().collect();
        if path.len() > MAX_PATH_BYTES {
            return Err(Invalid::new(
                "path",
                format!("has {} bytes; at most {MAX_PATH_BYTES} are allowed", path.len()),
            ));
        }
        if path.starts_with('/') {
            return Err(Invalid::new("path", "starts with a slash"));
        }
        if path.ends_with('/') {
            return Err(Invalid::new("path", "ends with a slash"));
        }
        for segment in path.split('/') {
            check_segment(segment)?;
        }
        Ok(Self(path))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.0
    }
}

impl TryFrom<String> for Path {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

// === impl Segment ===

impl Segment {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Segment {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name: String = text.nfc().collect();
        if name.contains('/') {
            return Err(Invalid::new("path", "has a slash inside a name"));
        }
        check_segment(&name)?;
        Ok(Self(name))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Segment> for String {
    fn from(segment: Segment) -> Self {
        segment.0
    }
}

impl TryFrom<String> for Segment {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

fn check_segment(segment: &str) -> Result<(), Invalid> {
    if segment.is_empty() {
        return Err(Invalid::new("path", "has an empty name (two slashes in a row)"));
    }
    if segment == "." || segment == ".." {
        return Err(Invalid::new("path", format!("has the name {segment:?}, which is not allowed")));
    }
    if segment.len() > MAX_SEGMENT_BYTES {
        let problem = format!("has a name of {} bytes; at most {MAX_SEGMENT_BYTES} are allowed", segment.len());
        return Err(Invalid::new("path", problem));
    }
    if let Some(control) = segment.chars().find(|c| c.is_control()) {
        return Err(Invalid::new("path", format!("has the control character U+{:04X}", u32::from(control))));
    }
    Ok(())
}
