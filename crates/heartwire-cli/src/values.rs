//! Parsers for the values of options that several commands take.

mod url;

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::num::{NonZeroU16, NonZeroU32};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::net::ToSocketAddrs;

use clap::ValueEnum;
use heartwire::BackoffPolicy;
use heartwire::kernel::Keepalive;
use heartwire_core::internal::Typed;

pub(crate) use url::{SecretUrl, without_secrets};

/// Body lengths that a header can announce. The library would silently clamp a larger value, and
/// the program would then print a wrong one; the same goes for the other ranges here.
pub(crate) const MAX_FRAME: RangeInclusive<u64> = 0..=0x7fff_ffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object per line, for programs; docs/events.md describes the fields.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolArg {
    /// The tutorial's frames: no handshake, no names, no tokens.
    V0,
    /// A handshake negotiates intervals and timeouts; heartbeats report both directions.
    V1,
}

/// A flag from an environment variable.
pub(crate) fn flag(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("write true or false"),
    }
}

/// A number per second, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateOrOff(pub(crate) Option<NonZeroU32>);

pub(crate) fn rate(text: &str) -> Result<RateOrOff, String> {
    if text == "off" {
        return Ok(RateOrOff(None));
    }
    let rate = text.parse().map_err(|_| "write a number of at least 1, or off")?;
    Ok(RateOrOff(Some(rate)))
}

/// A parser of numbers in a range.
pub(crate) fn number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            if *most == u64::MAX {
                return format!("write a number of at least {least}");
            }
            format!("write a number from {least} to {most}")
        })
    }
}

/// A parser of numbers of bytes in a range: `262144` or `256KiB`.
pub(crate) fn bytes<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    let number = number::<u64>(range.clone());
    move |text| {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1_u64 << 30)];
        let unit = units.iter().find_map(|&(unit, len)| Some((text.strip_suffix(unit)?, len)));
        let (digits, len) = unit.unwrap_or((text, 1));
        let all = digits.parse().ok().and_then(|count: u64| count.checked_mul(len));
        let bytes = number(&all.map_or_else(|| text.to_owned(), |all| all.to_string()))
            .map_err(|error| format!("{error}, or with KiB, MiB or GiB"))?;
        T::try_from(bytes).map_err(|_| "that is too much".to_owned())
    }
}

/// Bytes as people type them, and as [`bytes`] reads them.
pub(crate) fn typed_bytes(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.iter().find(|&&(_, len)| bytes >= len && bytes.is_multiple_of(len));
    unit.map_or_else(|| format!("{bytes} B"), |(unit, len)| format!("{} {unit}", bytes / len))
}

pub(crate) fn above_zero(text: &str) -> Result<NonZeroU32, &'static str> {
    text.parse().map_err(|_| "write a number of at least 1")
}

/// A time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeOrOff(pub(crate) Option<Duration>);

pub(crate) fn time_or_off(text: &str) -> Result<TimeOrOff, String> {
    if text == "off" {
        return Ok(TimeOrOff(None));
    }
    let time = duration(text).map_err(|error| format!("{error}, or off"))?;
    Ok(TimeOrOff(Some(time)))
}

/// A duration: seconds, or a number with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| {
        if error == humantime::DurationError::NumberOverflow {
            return "that is too long".to_owned();
        }
        "write seconds, or numbers with units, such as 250ms, 90s or 1h30m".to_owned()
    })
}

/// A duration of at least a second.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let is_long = |time: &Duration| *time >= Duration::from_secs(1);
    duration(text).and_then(|time| Some(time).filter(is_long).ok_or("at least 1s".to_owned()))
}

/// A duration as people type it, and as [`duration`] reads it: `0s`, `2.5s`, `90s`, `5m`, `1h30m`.
pub(crate) fn typed(time: Duration) -> String {
    Typed(time).to_string()
}

/// A duration of at least 1 ms: with none, a repeated action would spin and a wait would always
/// fail.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(1) {
        return Err("that is too short; write 1ms or more".to_owned());
    }
    Ok(interval)
}

/// Where to listen: an address and a port, a host and a port, or a port alone.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let help = "write a port, or an address and a port, such as 127.0.0.1:29002 or [::1]:29002";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(found) = with_zone(text) {
        return found;
    }
    if let Ok(port) = text.parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let (host, port) = text.rsplit_once(':').ok_or(help)?;
    let port = port.parse::<u16>().map_err(|_| format!("{port:?} is no port; {help}"))?;
    if host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| format!("cannot find the host {host}; {help}"))
}

/// Where to connect. An address that no retry can mend is refused before anything starts.
pub(crate) fn target(text: &str) -> Result<String, String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or(rest);
        return Err(format!("write {host} without {scheme}://: heartwire speaks its own protocol"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if host.contains(':') && !host.starts_with('[') {
        return Err(format!(
            "write an IPv6 address in brackets: [{text}], or with a port [{host}]:29002"
        ));
    }
    if host.is_empty() || host == "[]" {
        return Err("there is no host in it: write HOST or HOST:PORT".to_owned());
    }
    if let Some(port) = port.filter(|port| port.parse::<NonZeroU16>().is_err()) {
        return Err(format!("{port:?} is no port: use a number from 1 to 65535"));
    }
    match with_zone(&format!("{host}:{}", port.unwrap_or("1"))) {
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(text.to_owned()),
    }
}

/// An address with an interface as its zone, such as `[fe80::1%eth0]:39002`; `None` without a zone.
pub(crate) fn with_zone(text: &str) -> Option<Result<SocketAddr, String>> {
    let (host, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
    let (address, zone) = host.split_once('%')?;
    let (Ok(_), Ok(port)) = (address.parse::<Ipv6Addr>(), port.parse::<u16>()) else {
        return Some(Err(format!("{text} is not an IPv6 address with a zone and a port")));
    };
    // Only the zone is a name, and the system knows the interfaces: this asks no resolver.
    let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
    Some(found.ok_or_else(|| {
        format!("{address} has no zone {zone:?} here: write the name or number of an interface")
    }))
}

pub(crate) fn keepalive(text: &str) -> Result<Keepalive, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [idle, interval, count] = parts.as_slice() else {
        return Err("write idle time, interval and count, such as 3s,3s,3".to_owned());
    };
    let count =
        number(1..=127)(count).map_err(|error| format!("the count is {count:?}: {error}"))?;
    Keepalive::new(duration(idle)?, duration(interval)?, count).map_err(|error| error.to_string())
}

/// Whether to connect again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Retry {
    Never,
    Backoff(BackoffPolicy),
}

pub(crate) fn retry(text: &str) -> Result<Retry, String> {
    match text {
        "never" => Ok(Retry::Never),
        "backoff" => Ok(Retry::Backoff(BackoffPolicy::default())),
        _ => {
            let wait = duration(text).map_err(|_| "write backoff, never, or a time such as 5s")?;
            if wait < BackoffPolicy::MIN_WAIT {
                return Err("a wait of less than 1 ms would spin: use at least 1 ms".to_owned());
            }
            Ok(Retry::Backoff(BackoffPolicy::fixed(wait)))
        }
    }
}

#[cfg(test)]
mod tests;
