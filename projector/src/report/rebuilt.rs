//! What `rebuild` prints.

use serde::Serialize;

use super::{VerifyReport, compared, line, text};
use crate::cli::Rebuild;
use crate::rebuild::{Ended, Rebuilt};

#[derive(Serialize)]
struct RebuildReport<'a> {
    generation: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_at: Option<String>,
    sequence: String,
    events: u64,
    seconds: f64,
    events_per_second: f64,
    switched: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_generation: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accepted: &'a Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_accepted: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<VerifyReport<'a>>,
}

/// What `rebuild` with these flags prints.
pub(crate) fn rebuilt(rebuilt: &Rebuilt, flags: &Rebuild) -> String {
    if flags.json { line(&RebuildReport::of(rebuilt, flags)) } else { words(rebuilt, flags) }
}

fn words(rebuilt: &Rebuilt, flags: &Rebuild) -> String {
    let (pace, generation, n) = (rebuilt.pace, rebuilt.generation, rebuilt.at.n);
    let mut lines = Vec::new();
    if let Some(at) = rebuilt.resumed_at {
        lines.push(format!("went on with {generation}, which had been folded up to event {}", at.n));
    }
    let (events, seconds, rate) = (pace.events, pace.seconds, pace.per_second());
    lines.push(format!("folded {events} events in {seconds:.1} s, {rate:.0} a second"));
    if let Some(found) = &rebuilt.compared {
        lines.push(compared(found, false).trim_end().to_owned());
    }
    match rebuilt.ended {
        Ended::Switched { kept } => {
            if !rebuilt.accepted.is_empty() {
                lines.push(format!("accepted differences in {}", rebuilt.accepted.join(", ")));
            }
            lines.push(format!("{generation} answers reads from now on, at event {n}"));
            if let Some(kept) = kept {
                let how = "`projector prune` drops it, and so does the next switch";
                lines.push(format!("{kept}, which it replaces, is kept; {how}"));
            }
        }
        Ended::Refused if flags.switch => {
            let tables = not_accepted(rebuilt, flags).join(", ");
            lines.push(format!(
                "not switched, since these tables differ: {tables}; {generation} was dropped again, the live catalog is as it \
                 was. `--accept-differences` with all that differ switches nevertheless"
            ));
        }
        Ended::NotSwitched | Ended::Refused => {
            lines.push(format!("{generation} was dropped again; the live catalog is as it was"));
        }
    }
    text(&lines)
}

/// What kept it from switching.
fn not_accepted<'a>(rebuilt: &'a Rebuilt, flags: &'a Rebuild) -> Vec<&'a str> {
    rebuilt.compared.iter().flat_map(|compared| compared.unaccepted(&flags.accept_differences)).collect()
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

// === impl RebuildReport ===

impl<'a> RebuildReport<'a> {
    fn of(rebuilt: &'a Rebuilt, flags: &'a Rebuild) -> Self {
        let pace = rebuilt.pace;
        let (switched, kept) = match rebuilt.ended {
            Ended::Switched { kept } => (true, kept),
            Ended::NotSwitched | Ended::Refused => (false, None),
        };
        Self {
            generation: rebuilt.generation.number(),
            resumed_at: rebuilt.resumed_at.map(|at| at.sequence().to_string()),
            sequence: rebuilt.at.sequence().to_string(),
            events: pace.events,
            seconds: rounded(pace.seconds),
            events_per_second: pace.per_second().round(),
            switched,
            kept_generation: kept.map(catalog::Generation::number),
            accepted: &rebuilt.accepted,
            not_accepted: if flags.switch && !switched { not_accepted(rebuilt, flags) } else { Vec::new() },
            verified: rebuilt.compared.as_ref().map(VerifyReport::of),
        }
    }
}
