//! What kind of Redis it is, and whether it will do.

use core::fmt;
use std::collections::HashMap;

use redis::aio::MultiplexedConnection;

use super::{StoreError, error::Unsuited};

/// The oldest version whose commands suffice.
const OLDEST: (u64, u64) = (6, 2);

/// A Redis that will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// What it is and its version, such as `Redis 7.0.15` or `Valkey 9.1.2`.
    pub(crate) version: Box<str>,
    /// Which Redis, and which history of its writes: a change means that writes may be lost.
    pub(crate) identity: Identity,
    /// What is left after it has ended.
    pub(crate) persistence: Persistence,
}

/// Which run of Redis answers, and which history of writes it has: a replica that became the
/// primary is another run, and a history of its own from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    run: Box<str>,
    history: Box<str>,
}

/// What is left after Redis has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// All but the last second, if it is set up as usual.
    Log,
    /// What the last snapshot had.
    Snapshots,
    /// Nothing.
    Nothing,
    /// The user of this connection may not ask.
    Unknown,
}

impl fmt::Display for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "appendonly file: a restart loses the last second at most",
            Self::Snapshots => "snapshots: after a restart the nodes announce what is missing",
            Self::Nothing => "none: after a restart the nodes announce all again",
            Self::Unknown => "unknown: CONFIG GET is forbidden",
        })
    }
}

/// Looks at Redis, and refuses it if it will not do.
pub(super) async fn check(connection: &mut MultiplexedConnection) -> Result<Setup, StoreError> {
    let info: String = redis::cmd("INFO").query_async(connection).await?;
    let info = Info::read(&info);
    info.check()?;
    let persistence = if info.field("aof_enabled") == "1" {
        Persistence::Log
    } else {
        let mut ask = redis::cmd("CONFIG");
        let saved = ask.arg("GET").arg("save").query_async(connection).await;
        match saved.map(|saved: HashMap<String, String>| saved.get("save").cloned()) {
            Ok(Some(times)) if times.is_empty() => Persistence::Nothing,
            Ok(Some(_)) => Persistence::Snapshots,
            Ok(None) => Persistence::Unknown,
            Err(error) if error.code().is_some() => Persistence::Unknown,
            Err(error) => return Err(error.into()),
        }
    };
    Ok(Setup {
        version: info.version().into(),
        identity: Identity {
            run: info.field("run_id").into(),
            history: info.field("master_replid").into(),
        },
        persistence,
    })
}

/// The answer to `INFO`.
struct Info<'a>(HashMap<&'a str, &'a str>);

impl<'a> Info<'a> {
    fn read(text: &'a str) -> Self {
        Self(text.lines().filter_map(|line| line.split_once(':')).collect())
    }

    /// A field, or nothing: hosted ones leave some out.
    fn field(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Valkey says also which version of Redis it does as.
    fn version(&self) -> String {
        match self.field("valkey_version") {
            "" => format!("Redis {}", self.field("redis_version")),
            version => format!("Valkey {version}"),
        }
    }

    fn check(&self) -> Result<(), Unsuited> {
        let version = self.field("redis_version");
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
            return Err(Unsuited::Old(version.to_owned()));
        }
        if self.field("cluster_enabled") == "1" {
            return Err(Unsuited::Cluster);
        }
        if self.field("role") == "slave" {
            return Err(Unsuited::Replica);
        }
        // The `volatile` ones evict only keys that expire, and presence has none.
        let policy = self.field("maxmemory_policy");
        if policy.starts_with("allkeys") {
            return Err(Unsuited::Evicts(policy.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setup_that_will_not_do_is_refused_with_what_to_do() {
        let check = |text: &str| Info::read(text).check();
        let good = "# Server\r\nredis_version:7.0.15\r\ncluster_enabled:0\r\nrole:master\r\n\
                    maxmemory_policy:noeviction\r\n";
        assert_eq!(check(good), Ok(()));
        for (good_line, bad_line, expected) in [
            ("7.0.15", "6.0.16", Unsuited::Old("6.0.16".to_owned())),
            ("redis_version:7.0.15", "", Unsuited::Old(String::new())),
            ("cluster_enabled:0", "cluster_enabled:1", Unsuited::Cluster),
            ("master", "slave", Unsuited::Replica),
            ("noeviction", "allkeys-lru", Unsuited::Evicts("allkeys-lru".to_owned())),
        ] {
            assert_eq!(check(&good.replace(good_line, bad_line)), Err(expected));
        }
        assert_eq!(check(&good.replace("7.0.15", "6.2.0")), Ok(()));
        assert_eq!(check(&good.replace("noeviction", "volatile-lru")), Ok(()));
    }

    #[test]
    fn version_is_that_of_valkey_where_it_only_does_as_redis() {
        let version = |text| Info::read(text).version();
        assert_eq!(version("redis_version:7.0.15\r\n"), "Redis 7.0.15");
        assert_eq!(version("redis_version:7.2.4\r\nvalkey_version:9.1.2\r\n"), "Valkey 9.1.2");
    }
}
