//! What nobody may see in a log or on a screen.

use super::key::{Key, Step};

const HIDDEN: &str = "***";

/// A key whose name ends in one of these holds a secret. `access_key` names an account and stays visible, and so does
/// `secret_key_file`, which is a path.
const SECRET_ENDINGS: [&str; 6] = ["secret", "password", "secret_key", "passphrase", "token", "private_key"];

/// A value as it may be shown: `***` for a secret, without the password for a URL.
pub(super) fn redact(key: &Key, text: &str) -> String {
    let is_secret = key.0.iter().any(|step| match step {
        Step::Name(name) => SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending)),
        Step::Index(_) => false,
    });
    if is_secret && !text.is_empty() { HIDDEN.to_owned() } else { redact_url(text) }
}

/// A URL, or a list of them with commas between, without passwords: `postgres://user:***@host/db`. A user without a
/// password is taken for a token where NATS would. Other text is left as it is.
pub fn redact_url(text: &str) -> String {
    let mut urls: Vec<String> = Vec::new();
    for part in text.split(',') {
        match urls.last_mut() {
            // A comma inside a password does not begin another URL.
            Some(last) if !part.contains("://") => {
                last.push(',');
                last.push_str(part);
            }
            _ => urls.push(part.to_owned()),
        }
    }
    urls.iter().map(|url| redact_one(url)).collect::<Vec<_>>().join(",")
}

fn redact_one(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    // The last `@`, so that a password with an unescaped `/` or `@` in it is hidden whole.
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None if matches!(scheme.trim(), "nats" | "tls" | "ws" | "wss") => format!("{HIDDEN}@{host}"),
            None => format!("{user}@{host}"),
        },
        None => rest.to_owned(),
    };
    let Some((path, query)) = rest.split_once('?') else {
        return format!("{scheme}://{rest}");
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending)) => format!("{name}={HIDDEN}"),
        _ => pair.to_owned(),
    });
    format!("{scheme}://{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}
