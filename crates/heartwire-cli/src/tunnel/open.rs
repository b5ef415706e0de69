//! How the two ends agree on a service. The near end's first message names it; the far end's first
//! message says that it is reached, and how long the connection survives an outage. All later
//! messages are the connection's bytes. A far end that cannot serve ends the session, and says why
//! in its BYE.

use core::time::Duration;

/// What the near end's first message begins with, and the version of this agreement.
const REQUEST: &str = "heartwire-tunnel 1 ";

/// What the far end's first message begins with.
const ANSWER: &str = "ok ";

/// The longest name of a service.
const MAX_NAME_LEN: usize = 64;

pub(super) fn request(service: &str) -> Vec<u8> {
    format!("{REQUEST}{service}").into_bytes()
}

/// The name of the service that is wanted; or what is wrong, in words.
pub(super) fn parse_request(message: &[u8]) -> Result<&str, &'static str> {
    let text = str::from_utf8(message).map_err(|_| "this is a far end of a tunnel")?;
    let name = text.strip_prefix(REQUEST).ok_or("this is a far end of a tunnel, of version 1")?;
    if is_name(name) { Ok(name) } else { Err("this is no name of a service") }
}

/// `grace`: how long the connection survives an outage, in whole milliseconds.
pub(super) fn answer(grace: Duration) -> Vec<u8> {
    format!("{ANSWER}{}", grace.as_millis()).into_bytes()
}

pub(super) fn parse_answer(message: &[u8]) -> Option<Duration> {
    let text = str::from_utf8(message).ok()?;
    text.strip_prefix(ANSWER)?.parse().ok().map(Duration::from_millis)
}

/// The name of a service, as typed.
pub(super) fn service_name(text: &str) -> Result<String, String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!("a name has 1 to {MAX_NAME_LEN} letters, digits, dots, dashes and underscores"))
}

/// Whether this can be the name of a service: letters, digits, and `.`, `_` and `-`.
fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME_LEN).contains(&name.len()) && name.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(parse_request(&request("db-2")), Ok("db-2"));
        for wrong in ["", "heartwire-tunnel 1 ", "heartwire-tunnel 2 db", "heartwire-tunnel 1 a b"]
        {
            assert!(parse_request(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(parse_request(b"\x16\x03\x01").is_err());
        assert!(parse_request(&request(&"a".repeat(MAX_NAME_LEN + 1))).is_err());
    }

    #[test]
    fn an_answer_tells_the_grace() {
        let grace = Duration::from_millis(120_500);
        assert_eq!(parse_answer(&answer(grace)), Some(grace));
        for wrong in ["", "ok", "ok ", "ok -1", "ok 1s", "SSH-2.0-OpenSSH_9.2"] {
            assert_eq!(parse_answer(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
