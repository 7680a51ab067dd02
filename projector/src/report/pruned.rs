//! What `prune` prints.

use catalog::State;
use serde::Serialize;

use super::{line, text};
use crate::cli::Prune;
use crate::prune::{Fate, Leftover, Pruned};

#[derive(Serialize)]
struct PruneReport<'a> {
    dry_run: bool,
    generations: Vec<LeftoverReport<'a>>,
    freed_bytes: u64,
}

#[derive(Serialize)]
struct LeftoverReport<'a> {
    generation: u32,
    state: &'static str,
    size_bytes: u64,
    dropped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a str>,
}

/// What `prune` with these flags prints.
pub(crate) fn pruned(pruned: &Pruned, flags: Prune) -> String {
    if flags.json {
        let generations = pruned.generations.iter().map(LeftoverReport::of).collect();
        return line(&PruneReport { dry_run: flags.dry_run, generations, freed_bytes: pruned.freed_bytes() });
    }
    let mut lines: Vec<String> = pruned.generations.iter().map(words).collect();
    lines.push(match (pruned.generations.len(), flags.dry_run) {
        (0, _) => "there is nothing to drop".to_owned(),
        (_, true) => "nothing was dropped; without --dry-run it is".to_owned(),
        (_, false) => format!("{} bytes are free again", pruned.freed_bytes()),
    });
    text(&lines)
}

fn words(leftover: &Leftover) -> String {
    let Leftover { generation, state, size_bytes, fate } = leftover;
    let which = match state {
        State::Active | State::Retired => "was replaced",
        State::Building => "left by a build that did not end",
    };
    match fate {
        Fate::Dropped => format!("dropped {generation} ({which}), {size_bytes} bytes"),
        Fate::OnlyNamed => format!("would drop {generation} ({which}), {size_bytes} bytes"),
        Fate::Kept(why) => format!("kept {generation} ({which}), {size_bytes} bytes: {why}"),
    }
}

// === impl LeftoverReport ===

impl<'a> LeftoverReport<'a> {
    fn of(leftover: &'a Leftover) -> Self {
        let kept = match &leftover.fate {
            Fate::Kept(why) => Some(why.as_str()),
            Fate::Dropped | Fate::OnlyNamed => None,
        };
        Self {
            generation: leftover.generation.number(),
            state: leftover.state.as_str(),
            size_bytes: leftover.size_bytes,
            dropped: leftover.fate == Fate::Dropped,
            kept,
        }
    }
}
