//! What the programs get to see of this process's environment: little, and none of its settings.

use std::collections::BTreeMap;

use runtime::config::Environment;

/// Variables that are passed on. Everything else is left out: a `HIGHWATER_`, `PG` or `MINIO_` variable meant for this
/// process, or for another, must not change what a program does.
const PASSED_ON: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "RUST_BACKTRACE",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "LD_LIBRARY_PATH",
    "LLVM_PROFILE_FILE",
    "SSL_CERT_FILE",
];

pub(crate) fn base(env: &Environment) -> BTreeMap<String, String> {
    PASSED_ON.iter().filter_map(|key| Some(((*key).to_owned(), env.var(key)?.to_owned()))).collect()
}
