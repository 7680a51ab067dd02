//! The one loader of configuration, and the only reader of the environment.
//!
//! A value comes from the first of these that has it: a `--set` flag, an environment variable `HIGHWATER_A__B`, the
//! file of `--config`, the commented defaults that the service embeds. Every value remembers where it came from, and
//! every fault is reported, not only the first: unknown keys, wrong types, missing values, and whatever the service's
//! own [`Validate`] finds.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

pub mod byte_size;
pub mod duration;

mod decode;
mod environment;
mod fault;
mod key;
mod layers;
mod print;
mod redact;
mod secret;

pub use environment::Environment;
pub use fault::{Fault, Faults, within};
pub use redact::redact_url;
pub use secret::{SecretError, read_secret};

/// The flags of every service that say where its configuration comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Read the configuration from this TOML file
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Set one key, over file and environment: `--set nats.url=nats://127.0.0.1:4222`
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
    /// Show every key with its value and where that came from, secrets left out, and exit
    #[arg(long, global = true)]
    pub print_config: bool,
}

/// Checks that types cannot make: ranges, and keys that must fit each other.
pub trait Validate {
    /// Every fault at once, with keys relative to this table ([`within`] puts them under its name).
    fn faults(&self) -> Vec<Fault>;
}

/// A valid configuration that knows where each value came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    layers: layers::Layers,
}

/// Loads and validates a configuration over `defaults`, the text of the service's `config.default.toml`.
pub fn load<T: DeserializeOwned + Validate>(
    defaults: &'static str,
    options: &Options,
    env: &Environment,
) -> Result<Loaded<T>, Faults> {
    load_with(defaults, options, env, |_| Vec::new())
}

/// [`load`] with checks of the caller's besides those of the type.
pub(crate) fn load_with<T: DeserializeOwned + Validate>(
    defaults: &'static str,
    options: &Options,
    env: &Environment,
    also: impl FnOnce(&T) -> Vec<Fault>,
) -> Result<Loaded<T>, Faults> {
    let (mut layers, mut faults) = layers::Layers::gather(defaults, options, env);
    let decoded = decode::decode::<T>(&mut layers);
    if let Some(value) = &decoded.value {
        let checked = value.faults().into_iter().chain(also(value));
        // A check that met a stand-in for a faulty value says nothing about what the user wrote.
        faults.extend(checked.filter(|fault| !decoded.is_about_a_fault(&fault.key)));
    }
    faults.splice(0..0, decoded.faults);
    match decoded.value {
        Some(value) if faults.is_empty() => Ok(Loaded { value, layers }),
        _ => Err(Faults(faults.into_iter().map(|fault| layers.finish(fault)).collect())),
    }
}

// === impl Loaded ===

impl<T> Loaded<T> {
    /// Every key in order, as `key = value  # origin`, with secrets and passwords left out.
    pub fn print(&self) -> String {
        print::print(&self.layers)
    }

    /// Where the value of `key` came from, in words; `None` for a key nobody gave.
    pub fn origin(&self, key: &str) -> Option<String> {
        self.layers.origin(key).map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests;
