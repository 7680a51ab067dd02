//! What `rebuild` prints.

use serde::Serialize;

use super::{VerifyReport, compared, line};
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
    let mut said = String::new();
    if let Some(at) = rebuilt.resumed_at {
        said += &format!("went on with {generation}, which had been folded up to event {}\n", at.n);
    }
    said += &format!("folded {} events in {:.1} s, {:.0} a second\n", pace.events, pace.seconds, pace.per_second());
    said += &rebuilt.compared.as_ref().map(|found| compared(found, false)).unwrap_or_default();
    said += &match rebuilt.ended {
        Ended::Switched { kept } => {
            let mut ended = String::new();
            if !rebuilt.accepted.is_empty() {
                ended += &format!("accepted differences in {}\n", rebuilt.accepted.join(", "));
            }
            ended += &format!("{generation} answers reads from now on, at event {n}\n");
            if let Some(kept) = kept {
                ended += &format!(
                    "{kept}, which it replaces, is kept; `projector prune` drops it, and so does the next switch\n"
                );
            }
            ended
        }
        Ended::Refused if flags.switch => {
            let tables = not_accepted(rebuilt, flags).join(", ");
            format!(
                "not switched, since these tables differ: {tables}; {generation} was dropped again, the live catalog is as it \
                 was. `--accept-differences` with all that differ switches nevertheless\n"
            )
        }
        Ended::NotSwitched | Ended::Refused => {
            format!("{generation} was dropped again; the live catalog is as it was\n")
        }
    };
    said
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
