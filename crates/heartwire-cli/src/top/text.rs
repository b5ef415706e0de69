//! Figures and names as they stand in a narrow column.

use crate::output::shown_on_terminal;

/// Text of a server or of its clients, which cannot control the terminal.
pub(super) fn shown(text: &str) -> String {
    shown_on_terminal(text.as_bytes(), false).replace('\t', "\\t")
}

/// A time in at most 7 characters.
pub(super) fn time(millis: f64) -> String {
    // Times before now, which rounding makes, are now.
    let millis = if millis.is_finite() { millis.max(0.0) } else { return "?".to_owned() };
    let seconds = millis / 1e3;
    let whole = |number: f64| format!("{:02.0}", number.floor());
    if millis < 9.95 {
        return format!("{millis:.1}ms");
    }
    if millis < 999.5 {
        return format!("{millis:.0}ms");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1}s");
    }
    let seconds = seconds.round();
    let minutes = seconds / 60.0;
    if minutes < 60.0 {
        return format!("{:.0}m{}s", minutes.floor(), whole(seconds % 60.0));
    }
    let hours = minutes / 60.0;
    if hours < 24.0 {
        return format!("{:.0}h{}m", hours.floor(), whole(minutes % 60.0));
    }
    format!("{:.0}d{}h", (hours / 24.0).floor(), whole(hours % 24.0))
}

pub(super) fn time_if_known(millis: Option<f64>) -> String {
    millis.map_or_else(|| "-".to_owned(), time)
}

/// A number a second.
pub(super) fn rate(rate: f64) -> String {
    if rate == 0.0 || rate >= 99.95 {
        format!("{rate:.0}")
    } else if rate >= 0.095 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.3}")
    }
}

/// Bytes, to three digits or so.
pub(super) fn bytes(bytes: u64) -> String {
    for (unit, shift) in [("G", 30_u32), ("M", 20), ("K", 10)] {
        let tenths = bytes.saturating_mul(10) >> shift;
        if tenths >= 100 {
            return format!("{}{unit}", tenths / 10);
        }
        if tenths >= 10 {
            return format!("{}.{}{unit}", tenths / 10, tenths % 10);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fit_into_their_column() {
        let times = [
            (-3.0, "0.0ms"),
            (0.31, "0.3ms"),
            (9.94, "9.9ms"),
            (9.96, "10ms"),
            (999.0, "999ms"),
            (999.7, "1.0s"),
            (59_900.0, "59.9s"),
            (59_960.0, "1m00s"),
            (3_599_000.0, "59m59s"),
            (3_600_000.0, "1h00m"),
            (86_399_000.0, "23h59m"),
            (1e10, "115d17h"),
            (f64::NAN, "?"),
        ];
        for (millis, text) in times {
            assert_eq!(time(millis), text, "{millis}");
            assert!(text.len() <= 7, "{text}");
        }
    }

    #[test]
    fn rates_and_bytes_keep_their_first_digits() {
        let rates = [0.0, 0.004, 0.4, 12.34, 99.9, 99.96, 20_000.0].map(rate);
        assert_eq!(rates, ["0", "0.004", "0.4", "12.3", "99.9", "100", "20000"]);
        let all = [0, 1023, 1024, 10_240, 1 << 20, 300 << 20, 5 << 30].map(bytes);
        assert_eq!(all, ["0", "1023", "1.0K", "10K", "1.0M", "300M", "5.0G"]);
    }

    #[test]
    fn names_cannot_control_the_terminal() {
        assert_eq!(shown("a\u{1b}[2J\tb\u{202e}"), "a\\u{1b}[2J\\tb\\u{202e}");
    }
}
