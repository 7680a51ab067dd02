use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// No secret is longer; a larger file is not one.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A file that should hold a secret does not.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error("the secret in {} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is too large to be a secret.
    #[error("{} is too large to be a secret: {size_bytes} bytes, at most {MAX_SECRET_BYTES}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
    },
}

/// Reads a secret from a file, without the line end that editors and `echo` put after it.
pub fn read_secret(path: &Path) -> Result<SecretString, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let size_bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if size_bytes > MAX_SECRET_BYTES {
        return Err(SecretError::TooLarge { path: path.to_owned(), size_bytes });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(SecretError::Empty { path: path.to_owned() });
    }
    Ok(SecretString::from(secret))
}
