//! Page tokens: where a page ended, opaque to clients, and only good for the question that they were given out for.

use sha2::{Digest as _, Sha256};

use crate::Error;

/// Longest token looked at; a path has at most a few thousand bytes, but a conflicted copy's may be longer.
const MAX_TOKEN_BYTES: usize = 32 * 1024;

/// How many bytes of the digest stand in a token.
const SEAL_BYTES: usize = 8;

/// Writes a token: the position, after a digest over it and over what was asked (`scope`). The digest keeps clients from
/// taking a token apart by accident, not from making one: a made one shows nothing that a question would not.
pub(crate) fn seal(scope: &[&str], position: &str) -> String {
    let mut bytes = digest(scope, position).to_vec();
    bytes.extend_from_slice(position.as_bytes());
    hex::encode(bytes)
}

/// Reads a token; none when it is empty, which asks for the first page.
pub(crate) fn open(scope: &[&str], token: &str) -> Result<Option<String>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = |problem: &str| Error::PageToken { problem: problem.to_owned() };
    if token.len() > MAX_TOKEN_BYTES {
        return Err(wrong("is too long"));
    }
    let bytes = hex::decode(token).map_err(|_| wrong("is not one of this service's"))?;
    let (seal, position) = bytes.split_at_checked(SEAL_BYTES).ok_or_else(|| wrong("is not one of this service's"))?;
    let position = std::str::from_utf8(position).map_err(|_| wrong("is not one of this service's"))?;
    if seal != digest(scope, position) {
        return Err(wrong("was not given out for this question"));
    }
    Ok(Some(position.to_owned()))
}

fn digest(scope: &[&str], position: &str) -> [u8; SEAL_BYTES] {
    let mut hash = Sha256::new();
    for part in scope.iter().chain([&position]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&hash.finalize()[..SEAL_BYTES]);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_question_only() {
        let token = seal(&["list", "main", "a"], "a/b");
        assert_eq!(open(&["list", "main", "a"], &token).unwrap().as_deref(), Some("a/b"));
        assert_eq!(open(&["list", "main", "a"], "").unwrap(), None);
        for (scope, token) in [
            (["list", "main", "b"], token.as_str()),
            (["list", "main", "a"], "zz"),
            (["list", "main", "a"], "00"),
            (["list", "main", "a"], &token[..token.len() - 2]),
        ] {
            assert!(matches!(open(&scope, token), Err(Error::PageToken { .. })), "{token}");
        }
    }
}
