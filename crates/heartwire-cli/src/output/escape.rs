//! Text of a peer, made safe to print: it cannot control a terminal.

/// How much of some data is printed.
pub(crate) const PREVIEW_LEN: usize = 64;

/// The beginning of some data, which has `len` bytes in all, quoted and escaped.
pub(crate) fn preview(beginning: &[u8], len: usize) -> String {
    let shown = beginning.get(..PREVIEW_LEN).unwrap_or(beginning);
    let dots = if len > PREVIEW_LEN { "…" } else { "" };
    format!("\"{}{dots}\"", String::from_utf8_lossy(shown).escape_debug())
}

/// Whether a terminal or an editor does something with this character instead of showing it:
/// control characters, and those that change the direction of text, end a line, or cannot be seen.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The same JSON, in which such characters are written as `\uXXXX`.
pub(super) fn escape_hidden_in_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        if is_hidden(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// Data as a terminal can show it: what is no UTF-8 as `\u{fffd}`, and what a terminal would obey
/// as its number. Tabs stay, and so do line breaks where data comes without a form of its own.
pub(crate) fn shown_on_terminal(data: &[u8], keep_line_breaks: bool) -> String {
    let mut shown = String::with_capacity(data.len());
    for char in String::from_utf8_lossy(data).chars() {
        let stays = char == '\t' || keep_line_breaks && char == '\n';
        if is_hidden(char) && !stays {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn no_hidden_character_leaves_as_it_is() {
        let evil = "\u{1b}[2J\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{200b}\u{e0041}é\t\n€🦀";
        let json = escape_hidden_in_json(&serde_json::to_string(evil).unwrap());
        assert!(!json.chars().any(is_hidden), "{json}");
        assert!(
            json.contains(r"[2J\u007f\u009b31m\u0085\u2028\u202e\u200b\udb40\udc41é"),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), evil);

        let shown = shown_on_terminal(evil.as_bytes(), false);
        let expected = r"\u{1b}[2J\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{200b}\u{e0041}é";
        assert_eq!(shown, format!("{expected}\t\\u{{a}}€🦀"));
        assert_eq!(shown_on_terminal(b"a\r\nb\xff", true), "a\\u{d}\nb\u{fffd}");
    }
}
