use core::net::SocketAddr;

use http_body_util::BodyExt;

use super::*;

fn fighting(name: &str) -> Event<&'static [u8]> {
    Event::Fighting { name: name.into(), peer: SocketAddr::from(([127, 0, 0, 1], 1)) }
}

/// The next text of a stream, without the comment that it begins with.
async fn text(body: &mut Body) -> String {
    let frame = body.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap().replace(": keep-alive\n\n", "")
}

#[tokio::test]
async fn events_that_a_slow_reader_misses_are_counted_in_their_place() {
    let readers = Arc::new(Readers::default());
    let mut body = readers.stream(vec!["fighting"]).unwrap().into_body();
    assert_eq!(text(&mut body).await, "");
    let publish = |name: &str| readers.publish(&fighting(name), || None);
    for number in 0..MAX_WAITING + 3 {
        publish(&number.to_string());
    }
    let mut read = String::new();
    for _ in 0..MAX_WAITING / BATCH {
        read += &text(&mut body).await;
    }
    assert_eq!(read.matches("event: fighting\n").count(), MAX_WAITING);
    assert!(!read.contains("lagged"));
    publish("later");
    let rest = text(&mut body).await;
    assert!(
        rest.starts_with("event: lagged\ndata: {\"dropped\":3}\n\nevent: fighting\n"),
        "{rest}"
    );
    assert!(rest.contains("\"name\":\"later\""), "{rest}");
}

#[tokio::test]
async fn a_reader_gets_what_it_asked_for_and_the_others_cost_nothing() {
    let readers = Arc::new(Readers::default());
    readers.publish(&fighting("a"), || panic!("nothing reads"));
    let mut body = readers.stream(vec!["accepting"]).unwrap().into_body();
    assert_eq!(text(&mut body).await, "");
    readers.publish(&fighting("b"), || None);
    readers.publish(&Event::Accepting { refused: 7 }, || None);
    let read = text(&mut body).await;
    assert!(read.starts_with("event: accepting\ndata: {\"time\":"), "{read}");
    assert!(read.ends_with("\"event\":\"accepting\",\"refused\":7}\n\n"), "{read}");
    assert_eq!(readers.for_data.load(Relaxed), 0);
    drop(body);
    readers.publish(&fighting("c"), || panic!("nothing reads any more"));
}

#[tokio::test]
async fn a_line_of_the_server_itself_has_its_own_kind() {
    let readers = Arc::new(Readers::default());
    let mut body = readers.stream(vec!["resource", "stopped"]).unwrap().into_body();
    assert_eq!(text(&mut body).await, "");
    readers.pass_on_line("resource", Line::Who { sessions: 1 });
    readers.close(Line::Who { sessions: 2 });
    let read = text(&mut body).await;
    let kinds: Vec<_> = read.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(kinds, ["resource", "stopped"], "{read}");
}

#[tokio::test]
async fn there_are_only_so_many_readers() {
    let readers = Arc::new(Readers::default());
    let mut all: Vec<_> = (0..MAX_READERS).map(|_| readers.stream(vec!["data"]).unwrap()).collect();
    assert_eq!(readers.stream(vec!["data"]).unwrap_err().code(), "busy");
    all.pop();
    assert!(readers.stream(vec!["data"]).is_ok());
}
