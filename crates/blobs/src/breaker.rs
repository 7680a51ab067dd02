//! Whether a node is fit to be asked.
//!
//! Reading and writing are counted apart, so that a full disk still serves downloads. Faults in a row open the breaker;
//! the health check, which reads the marker, closes it again and leaves it one fault from opening.

use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::NodeId;
use tokio::sync::{Notify, watch};

use crate::{Error, Marker, NodeFault};

/// What a node is fit for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Everything.
    Healthy,
    /// It does not work at the moment; it is tried again by itself.
    Unavailable {
        /// What it says or does.
        reason: String,
    },
    /// It works, but its bucket is not the one that it should be: it must not be used until a person has looked.
    WrongMarker {
        /// What is wrong with the marker.
        reason: String,
    },
}

/// What an operation needs of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    node: NodeId,
    faults_to_open: u32,
    state: Mutex<State>,
    health: watch::Sender<Health>,
    opened: Notify,
}

#[derive(Debug)]
struct State {
    reads: Circuit,
    writes: Circuit,
    marker: MarkerState,
    /// Whether a real operation went well since the breaker opened last.
    proven: bool,
}

#[derive(Debug, Default)]
struct Circuit {
    faults: u32,
    open: Option<String>,
}

#[derive(Debug)]
enum MarkerState {
    /// Not read yet.
    Unknown,
    /// Read; `None` when no cluster is expected and there is none.
    Right(Option<Marker>),
    Wrong(String),
}

// === impl Health ===

impl Health {
    /// Whether it is [`Health::Healthy`].
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }

    /// Why it is not.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Healthy => None,
            Self::Unavailable { reason } | Self::WrongMarker { reason } => Some(reason),
        }
    }
}

// === impl Breaker ===

impl Breaker {
    pub(crate) fn new(node: NodeId, faults_to_open: u32) -> Self {
        let (health, _) = watch::channel(Health::Healthy);
        let marker = MarkerState::Unknown;
        let state = State { reads: Circuit::default(), writes: Circuit::default(), marker, proven: true };
        Self { node, faults_to_open, state: Mutex::new(state), health, opened: Notify::new() }
    }

    pub(crate) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Whether the node may be asked for bytes.
    pub(crate) fn is_readable(&self) -> bool {
        let state = self.lock();
        state.reads.open.is_none() && !matches!(state.marker, MarkerState::Wrong(_))
    }

    /// Why the node is not asked for bytes at the moment, when that is because it failed.
    pub(crate) fn unreadable(&self) -> Option<String> {
        self.lock().reads.open.clone()
    }

    pub(crate) fn marker(&self) -> Option<Marker> {
        match &self.lock().marker {
            MarkerState::Right(marker) => marker.clone(),
            MarkerState::Unknown | MarkerState::Wrong(_) => None,
        }
    }

    /// Counts an operation's outcome. Only faults of the node count: a refused request says that it works.
    pub(crate) fn record<T>(&self, kind: Kind, outcome: &Result<T, Error>) {
        match outcome {
            Err(Error::Node { fault, reason, .. }) => self.count(kind, *fault, reason),
            Err(Error::Setup { .. }) => {}
            Ok(_) | Err(_) => self.clear(kind),
        }
    }

    /// A failure for this reason turned out to be no fault of the node.
    pub(crate) fn acquit(&self, reason: &str) {
        let mut state = self.lock();
        let State { reads, writes, .. } = &mut *state;
        for circuit in [reads, writes] {
            if circuit.open.as_deref().is_none_or(|open| open == reason) {
                *circuit = Circuit::default();
            }
        }
        self.publish(&state);
    }

    /// What the health check found: the marker, or its absence.
    pub(crate) fn found(&self, marker: Result<Option<Marker>, String>) {
        let mut state = self.lock();
        match marker {
            Ok(marker) => {
                if let (MarkerState::Right(Some(before)), Some(now)) = (&state.marker, &marker)
                    && before.marker_id != now.marker_id
                {
                    tracing::warn!(
                        node.id = %self.node,
                        "node {} has another marker than before: {} instead of {}; its disk was changed",
                        self.node, now.marker_id, before.marker_id,
                    );
                }
                state.marker = MarkerState::Right(marker);
            }
            Err(reason) => state.marker = MarkerState::Wrong(reason),
        }
        let almost = self.faults_to_open - 1;
        state.reads.half_open(almost);
        state.writes.half_open(almost);
        self.publish(&state);
    }

