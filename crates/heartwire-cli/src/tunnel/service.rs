//! The services of a far end, and who may use them.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use heartwire::server::auth::Tokens;
use ppp::v2::{Builder, Command, Protocol, Version};

use super::local::Local;
use super::open::service_name;
use crate::connect::is_world_readable;
use crate::exit::Usage;
use crate::values::duration;

/// The longest token file, in bytes: 100,000 lines of 600.
const MAX_LEN: u64 = 60_000_000;

/// A service that near ends can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(super) name: String,
    pub(super) to: Target,
    /// How long its connections survive an outage, if that is not what `--grace` says.
    pub(super) grace: Option<Duration>,
    /// Whether it is told the client's address.
    proxy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Tcp(String),
    Unix(PathBuf),
    Stdio,
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or("write NAME=ADDR")?;
        let name = service_name(name)?;
        let mut parts = rest.split(',');
        let to = Target::from_str(parts.next().unwrap_or_default())?;
        let mut service = Self { name, to, grace: None, proxy: false };
        for option in parts {
            match option.split_once('=') {
                Some(("grace", grace)) => service.grace = Some(duration(grace)?),
                Some(("proxy", "v2")) => service.proxy = true,
                _ => return Err(format!("{option:?} is no option: write grace=TIME or proxy=v2")),
            }
        }
        Ok(service)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdio);
        }
        let path = text.strip_prefix("unix:").or_else(|| text.contains('/').then_some(text));
        if let Some(path) = path {
            return Ok(Self::Unix(path.into()));
        }
        let port = text.rsplit_once(':').and_then(|(host, port)| {
            (!host.is_empty()).then(|| port.parse::<core::num::NonZeroU16>().ok())?
        });
        match port {
            Some(_) => Ok(Self::Tcp(text.to_owned())),
            None => Err("write HOST:PORT, the path of a Unix socket, or -".to_owned()),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.to)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(target) => f.write_str(target),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Stdio => f.write_str("standard input and output"),
        }
    }
}

impl Service {
    pub(super) fn is_stdio(&self) -> bool {
        self.to == Target::Stdio
    }

    /// Connects to it, for a client at this address.
    pub(super) async fn connect(&self, client: SocketAddr) -> io::Result<Local> {
        let local = match &self.to {
            Target::Tcp(target) => Local::connect_tcp(target).await?,
            Target::Unix(path) => Local::connect_unix(path).await?,
            Target::Stdio => Local::stdio(),
        };
        if self.proxy {
            local.write_all(&[proxy_header(client)?]).await?;
        }
        Ok(local)
    }
}

/// The header of version 2 of the PROXY protocol for a client at this address. The address that it
/// connected to is not told apart from others of this end: it is the unspecified one.
fn proxy_header(client: SocketAddr) -> io::Result<Vec<u8>> {
    let here = match client {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
    };
    let version = Version::Two | Command::Proxy;
    Builder::with_addresses(version, Protocol::Stream, (client, here)).build()
}

/// Who may use which service: what the token file says. A name without a list may use all; one that
/// is not in the file, or not any more, none.
#[derive(Clone, Debug)]
pub(super) struct Grants(Arc<RwLock<HashMap<String, BTreeSet<String>>>>);

impl Grants {
    /// Reads a token file: the tokens, and the services of the names that may not use all.
    pub(super) fn read(path: &Path, services: &[Service]) -> Result<(Tokens, Self), Usage> {
        let cannot =
            |why: String| Usage(format!("cannot use the tokens in {}: {why}", path.display()));
        let mut text = String::new();
        // An endless file, such as a device, must not fill the memory.
        let read = File::open(path).and_then(|file| file.take(MAX_LEN).read_to_string(&mut text));
        read.map_err(|error| Usage(format!("cannot read {}: {error}", path.display())))?;
        if is_world_readable(path) {
            let path = path.display();
            tracing::warn!(%path, "every user of this machine can read the tokens");
        }
        let (tokens, grants) = parse(&text, services).map_err(cannot)?;
        let tokens = Tokens::parse(&tokens).map_err(|error| cannot(error.to_string()))?;
        if !tokens.are_all_for_one_name() {
            return Err(cannot("each line needs a name before its token".to_owned()));
        }
        Ok((tokens, Self(Arc::new(RwLock::new(grants)))))
    }

    /// From now on those of `other` are in force.
    pub(super) fn replace(&self, other: &Self) {
        let grants = other.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = grants;
    }

    /// Whether the client with this name, whose token was right, may use a service.
    pub(super) fn allow(&self, name: &str, service: &str) -> bool {
        let grants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let services = grants.get(name);
        services.is_some_and(|services| services.is_empty() || services.contains(service))
    }
}

