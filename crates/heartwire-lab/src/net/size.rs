//! Numbers of bytes, as they are typed.

/// Parses a number of bytes, with a unit or without.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err("a number, and KiB, MiB or GiB".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number, and KiB, MiB or GiB".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too much".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("3KiB"), Ok(3072));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        for wrong in ["", "KiB", "1kb", "1 GiB", "-1", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
