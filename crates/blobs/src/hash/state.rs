//! A SHA-256 that is not finished, to be kept.

use std::fmt;

use proto::Sha256Digest;
use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

/// The state of a SHA-256 in the middle of its content; written as hex digits. What they mean is up to the library, and
/// a test below notices when a new version of it reads them in another way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct HashState(SerializedState<Sha256>);

// === impl HashState ===

impl HashState {
    pub(crate) fn of(hash: &Sha256) -> Self {
        Self(hash.serialize())
    }

    /// The hash, to go on with.
    pub(crate) fn hash(&self) -> Sha256 {
        Sha256::deserialize(&self.0).expect("it was looked at when it was made")
    }

    /// The digest, if nothing more came.
    pub(crate) fn digest(&self) -> Sha256Digest {
        Sha256Digest::new(self.hash().finalize().into())
    }
}

impl Default for HashState {
    fn default() -> Self {
        Self::of(&Sha256::new())
    }
}

impl fmt::Debug for HashState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<HashState> for String {
    fn from(state: HashState) -> Self {
        hex::encode(state.0)
    }
}

impl TryFrom<String> for HashState {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "is not the state of a SHA-256";
        let bytes = hex::decode(text).map_err(|_| wrong)?;
        let state = SerializedState::<Sha256>::try_from(bytes.as_slice()).map_err(|_| wrong)?;
        Sha256::deserialize(&state).map_err(|_| wrong)?;
        Ok(Self(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uploads under way would be lost with a library that writes it in another way.
    #[test]
    fn the_form_is_the_one_that_older_programs_wrote() {
        let mut hash = Sha256::new();
        hash.update([b'a'; 65]);
        let text = String::from(HashState::of(&hash));
        // Eight words, the number of blocks, and the block under way after its length.
        let (core, block) = text.split_at(80);
        assert_eq!(core, "1cb85bdf26061ee894a845fb310fd44f16685eb2c199d4d6294990ab665e63000100000000000000");
        assert_eq!(block, format!("0161{}", "00".repeat(62)));
        let mut read = HashState::try_from(text).unwrap().hash();
        read.update(b"b");
        hash.update(b"b");
        assert_eq!(read.finalize(), hash.finalize());
    }

    #[test]
    fn anything_else_is_refused() {
        let mut cut = String::from(HashState::default());
        cut.pop();
        for wrong in [String::new(), "00".to_owned(), cut.clone(), format!("{cut}g"), "ff".repeat(cut.len() / 2 + 1)] {
            assert!(HashState::try_from(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
