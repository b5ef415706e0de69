//! Seeds that once found a fault, and are run forever.

/// A seed that once found a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// The seed.
    pub seed: u64,
    /// What it found.
    pub why: &'static str,
}

/// The seeds of `seeds/kept.txt`: one per line, and after a `#` what it found.
pub fn kept() -> impl Iterator<Item = Kept> {
    include_str!("../../seeds/kept.txt").lines().filter_map(|line| {
        let (seed, why) = line.split_once('#')?;
        Some(Kept { seed: seed.trim().parse().ok()?, why: why.trim() })
    })
}

#[cfg(test)]
mod tests;
