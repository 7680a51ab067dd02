//! Every task of a process, by name: spawned here and nowhere else, so that none dies unseen and none is left behind.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::shutdown::{Cancelled, Shutdown};

/// The tasks of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    shutdown: Shutdown,
    tracker: TaskTracker,
    book: Arc<Mutex<Book>>,
}

/// What a task may end with: nothing, or a result.
pub trait Ending {
    /// The error the task ended with, if any.
    fn error(self) -> Option<anyhow::Error>;
}

/// A task that ended with an error or a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The name it was spawned with.
    pub task: String,
    /// The error with its causes, or the words of the panic.
    pub reason: String,
}

/// How all tasks ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Those that died, in the order they did.
    pub died: Vec<Death>,
    /// Those still running when the deadline of [`Tasks::join`] came, by name.
    pub unfinished: Vec<String>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    running: BTreeMap<u64, String>,
    died: Vec<Death>,
}

/// Strikes the task's name from the book, also when the task is aborted.
struct Entry {
    book: Arc<Mutex<Book>>,
    number: u64,
}

/// Whether an error only says that a shutdown was asked for.
pub(crate) fn is_cancelled(error: &anyhow::Error) -> bool {
    error.chain().any(<dyn std::error::Error>::is::<Cancelled>)
}

/// The words of a panic.
pub(crate) fn panic_words(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Tasks ===

impl Tasks {
    /// No tasks yet. One that dies asks `shutdown` for its soft step.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, tracker: TaskTracker::new(), book: Arc::default() }
    }

    /// Runs `future` as a task called `name` (`crate.verb`), in a span of that name.
    ///
    /// An `Err` or a panic is the task's death: it is logged here, once, at ERROR, asks for the soft shutdown, and
    /// makes the program exit with 70. An error whose sources hold [`Cancelled`] is no death. The handle is for ending the
    /// task early; most callers drop it.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, future: F) -> AbortHandle
    where
        F: Future<Output: Ending> + Send + 'static,
    {
        let name = name.into();
        let span = tracing::info_span!(parent: None, "task", task.name = %name);
        let entry = Entry::open(&self.book, &name);
        let tasks = self.clone();
        let watched = async move {
            let reason = match AssertUnwindSafe(future).catch_unwind().await.map(Ending::error) {
                Ok(None) => None,
                Ok(Some(error)) if is_cancelled(&error) => None,
                Ok(Some(error)) => Some(format!("{error:#}")),
                Err(panic) => Some(format!("panicked: {}", panic_words(panic.as_ref()))),
            };
            if let Some(reason) = reason {
                tasks.bury(Death { task: name.into_owned(), reason });
            }
            drop(entry);
        };
        self.tracker.spawn(watched.instrument(span)).abort_handle()
    }

    /// The shutdown these tasks follow.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// The tasks that died so far.
    pub fn died(&self) -> Vec<Death> {
        open(&self.book).died.clone()
    }

    /// The names of the tasks that run now.
    pub fn running(&self) -> Vec<String> {
        open(&self.book).running.values().cloned().collect()
    }

    /// Waits until every task has ended, or until `deadline` completes (`tokio::time::sleep(..)`, a token). It asks
    /// nobody to stop: that is the shutdown's part.
    pub async fn join(self, deadline: impl Future<Output = ()>) -> Outcome {
        self.tracker.close();
        let unfinished = tokio::select! {
            biased;
            () = self.tracker.wait() => Vec::new(),
            () = deadline => self.running(),
        };
        Outcome { died: self.died(), unfinished }
    }

    fn bury(&self, death: Death) {
        tracing::error!(task.name = death.task, "task {} died: {}", death.task, death.reason);
        open(&self.book).died.push(death);
        self.shutdown.trigger_soft();
    }
}

// === impl Outcome ===

impl Outcome {
    /// Whether every task ended, and none died.
    pub fn is_clean(&self) -> bool {
        self.died.is_empty() && self.unfinished.is_empty()
    }
}

// === impl Ending ===

impl Ending for () {
    fn error(self) -> Option<anyhow::Error> {
        None
    }
}

impl<E: Into<anyhow::Error>> Ending for Result<(), E> {
    fn error(self) -> Option<anyhow::Error> {
        self.err().map(Into::into)
    }
}

// === impl Entry ===

impl Entry {
    fn open(book: &Arc<Mutex<Book>>, name: &str) -> Self {
        let mut open = open(book);
        let number = open.next;
        open.next += 1;
        open.running.insert(number, name.to_owned());
        Self { book: Arc::clone(book), number }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        open(&self.book).running.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
