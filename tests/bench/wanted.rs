//! What the environment asks for.

use anyhow::{Context as _, ensure};
use runtime::config::Environment;

/// The parts of the benchmark.
const PARTS: [&str; 7] = ["transfer", "replication", "journal", "recovery", "scale", "catalog", "rebuild"];

/// The names in `HIGHWATER_BENCH_LOADS`; none are all.
#[derive(Debug)]
pub(crate) struct Wanted {
    sizes: Vec<String>,
    parts: Vec<String>,
}

// === impl Wanted ===

impl Wanted {
    pub(crate) fn new(sizes: &[&str]) -> anyhow::Result<Self> {
        let environment = Environment::process();
        let names = environment.var("HIGHWATER_BENCH_LOADS").unwrap_or_default();
        let mut wanted = Self { sizes: Vec::new(), parts: Vec::new() };
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let is_part = PARTS.contains(&name);
            ensure!(
                is_part || sizes.contains(&name),
                "HIGHWATER_BENCH_LOADS: `{name}` is none of {}, {}",
                sizes.join(", "),
                PARTS.join(", ")
            );
            if is_part { &mut wanted.parts } else { &mut wanted.sizes }.push(name.to_owned());
        }
        Ok(wanted)
    }

    /// Whether a part is wanted. Sizes alone ask for the two parts that have sizes.
    pub(crate) fn part(&self, part: &str) -> bool {
        if self.parts.is_empty() {
            return self.sizes.is_empty() || matches!(part, "transfer" | "replication");
        }
        self.parts.iter().any(|wanted| wanted == part)
    }

    /// Whether a size is wanted in such a part. Parts alone ask for all sizes.
    pub(crate) fn size(&self, part: &str, size: &str) -> bool {
        self.part(part) && (self.sizes.is_empty() || self.sizes.iter().any(|wanted| wanted == size))
    }
}

/// Numbers from the environment, with commas between.
pub(crate) fn list(name: &str, default: &[u64]) -> anyhow::Result<Vec<u64>> {
    let environment = Environment::process();
    let Some(text) = environment.var(name) else { return Ok(default.to_vec()) };
    text.split(',').map(|number| number.trim().parse()).collect::<Result<_, _>>().with_context(|| name.to_owned())
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> anyhow::Result<u64> {
    Environment::process().var(name).map_or(Ok(default), str::parse).with_context(|| name.to_owned())
}
