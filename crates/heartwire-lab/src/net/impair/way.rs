//! One direction of a bad link, without clock and I/O, all from one seed.

use core::time::Duration;

use fastrand::Rng;

use super::Profile;

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    profile: Profile,
    rng: Rng,
    /// When the last packet in order arrives.
    last: Duration,
}

impl Way {
    pub(super) fn new(profile: Profile, seed: u64) -> Self {
        Self { profile, rng: Rng::with_seed(seed), last: Duration::ZERO }
    }

    /// When a packet that was sent at `now` arrives, and how damaged.
    pub(super) fn send(&mut self, now: Duration, packet: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        // Each packet takes the same number of draws, so that the fate of the tenth packet does not
        // depend on the settings for the first nine.
        let lost = self.happens(self.profile.loss);
        let overtakes = self.happens(self.profile.reorder);
        let doubled = self.happens(self.profile.duplicate);
        let flipped = self.happens(self.profile.flip);
        let (byte, bit) = (self.rng.usize(..packet.len().max(1)), self.rng.u32(..8));
        let late = self.profile.jitter.mul_f64(self.rng.f64());
        if lost {
            return Vec::new();
        }
        let mut packet = packet.to_vec();
        if let Some(byte) = packet.get_mut(byte).filter(|_| flipped) {
            *byte ^= 1 << bit;
        }
        let at = if overtakes {
            now
        } else {
            self.last = self.last.max(now + self.profile.delay + late);
            self.last
        };
        let mut arriving = vec![(at, packet)];
        if doubled {
            arriving.extend_from_within(..);
        }
        arriving
    }

    fn happens(&mut self, percent: f64) -> bool {
        self.rng.f64() * 100.0 < percent
    }
}

#[cfg(test)]
mod tests;
