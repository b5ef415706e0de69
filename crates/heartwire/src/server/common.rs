//! What the sessions of a shard have in common, instead of a copy each.

use heartwire_core::v1::Contract;
use heartwire_core::{Connection, Instant, Protocol, Settings, Shared, Template};

/// Maximum number of contracts that new sessions are compared with. Clients of a few kinds agree on
/// as many contracts; one that agrees on another has that to itself.
const MAX_CONTRACTS: usize = 8;

/// The settings of a shard's connections, and the contracts that its clients agree on. No other
/// shard has them, so no processor waits for another one to count who shares them.
#[derive(Debug)]
pub(super) struct Common {
    usual: Template,
    /// A refused client gets nothing on v0, not even a beat.
    refused: Template,
    /// Those that many have come first.
    contracts: Vec<Shared<Contract>>,
}

impl Common {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            usual: Template::new(settings),
            refused: Template::new(settings.protocol(Protocol::V1Only)),
            contracts: Vec::new(),
        }
    }

    /// A new connection.
    pub(super) fn connection(&self, is_refused: bool, now: Instant) -> Connection {
        let template = if is_refused { &self.refused } else { &self.usual };
        template.connection(now)
    }

    /// This contract, shared with the sessions that have an equal one.
    pub(super) fn share(&mut self, contract: Contract) -> Shared<Contract> {
        if let Some(at) = self.contracts.iter().position(|known| **known == contract) {
            // One step, so that contracts which come once do not push the others out.
            let before = at.saturating_sub(1);
            self.contracts.swap(before, at);
            if let Some(known) = self.contracts.get(before) {
                return known.clone();
            }
        }
        let contract = Shared::new(contract);
        self.contracts.truncate(MAX_CONTRACTS - 1);
        self.contracts.push(contract.clone());
        contract
    }
}

#[cfg(test)]
mod tests {
    use core::ptr;
    use core::time::Duration;

    use heartwire_core::v1::{Offer, Terms};
    use heartwire_core::{Policy, Preset, Side};

    use super::*;

    /// The contract of a client that sends a beat every so many seconds.
    fn contract(interval: u64) -> Contract {
        let policy = Policy::builder()
            .interval(Duration::from_secs(interval))
            .timeout(Duration::from_secs(3 * interval));
        let terms = Terms::new(Offer::new(&Preset::Default.policy(Side::Server)));
        terms.agree(&Offer::new(&policy.build().unwrap())).unwrap()
    }

    #[test]
    fn sessions_with_equal_contracts_share_one_even_if_others_come_in_between() {
        let mut common = Common::new(Settings::new(Policy::default()));
        let usual = common.share(contract(10));
        assert_eq!(*common.share(contract(20)), contract(20));
        for interval in 30..200 {
            let own = common.share(contract(interval));
            assert_eq!(*own, contract(interval));
            let again = common.share(contract(10));
            assert!(ptr::eq(&raw const *usual, &raw const *again), "{interval}");
            assert!(common.contracts.len() <= MAX_CONTRACTS);
        }
    }
}
