use super::*;

const NOW: u64 = 1_000_000_000;
const WEEK: u64 = 7 * 24 * 60 * 60;

fn key(secret: u8, context: &[u8]) -> Key {
    Key::new(&[secret; KEY_LEN], context).unwrap()
}

#[test]
fn a_ticket_is_opened_by_the_same_key_for_a_week() {
    let ticket = key(1, b"settings").seal(b"secret", NOW).unwrap();
    for now in [NOW, NOW + WEEK, NOW - 60] {
        assert_eq!(key(1, b"settings").open(&ticket, now).unwrap(), b"secret");
    }
    assert_eq!(key(1, b"settings").open(&ticket, NOW + WEEK + 1), None);
    assert_eq!(key(1, b"settings").open(&ticket, NOW - WEEK - 1), None);
}

#[test]
fn a_ticket_is_not_opened_by_another_key_or_for_other_settings() {
    let ticket = key(1, b"settings").seal(b"secret", NOW).unwrap();
    assert_eq!(key(2, b"settings").open(&ticket, NOW), None);
    assert_eq!(key(1, b"others").open(&ticket, NOW), None);
    // Even if it has the name.
    let mut impostor = key(2, b"settings");
    impostor.name = key(1, b"settings").name;
    assert_eq!(impostor.open(&ticket, NOW), None);
}

#[test]
fn a_ticket_with_one_other_bit_or_length_is_not_opened() {
    let key = key(1, b"");
    let ticket = key.seal(b"secret", NOW).unwrap();
    for bit in 0..8 * ticket.len() {
        let mut other = ticket.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(key.open(&other, NOW), None, "{bit}");
    }
    for len in 0..ticket.len() {
        assert_eq!(key.open(&ticket[..len], NOW), None, "{len}");
    }
    assert_eq!(key.open(&[&*ticket, &[0]].concat(), NOW), None);
}

#[test]
fn no_two_tickets_are_the_same_and_none_shows_its_message() {
    let key = key(1, b"");
    let [one, other] = [(); 2].map(|()| key.seal(b"a secret of 22 bytes", NOW).unwrap());
    assert_ne!(one, other);
    assert!(!one.windows(6).any(|part| part == b"secret"));
}

#[test]
fn settings_in_other_parts_are_others() {
    let of = |parts: &[(&str, &str)]| {
        let mut settings = Settings::default();
        parts.iter().for_each(|(kind, part)| settings.add(kind, part.as_bytes()));
        settings.fingerprint()
    };
    let all = [
        of(&[]),
        of(&[("root", "ab")]),
        of(&[("root", "a"), ("root", "b")]),
        of(&[("root", "b"), ("root", "a")]),
        of(&[("roota", "b")]),
        of(&[("server", "ab")]),
        of(&[("root", "")]),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[index + 1..].contains(one), "{index}");
    }
}
