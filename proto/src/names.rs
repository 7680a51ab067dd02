//! Names that people give: nodes, their zones, spaces, actors, request ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::Invalid;

/// The space that `gateway init` creates and that an empty space name means.
pub const MAIN_SPACE: &str = "main";

const MAX_NODE_ID_BYTES: usize = 32;
const MAX_ZONE_BYTES: usize = 32;
const MAX_SPACE_NAME_BYTES: usize = 255;
const MAX_ACTOR_BYTES: usize = 128;
const MAX_REQUEST_ID_BYTES: usize = 128;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                $check(text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }
    };
}

name!(
    /// A node's name in configuration, events and consumer names: 1 to 32 of `a-z`, `0-9` and `-`.
    NodeId,
    check_node_id
);
name!(
    /// Where a node stands, such as a rack or a building: 1 to 32 of `a-z`, `0-9` and `-`.
    Zone,
    check_zone
);
name!(
    /// A space's name: NFC, one path segment.
    SpaceName,
    check_space_name
);
name!(
    /// Who makes a change, as the client says; at most 128 bytes without control characters.
    Actor,
    check_actor
);
name!(
    /// A client's own id of a request; at most 128 bytes without control characters.
    RequestId,
    check_request_id
);

impl Actor {
    /// The actor of a client that names none.
    pub fn anonymous() -> Self {
        Self("anonymous".to_owned())
    }

    /// The actor of what the programs do by themselves.
    pub fn system() -> Self {
        Self("system".to_owned())
    }
}

impl SpaceName {
    /// The space [`MAIN_SPACE`].
    pub fn main() -> Self {
        Self(MAIN_SPACE.to_owned())
    }
}

fn check_node_id(text: &str) -> Result<String, Invalid> {
    check_word("node id", text, MAX_NODE_ID_BYTES)
}

fn check_zone(text: &str) -> Result<String, Invalid> {
    check_word("zone", text, MAX_ZONE_BYTES)
}

fn check_word(what: &'static str, text: &str, max_bytes: usize) -> Result<String, Invalid> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || text.len() > max_bytes || !text.bytes().all(allowed) {
        return Err(Invalid::new(what, format!("{text:?} is not 1 to {max_bytes} of a-z, 0-9 and -")));
    }
    Ok(text.to_owned())
}

fn check_space_name(text: &str) -> Result<String, Invalid> {
    let name: String = text.nfc().collect();
    check_plain("space name", &name, MAX_SPACE_NAME_BYTES)?;
    if name.contains('/') || name == "." || name == ".." {
        return Err(Invalid::new("space name", format!("{name:?} is not one path segment")));
    }
    Ok(name)
}

fn check_actor(text: &str) -> Result<String, Invalid> {
    check_plain("actor", text, MAX_ACTOR_BYTES)?;
    Ok(text.to_owned())
}

fn check_request_id(text: &str) -> Result<String, Invalid> {
    check_plain("request id", text, MAX_REQUEST_ID_BYTES)?;
    Ok(text.to_owned())
}

fn check_plain(what: &'static str, text: &str, max_bytes: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(what, "is empty"));
    }
    if text.len() > max_bytes {
        return Err(Invalid::new(what, format!("has {} bytes; at most {max_bytes} are allowed", text.len())));
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        return Err(Invalid::new(what, format!("has the control character U+{:04X}", u32::from(control))));
    }
    Ok(())
}
