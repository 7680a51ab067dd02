//! What is remembered of an upload in parts, so that the same command can go on with it.
//!
//! One small file for each upload under way, named by a digest of where it comes from and where it goes. It is written
//! when the gateway has begun, and removed when the outcome is known: whatever ends this program leaves it behind.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proto::Sha256Digest;
use proto::v1::UploadMetadata;
use serde::{Deserialize, Serialize};

use crate::source::Source;

/// The gateway has thrown the parts away long before.
const FORGET_AFTER: Duration = Duration::from_hours(30 * 24);

/// Where the files are.
#[derive(Debug, Clone)]
pub(super) struct States {
    /// None when there is no home: then nothing is remembered.
    folder: Option<PathBuf>,
}

/// Which upload it is: the same command has the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The gateway's name for it.
    pub(super) upload_id: String,
    /// The request's id: an outcome that was reached but not heard is answered again.
    pub(super) request_id: String,
    /// The declared digest in hex, if any; it spares reading the file again.
    pub(super) sha256: Option<String>,
    /// What was said about the content; all of it was told to the gateway at the beginning.
    request: Request,
    /// For people who look.
    addr: String,
    source: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    space: String,
    path: String,
    size_bytes: u64,
    /// Seconds and nanoseconds.
    modified_at: Option<(i64, i32)>,
    content_type: String,
    actor: String,
    on_conflict: i32,
    if_version: String,
    ack_replicas: u32,
}

// === impl States ===

impl States {
    /// Under `state_home`, which as its specification wants counts only when it is absolute; else under the home folder.
    pub(super) fn find(state_home: Option<&OsStr>) -> Self {
        let given = state_home.map(PathBuf::from).filter(|folder| folder.is_absolute());
        let folder = given.or_else(|| Some(std::env::home_dir()?.join(".local").join("state")));
        Self { folder: folder.map(|folder| folder.join("highwater").join("uploads")) }
    }

    /// What is remembered of an upload. A file that cannot be understood is nothing to go on with.
    pub(super) fn load(&self, key: &Key) -> Option<Saved> {
        serde_json::from_slice(&std::fs::read(self.file(key)?).ok()?).ok()
    }

    /// Whether there is something to go on with.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.load(key).is_some()
    }

    /// Remembers an upload; whole or not at all, however the program ends.
    pub(super) fn save(&self, key: &Key, saved: &Saved) -> io::Result<()> {
        let (Some(folder), Some(file)) = (&self.folder, self.file(key)) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no home folder"));
        };
        std::fs::create_dir_all(folder)?;
        let mut temporary = tempfile::Builder::new().prefix(".saving-").tempfile_in(folder)?;
        serde_json::to_writer(&mut temporary, saved)?;
        temporary.flush()?;
        temporary.persist(file)?;
        Ok(())
    }

    /// Forgets an upload.
    pub(super) fn remove(&self, key: &Key) {
        if let Some(file) = self.file(key) {
            // What stays is found not to fit, or too old, by a later command.
            let _ = std::fs::remove_file(file);
        }
    }

    /// Forgets what nobody came back for.
    pub(super) fn remove_old(&self, now: SystemTime) {
        let entries = self.folder.as_ref().and_then(|folder| std::fs::read_dir(folder).ok());
        for entry in entries.into_iter().flatten().flatten() {
            let modified_at = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified_at.ok().and_then(|modified_at| now.duration_since(modified_at).ok());
            if age.is_some_and(|age| age > FORGET_AFTER) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn file(&self, key: &Key) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{}.json", key.0)))
    }
}

// === impl Key ===

impl Key {
    /// For the upload of `source` to `path` in `space` of the gateway at `addr`.
    pub(super) fn new(addr: &str, space: &str, path: &str, source: &Path) -> Self {
        // No part can contain the byte between them.
        let parts = [addr.as_bytes(), space.as_bytes(), path.as_bytes(), source.as_os_str().as_encoded_bytes()];
        Self(Sha256Digest::of(&parts.join(&0)).to_string())
    }
}

// === impl Saved ===

impl Saved {
    /// What is to be remembered of the upload that `metadata` began.
    pub(super) fn new(metadata: &UploadMetadata, upload_id: String, addr: &str, source: &Source) -> Self {
        Self {
            upload_id,
            request_id: metadata.request_id.clone(),
            sha256: metadata.sha256.as_ref().map(hex::encode),
            request: Request::of(metadata),
            addr: addr.to_owned(),
            source: PathBuf::from(source.name()),
        }
    }

