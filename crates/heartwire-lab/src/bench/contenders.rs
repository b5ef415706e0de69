//! Which servers `bench --compare` measures, in order.

use anyhow::ensure;

use super::args::{Args, Protocol};
use super::peer::Peer;
use super::server::{Contender, Own};
use crate::baseline::Baseline;

/// The first one that answers, and the first one that does not, are what the others are compared
/// with.
const REFERENCES: [Contender; 2] =
    [Contender::Baseline(Baseline::Epoll), Contender::Baseline(Baseline::Answer)];

/// All of them, installed or not.
pub(super) fn all(shards: u16) -> Vec<Contender> {
    let own = |coalesce, protocol, both| Own {
        shards: Some(shards),
        coalesce,
        protocol,
        both,
        echo: false,
        tls: false,
        resume: false,
    };
    let plain = |coalesce, protocol, both| Contender::Own(own(coalesce, protocol, both));
    let echo = Contender::Own(Own { echo: true, ..own(None, Protocol::V0, false) });
    let tls = |protocol| Contender::Own(Own { tls: true, ..own(None, protocol, false) });
    let rest = [
        Contender::Baseline(Baseline::Tokio),
        Contender::Baseline(Baseline::Sweep),
        plain(Some(0), Protocol::V0, false),
        plain(None, Protocol::V0, false),
        plain(Some(5), Protocol::V0, false),
        plain(Some(16), Protocol::V0, false),
        echo,
        tls(Protocol::V0),
        plain(None, Protocol::V1, false),
        plain(None, Protocol::V1, true),
        tls(Protocol::V1),
    ];
    let peers = Peer::ALL.map(Contender::Peer);
    REFERENCES.into_iter().chain(rest).chain(peers).collect()
}

/// A session that cannot be resumed, and one that can. The first one is the reference.
pub(super) fn pair(args: &Args, shards: u16) -> Vec<Contender> {
    let own = |resume| Own {
        shards: Some(shards),
        coalesce: args.coalesce,
        protocol: Protocol::V1,
        both: args.both,
        echo: false,
        tls: args.tls,
        resume,
    };
    [false, true].map(|resume| Contender::Own(own(resume))).to_vec()
}

/// Those with these names and the references; without a name, all.
pub(super) fn chosen(all: Vec<Contender>, only: &[String]) -> anyhow::Result<Vec<Contender>> {
    let ids: Vec<String> = all.iter().map(Contender::id).collect();
    for name in only {
        ensure!(ids.contains(name), "there is no {name}; --list has the names of all");
    }
    let is_chosen = |contender: &Contender| {
        only.is_empty() || REFERENCES.contains(contender) || only.contains(&contender.id())
    };
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// Those that can run here, and a line about each other one.
pub(super) fn installed(chosen: Vec<Contender>) -> (Vec<Contender>, Vec<String>) {
    let mut left_out = Vec::new();
    let here = chosen.into_iter().filter(|contender| match contender {
        Contender::Peer(peer) if peer.version().is_none() => {
            left_out.push(format!("{}: not installed ({})", peer.id(), peer.packages()));
            false
        }
        Contender::Peer(_)
        | Contender::Own(_)
        | Contender::Baseline(_)
        | Contender::Running { .. } => true,
    });
    (here.collect(), left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_come_first_and_peers_last() {
        let all = all(1);
        assert_eq!(all[..2], REFERENCES);
        let own: Vec<bool> = all.iter().map(Contender::is_own).collect();
        assert_eq!(own, [[false; 4].as_slice(), &[true; 9], &[false; 6]].concat());
    }

    #[test]
    fn names_are_unique() {
        let mut ids: Vec<String> = all(1).iter().map(Contender::id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all(1).len());
    }

    #[test]
    fn references_always_run() {
        let only = ["v0-coalesce-5", "redis"].map(str::to_owned);
        let chosen = chosen(all(1), &only).unwrap();
        let ids: Vec<String> = chosen.iter().map(Contender::id).collect();
        assert_eq!(ids, ["epoll", "answer", "v0-coalesce-5", "redis"]);
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let error = chosen(all(1), &["reddis".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("reddis"), "{error}");
    }
}
