//! URLs that may contain a secret, which is never printed.

use core::fmt;

/// What stands in place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// A URL of another service. What it needs to be is checked by the code that uses it: clap would
/// print one that it refuses, with the password in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretUrl(String);

impl SecretUrl {
    /// All of it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it was copied from where a secret is hidden.
    pub(crate) fn is_hidden(&self) -> bool {
        self.0.contains(HIDDEN)
    }
}

impl From<&str> for SecretUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.0))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", without_secrets(&self.0))
    }
}

/// A URL without its password, without the path of one of HTTP, which may be all that keeps others
/// from using it, and without what its query says, except for the number of a database. It need not
/// be a valid one: a password with a slash in it is hidden, too.
pub(crate) fn without_secrets(url: &str) -> String {
    // A question mark in a password begins no query.
    let (before, query) = match url.split_once('?') {
        Some((before, query)) if !query.contains('@') => (before, Some(query)),
        _ => (url, None),
    };
    let mut shown = String::new();
    let is_http = before.starts_with("http");
    let rest = match before.split_once("://") {
        Some((scheme, rest)) => {
            shown.push_str(scheme);
            shown.push_str("://");
            rest
        }
        None => before,
    };
    let place = match rest.rsplit_once('@') {
        Some((credentials, place)) => {
            if let Some((user, _)) = credentials.split_once(':') {
                shown.push_str(user);
                shown.push(':');
            }
            shown.push_str(HIDDEN);
            shown.push('@');
            place
        }
        None => rest,
    };
    match place.split_once('/').filter(|(_, path)| is_http && !path.is_empty()) {
        Some((host, _)) => {
            shown.push_str(host);
            shown.push('/');
            shown.push_str(HIDDEN);
        }
        None => shown.push_str(place),
    }
    for (at, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if name != "db" => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(HIDDEN);
            }
            _ => shown.push_str(pair),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_printed() {
        for (url, shown) in [
            ("redis://10.0.0.5:6379/1", "redis://10.0.0.5:6379/1"),
            ("rediss://hw:s3cret@redis.example.org", "rediss://hw:***@redis.example.org"),
            ("redis://:s3/cr@et@localhost/0", "redis://:***@localhost/0"),
            ("redis://:s3cr?et@localhost", "redis://:***@localhost"),
            ("redis://s3cret@localhost", "redis://***@localhost"),
            ("hw:s3cret@localhost", "hw:***@localhost"),
            ("unix:///run/redis.sock?db=1&pass=s3cret", "unix:///run/redis.sock?db=1&pass=***"),
            ("https://example.org/in/s3cret", "https://example.org/***"),
            ("https://example.org/?token=s3cret", "https://example.org/?token=***"),
        ] {
            let url = SecretUrl::from(url);
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.into(), format!("{shown:?}")));
            assert!(!shown.contains("s3"));
        }
    }
}
