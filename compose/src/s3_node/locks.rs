//! One writer per key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Locks by key, kept only while somebody holds or wants them. s3s-fs writes an object's files one after the other: two
/// writers of one key (a copy that is delivered again) would mix theirs.
#[derive(Debug, Default, Clone)]
pub(super) struct Locks {
    held: Arc<Mutex<HashMap<String, Lock>>>,
}

pub(super) struct Held {
    locks: Locks,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Locks {
    pub(super) async fn lock(&self, bucket: &str, key: &str) -> Held {
        let name = format!("{bucket}/{key}");
        let lock = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(held.entry(name.clone()).or_default())
        };
        // Made before the wait, so that a request that is given up while it waits cleans up too.
        let mut holder = Held { locks: self.clone(), name, guard: None };
        holder.guard = Some(lock.lock_owned().await);
        holder
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.guard = None;
        let mut held = self.locks.held.lock().unwrap_or_else(PoisonError::into_inner);
        // One reference is the map's own. Others are taken only under the map's lock.
        if held.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            held.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn locks_exclude_by_key_and_leave_nothing_behind() {
        let locks = Locks::default();
        let first = locks.lock("b", "k").await;
        let other = locks.lock("b", "other").await;
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), locks.lock("b", "k")).await.is_err());
        drop((first, other));
        drop(locks.lock("b", "k").await);
        assert!(locks.held.lock().unwrap().is_empty());
    }
}