/// The lines without their services, so that the library can read them, and the services of names.
fn parse(
    text: &str,
    services: &[Service],
) -> Result<(String, HashMap<String, BTreeSet<String>>), String> {
    let (mut tokens, mut grants) = (String::new(), HashMap::new());
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim_ascii();
        if !(line.is_empty() || line.starts_with('#')) {
            let (name, rest) = split_name(line);
            let mut words: Vec<_> = rest.split_ascii_whitespace().collect();
            let until = words.pop_if(|word| word.starts_with("until=")).unwrap_or_default();
            let mut words = words.into_iter();
            let token = words.next().unwrap_or_default();
            tokens.push_str(&format!("{} {token} {until}", name.typed));
            // A name may have several tokens while one is replaced by another.
            let of_name: &mut BTreeSet<String> = grants.entry(name.plain.to_owned()).or_default();
            for service in words.next().into_iter().flat_map(|listed| listed.split(',')) {
                if !services.iter().any(|known| known.name == service) {
                    return Err(format!("line {number} names a service that --service does not"));
                }
                of_name.insert(service.to_owned());
            }
            if words.next().is_some() {
                return Err(format!("line {number} has more than a name, a token and services"));
            }
        }
        tokens.push('\n');
    }
    Ok((tokens, grants))
}

/// The name at the beginning of a line, as it is typed and without its quotation marks.
struct Name<'a> {
    typed: &'a str,
    plain: &'a str,
}

fn split_name(line: &str) -> (Name<'_>, &str) {
    let quoted = line.strip_prefix('"').and_then(|rest| rest.rfind('"').map(|at| at + 2));
    let is_space = |char: char| char.is_ascii_whitespace();
    let end = quoted.or_else(|| line.find(is_space)).unwrap_or(line.len());
    let (typed, rest) = line.split_at_checked(end).unwrap_or((line, ""));
    let plain = typed.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    (Name { typed, plain: plain.unwrap_or(typed) }, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> Service {
        text.parse().unwrap()
    }

    #[test]
    fn a_service_is_a_name_an_address_and_options() {
        let ssh = service("ssh=127.0.0.1:22");
        assert_eq!((ssh.name.as_str(), ssh.grace, ssh.proxy), ("ssh", None, false));
        assert_eq!(ssh.to, Target::Tcp("127.0.0.1:22".to_owned()));
        let db = service("db=/run/x.sock,grace=30s,proxy=v2");
        assert_eq!(db.to, Target::Unix("/run/x.sock".into()));
        assert_eq!((db.grace, db.proxy), (Some(Duration::from_secs(30)), true));
        assert!(service("pipe=-").is_stdio());
        for wrong in
            ["ssh", "=x:1", "a b=x:1", "a=", "a=host", "a=host:0", "a=h:1,x=2", "a=h:1,proxy=v1"]
        {
            assert!(wrong.parse::<Service>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_of_the_token_file_can_list_services() {
        let services = [service("ssh=h:1"), service("db=h:2")];
        let text = "# all\nann 0123456789abcdef\n\"bob b\" 0123456789abcdef0 ssh,db\n\
                    carl 0123456789abcdef1 db\ncarl 0123456789abcdef2 ssh\n\n\
                    dora 0123456789abcdef3 db until=2026-12-31T00:00:00Z\n\
                    \"\"eve\"\" 0123456789abcdef4 db";
        let (tokens, grants) = parse(text, &services).unwrap();
        assert_eq!(Tokens::parse(&tokens).unwrap().count(), 6);
        let grants = Grants(Arc::new(RwLock::new(grants)));
        let may = |name: &str| ["ssh", "db", "x"].map(|service| grants.allow(name, service));
        assert_eq!(may("ann"), [true, true, true]);
        assert_eq!(may("bob b"), [true, true, false]);
        assert_eq!(may("carl"), [true, true, false]);
        assert_eq!(may("dora"), [false, true, false]);
        // Further quotation marks are part of a name.
        assert_eq!((may("\"eve\""), may("eve")), ([false, true, false], [false; 3]));
        let wrong = |text: &str| parse(text, &services).unwrap_err();
        assert!(wrong("ann 0123456789abcdef web").contains("line 1 names a service"));
        assert!(wrong("\nann 0123456789abcdef ssh db").contains("line 2 has more"));
    }

    /// Its session may have begun before.
    #[test]
    fn a_name_that_was_removed_may_use_nothing() {
        let services = [service("ssh=h:1"), service("db=h:2")];
        let grants = |text| Grants(Arc::new(RwLock::new(parse(text, &services).unwrap().1)));
        let now = grants("ann 0123456789abcdef\nbob 0123456789abcdef0 ssh");
        assert!(now.allow("bob", "ssh") && !now.allow("bob", "db"));
        now.replace(&grants("ann 0123456789abcdef"));
        assert!(now.allow("ann", "db") && !now.allow("bob", "ssh") && !now.allow("bob", "db"));
    }

    #[test]
    fn a_service_is_told_the_address_of_its_client() {
        let header = proxy_header("192.0.2.7:4711".parse().unwrap()).unwrap();
        assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n");
        assert_eq!(&header[12..16], [0x21, 0x11, 0, 12]);
        assert_eq!(&header[16..20], [192, 0, 2, 7]);
        assert_eq!(&header[24..26], 4711_u16.to_be_bytes());
        let header = proxy_header("[2001:db8::1]:9".parse().unwrap()).unwrap();
        assert_eq!(&header[12..16], [0x21, 0x21, 0, 36]);
    }
}
