//! Random bits from a number.

/// 64 bits that look random, from any number: the output of `SplitMix64` (Steele, Lea and Flood,
/// 2014). The same number gives the same bits.
#[must_use]
pub(crate) const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
