use std::fmt;

/// One thing that is wrong with a configuration; displayed in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, dotted, list elements by index: `nats.url`, `nodes[1].endpoint`.
    pub key: String,
    /// What is wrong, as the end of a sentence that begins with the key: "is empty".
    pub problem: String,
    /// Where the value came from. The loader fills it in.
    pub origin: Option<String>,
}

/// Everything that is wrong with a configuration; displayed in one line a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// The faults of a table, put under its name: `url` becomes `nats.url`, `[0].id` becomes `nodes[0].id`.
pub fn within(table: &str, faults: Vec<Fault>) -> Vec<Fault> {
    let under = |key: &str| match key.chars().next() {
        None => table.to_owned(),
        Some('[') => format!("{table}{key}"),
        Some(_) => format!("{table}.{key}"),
    };
    faults.into_iter().map(|fault| Fault { key: under(&fault.key), ..fault }).collect()
}

// === impl Fault ===

impl Fault {
    /// A fault whose origin the loader will find.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into(), origin: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One fault is one line, whatever a library put into its message.
        let mut line = match self.key.as_str() {
            "" => self.problem.clone(),
            key => format!("{key}: {}", self.problem),
        };
        if let Some(origin) = &self.origin {
            line = format!("{line} (from {origin})");
        }
        f.write_str(&line.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl std::error::Error for Fault {}

// === impl Faults ===

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}
