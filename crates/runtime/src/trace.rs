//! W3C Trace Context (level 1, <https://www.w3.org/TR/trace-context-1/>): for which request something is done, told from
//! process to process.
//!
//! The gateway makes a step of its own in the trace of its caller, or begins one; an event carries it in its headers; who
//! works on the delivery of the event does so within that step. Spans have the trace's id as `trace_id`, so that the lines of one
//! upload can be found in the logs of gateways and replicators. There it ends: what reports many copies at once belongs to many
//! traces, and has the ids of their events; so have the projector and a journal that was restored. `tracestate` is not passed
//! on, since nothing here is for those who write into it.

use std::fmt;
use std::str::FromStr;

use crate::clock::Ids;

/// The name of the header.
pub const TRACEPARENT: &str = "traceparent";

/// The only bit of the flags that level 1 knows: the caller records this trace.
const SAMPLED: u8 = 1;

tokio::task_local! {
    static CURRENT: Option<Trace>;
}

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The id of the whole trace, never 0.
    whole: u128,
    /// That of the step in it, never 0.
    step: u64,
    flags: u8,
}

/// Not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of W3C Trace Context")]
pub struct NotATrace;

/// The id of a trace, as its 32 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// The trace that the running task works for.
pub fn current() -> Option<Trace> {
    CURRENT.try_with(|trace| *trace).ok().flatten()
}

/// Does `work` for a trace. Tasks that it spawns are not within it, unless they are told.
pub async fn within<T>(trace: Option<Trace>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(trace, work).await
}

// === impl Trace ===

impl Trace {
    /// A trace that begins here.
    pub fn begin(ids: &Ids) -> Self {
        // A version 4 id is random but for six bits, one of which is set in each half.
        Self { whole: ids.v4().as_u128(), step: ids.v4().as_u64_pair().0, flags: 0 }
    }

    /// The next step of the same trace.
    #[must_use]
    pub fn next(self, ids: &Ids) -> Self {
        Self { step: ids.v4().as_u64_pair().0, ..self }
    }

    /// Its id, for logs.
    pub fn id(self) -> TraceId {
        TraceId(self.whole)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{:016x}-{:02x}", self.id(), self.step, self.flags)
    }
}

impl FromStr for Trace {
    type Err = NotATrace;

    /// Of a later version only what this one knows is read, as the standard demands.
    fn from_str(text: &str) -> Result<Self, NotATrace> {
        let mut fields = text.splitn(5, '-');
        let mut field = |digits: usize| {
            let lower = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            fields.next().filter(|field| field.len() == digits && field.chars().all(lower)).ok_or(NotATrace)
        };
        let (version, trace_id, parent_id, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return Err(NotATrace);
        }
        let trace = Self {
            whole: u128::from_str_radix(trace_id, 16).map_err(|_| NotATrace)?,
            step: u64::from_str_radix(parent_id, 16).map_err(|_| NotATrace)?,
            flags: u8::from_str_radix(flags, 16).map_err(|_| NotATrace)? & SAMPLED,
        };
        if trace.whole == 0 || trace.step == 0 { Err(NotATrace) } else { Ok(trace) }
    }
}

// === impl TraceId ===

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_told_again() {
        let trace: Trace = EXAMPLE.parse().unwrap();
        assert_eq!(trace.to_string(), EXAMPLE);
        assert_eq!(trace.id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        let next = trace.next(&Ids::seeded(1));
        assert_eq!((next.id(), next.flags), (trace.id(), trace.flags));
        assert_ne!(next.step, trace.step);
        let begun = Trace::begin(&Ids::system());
        assert_eq!(begun.to_string().parse(), Ok(begun));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in ["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more", &EXAMPLE.replace("00-", "01-")] {
            assert_eq!(later.parse::<Trace>().unwrap().to_string(), EXAMPLE);
        }
    }

    #[test]
    fn what_the_standard_forbids_is_no_traceparent() {
        for wrong in [
            "",
            "00",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(wrong.parse::<Trace>(), Err(NotATrace), "{wrong}");
        }
    }

    #[tokio::test]
    async fn work_is_within_its_trace_only() {
        let trace = EXAMPLE.parse().ok();
        assert_eq!(within(trace, async { current() }).await, trace);
        assert_eq!(within(trace, within(None, async { current() })).await, None);
        assert_eq!(current(), None);
    }
}
