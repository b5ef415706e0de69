use super::*;

#[test]
fn a_heartbeat_is_one_text_and_its_answer_another() {
    let mut beat = Text::default();
    let (ping, pong) = (Message::text("PING"), Message::text("PONG"));
    assert_eq!(beat.beat(1), ping);
    assert!(beat.is_beat(&ping) && beat.is_beat(&pong));
    assert_eq!(beat.answer(&ping), Answer::Owed(pong.clone()));
    assert_eq!(beat.answer(&pong), Answer::Never);
    assert_eq!(Text(Lines::same("alive")).answer(&Message::text("alive")), Answer::Echo);
}

/// An old page's browser answers pings: that is no sign that the page knows heartbeats.
#[test]
fn other_texts_and_other_messages_are_no_heartbeats() {
    let mut beat = Text::default();
    let bytes = Bytes::from_static(b"PING");
    let others = [
        Message::text("PING "),
        Message::Binary(bytes.clone()),
        Message::Ping(bytes.clone()),
        Message::Pong(bytes),
    ];
    for other in others {
        assert!(!beat.is_beat(&other), "{other:?}");
    }
}