    /// Whether `metadata`, which has no digest yet and no request id unless one is asked for, is the same request about
    /// the same, unchanged content.
    pub(super) fn fits(&self, metadata: &UploadMetadata) -> bool {
        let is_same_id = metadata.request_id.is_empty() || metadata.request_id == self.request_id;
        is_same_id && self.request == Request::of(metadata)
    }
}

// === impl Request ===

impl Request {
    fn of(metadata: &UploadMetadata) -> Self {
        Self {
            space: metadata.space.clone(),
            path: metadata.path.clone(),
            size_bytes: metadata.size_bytes.unwrap_or_default(),
            modified_at: metadata.modified_at.as_ref().map(|at| (at.seconds, at.nanos)),
            content_type: metadata.content_type.clone(),
            actor: metadata.actor.clone(),
            on_conflict: metadata.on_conflict,
            if_version: metadata.if_version.clone(),
            ack_replicas: metadata.ack_replicas,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> UploadMetadata {
        UploadMetadata {
            space: "main".to_owned(),
            path: "docs/a.bin".to_owned(),
            size_bytes: Some(20 << 20),
            modified_at: Some(prost_types::Timestamp { seconds: 1_782_000_000, nanos: 5 }),
            ..UploadMetadata::default()
        }
    }

    fn saved() -> Saved {
        let metadata = UploadMetadata { request_id: "r".to_owned(), sha256: Some(vec![1; 32].into()), ..metadata() };
        Saved::new(&metadata, "u".to_owned(), "http://g", &Source::File("/a.bin".into()))
    }

    #[test]
    fn what_is_saved_comes_back_until_it_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let states = States::find(Some(home.path().as_os_str()));
        let key = Key::new("http://g", "main", "docs/a.bin", Path::new("/a.bin"));
        assert_eq!(states.load(&key), None);
        states.save(&key, &saved()).unwrap();
        assert_eq!(states.load(&key), Some(saved()));
        let folder = home.path().join("highwater/uploads");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        // Whatever else stands there is no upload to go on with.
        std::fs::write(folder.join(format!("{}.json", key.0)), b"{\"upload_id\":").unwrap();
        assert!(!states.has(&key));
        states.remove(&key);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn each_command_has_its_own_file() {
        let keys = [
            Key::new("http://g", "main", "a", Path::new("/a")),
            Key::new("http://h", "main", "a", Path::new("/a")),
            Key::new("http://g", "other", "a", Path::new("/a")),
            Key::new("http://g", "main", "b", Path::new("/a")),
            Key::new("http://g", "main", "a", Path::new("/b")),
            Key::new("http://g", "maina", "", Path::new("/a")),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
        assert_eq!(keys[0], Key::new("http://g", "main", "a", Path::new("/a")));
    }

    #[test]
    fn only_the_same_request_about_the_same_content_fits() {
        assert!(saved().fits(&metadata()));
        assert!(saved().fits(&UploadMetadata { request_id: "r".to_owned(), ..metadata() }));
        let later = prost_types::Timestamp { seconds: 1_782_000_000, nanos: 6 };
        let others = [
            UploadMetadata { size_bytes: Some(20 << 20 | 1), ..metadata() },
            UploadMetadata { modified_at: Some(later), ..metadata() },
            UploadMetadata { request_id: "s".to_owned(), ..metadata() },
            UploadMetadata { actor: "alice".to_owned(), ..metadata() },
            UploadMetadata { on_conflict: 2, ..metadata() },
            UploadMetadata { if_version: "v".to_owned(), ..metadata() },
        ];
        for other in others {
            assert!(!saved().fits(&other), "{other:?}");
        }
    }

    #[test]
    fn what_nobody_came_back_for_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let states = States::find(Some(home.path().as_os_str()));
        let key = |path| Key::new("http://g", "main", path, Path::new("/a"));
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50);
        for (path, days) in [("old", 31), ("new", 29)] {
            states.save(&key(path), &saved()).unwrap();
            let file = std::fs::File::options().write(true).open(states.file(&key(path)).unwrap()).unwrap();
            file.set_modified(now - Duration::from_hours(24 * days)).unwrap();
        }
        states.remove_old(now);
        assert!(!states.has(&key("old")) && states.has(&key("new")));
    }

    #[test]
    fn a_relative_state_home_does_not_count() {
        let relative = States::find(Some(OsStr::new("state")));
        assert!(relative.folder.is_none_or(|folder| folder.is_absolute()));
        assert!(States { folder: None }.save(&Key("k".to_owned()), &saved()).is_err());
    }
}