    /// The health check failed: opens at once when nothing is known of the node yet.
    pub(crate) fn unreachable(&self, fault: NodeFault, reason: &str) {
        let mut state = self.lock();
        let at_once = matches!(state.marker, MarkerState::Unknown);
        let limit = if at_once { 1 } else { self.faults_to_open };
        let opened = [state.reads.fault(reason, limit), state.writes.fault(reason, limit)];
        self.after_fault(state, opened.contains(&true), fault);
    }

    /// Waits until a fault opens the breaker.
    pub(crate) async fn opened(&self) {
        self.opened.notified().await;
    }

    /// Whether a real operation went well since the last call, so that probing may begin with short delays again.
    pub(crate) fn take_proven(&self) -> bool {
        std::mem::take(&mut self.lock().proven)
    }

    fn count(&self, kind: Kind, fault: NodeFault, reason: &str) {
        let mut state = self.lock();
        let both = crate::transport::is_total(fault);
        let mut opened = false;
        if both || kind == Kind::Read {
            opened |= state.reads.fault(reason, self.faults_to_open);
        }
        if both || kind == Kind::Write {
            opened |= state.writes.fault(reason, self.faults_to_open);
        }
        self.after_fault(state, opened, fault);
    }

    fn after_fault(&self, state: MutexGuard<'_, State>, opened: bool, fault: NodeFault) {
        self.publish(&state);
        drop(state);
        if opened {
            tracing::debug!(node.id = %self.node, fault = %fault, "breaker of node {} opened", self.node);
            self.opened.notify_one();
        }
    }

    fn clear(&self, kind: Kind) {
        let mut state = self.lock();
        state.proven = true;
        let circuit = match kind {
            Kind::Read => &mut state.reads,
            Kind::Write => &mut state.writes,
        };
        circuit.faults = 0;
        if circuit.open.take().is_some() {
            self.publish(&state);
        }
    }

    /// Tells the change, if it is one; logged here, once, by whom it concerns.
    fn publish(&self, state: &State) {
        let now = state.health();
        self.health.send_if_modified(|health| {
            if *health == now {
                return false;
            }
            let (id, same_kind) = (&self.node, std::mem::discriminant(health) == std::mem::discriminant(&now));
            match &now {
                Health::Healthy => tracing::info!(node.id = %id, "node {id} is healthy"),
                Health::Unavailable { reason } if !same_kind => {
                    tracing::warn!(node.id = %id, "node {id} is unavailable: it {reason}");
                }
                Health::Unavailable { .. } => {}
                Health::WrongMarker { reason } => {
                    tracing::error!(node.id = %id, "node {id} must not be used: its bucket {reason}");
                }
            }
            *health = now;
            true
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn health(&self) -> Health {
        match (&self.marker, &self.writes.open, &self.reads.open) {
            (MarkerState::Wrong(reason), _, _) => Health::WrongMarker { reason: reason.clone() },
            (_, Some(reason), _) | (_, None, Some(reason)) => Health::Unavailable { reason: reason.clone() },
            (_, None, None) => Health::Healthy,
        }
    }
}

// === impl Circuit ===

impl Circuit {
    /// Closes an open circuit, ready to open again at the next fault.
    fn half_open(&mut self, faults: u32) {
        if self.open.take().is_some() {
            self.faults = faults;
        }
    }

    /// Counts a fault; true when this one opens the circuit.
    fn fault(&mut self, reason: &str, limit: u32) -> bool {
        self.faults = self.faults.saturating_add(1);
        let opens = self.open.is_none() && self.faults >= limit;
        if opens || self.open.is_some() {
            self.open = Some(reason.to_owned());
        }
        opens
    }
}

#[cfg(test)]
mod tests;
