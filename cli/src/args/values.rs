//! Words of the command line that are no names.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use proto::v1::{OnConflict, PlacementNode};
use proto::{NodeId, Weight, Zone};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What to do when the path of a change is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Conflict {
    /// A file gets a new version; a file that is moved onto another one replaces it, which goes to the trash
    Overwrite,
    /// The change is rejected
    Fail,
    /// What is there stays, and the new content gets a name of its own
    KeepBoth,
}

/// A point in the past: a sequence, or a time in RFC 3339. The gateway reads it; here it is only checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At(String);

/// On how many nodes; 0 is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copies(u32);

/// What is said of a node: `node-a=3@north`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeWeight {
    node: NodeId,
    weight: Weight,
    zone: Option<Zone>,
}

// === impl Copies ===

impl Copies {
    /// As the API wants it.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for Copies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self(0)),
            _ => match text.parse() {
                Ok(0) | Err(_) => Err("write a number from 1 on, or `all`".to_owned()),
                Ok(copies) => Ok(Self(copies)),
            },
        }
    }
}

// === impl NodeWeight ===

impl FromStr for NodeWeight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((node, rule)) = text.split_once('=') else {
            return Err("write it as node-a=3, or node-a=3@north with a zone".to_owned());
        };
        let (weight, zone) = rule.split_once('@').map_or((rule, None), |(weight, zone)| (weight, Some(zone)));
        let invalid = |invalid: proto::Invalid| invalid.to_string();
        let weight: u32 = weight.parse().map_err(|_| format!("weight {weight:?} is not a number"))?;
        Ok(Self {
            node: node.parse().map_err(invalid)?,
            weight: weight.try_into().map_err(invalid)?,
            zone: zone.map(str::parse).transpose().map_err(invalid)?,
        })
    }
}

impl From<&NodeWeight> for PlacementNode {
    fn from(told: &NodeWeight) -> Self {
        Self {
            node: told.node.to_string(),
            weight: told.weight.get(),
            zone: told.zone.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

// === impl Conflict ===

impl From<Conflict> for OnConflict {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Overwrite => Self::Overwrite,
            Conflict::Fail => Self::Fail,
            Conflict::KeepBoth => Self::KeepBoth,
        }
    }
}

/// As the API wants it: when absent, the default of the call.
pub(crate) fn on_conflict(conflict: Option<Conflict>) -> i32 {
    conflict.map_or(OnConflict::Unspecified, OnConflict::from).into()
}

// === impl At ===

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_sequence = text.parse::<proto::Sequence>().is_ok();
        if is_sequence || OffsetDateTime::parse(text, &Rfc3339).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err("write a sequence, as given by put, or a time such as 2026-06-21T12:00:00Z".to_owned())
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number with its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let form = || "write a number and ms, s, m or h, such as 30s".to_owned();
    let number: u64 = text[..digits].parse().map_err(|_| form())?;
    let milliseconds = match &text[digits..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(form()),
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        for wrong in ["", "30", "s", "-1s", "1.5s", "3 s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_past_is_a_sequence_or_a_time() {
        for right in ["7f3b1c0d9e8a4b5c8d7e6f5a4b3c2d1e-17", "2026-06-21T12:00:00Z", "2026-06-21T12:00:00.5+02:00"] {
            assert_eq!(right.parse::<At>().map(|at| at.to_string()), Ok(right.to_owned()));
        }
        for wrong in ["", "17", "yesterday", "2026-06-21", "2026-06-21 12:00:00"] {
            assert!(wrong.parse::<At>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn no_conflict_rule_means_the_default_of_the_call() {
        assert_eq!(on_conflict(None), i32::from(OnConflict::Unspecified));
        assert_eq!(on_conflict(Some(Conflict::KeepBoth)), i32::from(OnConflict::KeepBoth));
    }
}
