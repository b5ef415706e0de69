use core::time::Duration;

use clap::Parser;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Value, json};

use super::app::{Mode, Retry};
use super::args::{Sort, View};
use super::keys::Action;
use super::*;
use crate::http_client::HttpError;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    top: TopArgs,
}

fn app(args: &[&str]) -> App {
    App::new(&Typed::parse_from([&["top"], args].concat()).top)
}

/// With `seconds` of uptime and `accepted` clients.
fn stats(seconds: f64, accepted: u64) -> Value {
    json!({
        "version": "0.1.0", "time": "2026-11-27T12:00:00Z", "uptime_ms": seconds * 1e3,
        "ready": true, "reasons": [],
        "accepted": accepted, "refused": 3, "rejected": 1, "dead": 40, "resumed": 17,
        "turns": 9_000,
        "now": {"sessions": 14_988, "away": 12, "pending": 3, "held_bytes": 5_242_880,
            "max_sessions": 100_000},
        "policy": {"interval_ms": 10_000.0, "timeout_ms": 30_000.0},
        "lateness_ms": {"count": 40, "p50": 1.0, "p99": 8.0, "p999": 12.25},
        "round_trip_ms": {"count": 123_456, "p50": 0.31, "p99": 48.0, "p999": 310.0},
        "gap_ms": {"count": 900, "p50": 10_000.0, "p99": 10_100.0, "p999": 12_000.0},
        "shards": [{"shard": 0, "turned": true}, {"shard": 1, "turned": true}],
        "resources": [
            {"resource": "memory", "used": 5, "limit": 1000, "short": false},
            {"resource": "descriptors", "used": 15_010, "limit": 20_000, "short": false}],
        "cpu_ms": seconds * 12.0,
    })
}

fn session(number: u64, name: &str) -> Value {
    json!({
        "session": format!("0-{number}-1"), "name": name, "epoch": 1, "peer": "192.0.2.7:50123",
        "protocol": "v1", "tls": false, "age_ms": 3_723_000.0, "silence_ms": 28_100.0,
        "interval_ms": 10_000.0, "timeout_ms": 30_000.0, "due_ms": 1_900.0, "rtt_ms": 0.31,
        "health": "ok", "beats": 372, "queued": 2048, "away_within_ms": null,
    })
}

fn page(sessions: &[Value], after: Option<&str>) -> Value {
    json!({"sessions": sessions, "after": after, "missing_shards": []})
}

fn many(from: u64, count: u64) -> Vec<Value> {
    (from..from + count).map(|number| session(number, &format!("hall/door-{number}"))).collect()
}

#[track_caller]
fn show(app: &mut App, answers: Vec<Value>) {
    let picture = Picture::read(&app.asked(), answers).unwrap();
    app.show(Ok(picture));
}

fn screen_of(app: &mut App, width: u16, height: u16) -> String {
    screen::text_of(&buffer_of(app, width, height))
}

fn buffer_of(app: &mut App, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    screen::draw(app, area, &mut buffer);
    buffer
}

fn press(app: &mut App, code: KeyCode) -> Action {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_text(app: &mut App, text: &str) -> Action {
    text.chars().fold(Action::None, |_, char| press(app, KeyCode::Char(char)))
}

/// The overview of a server with two pages of sessions.
fn overview() -> App {
    let mut app = app(&[]);
    show(&mut app, vec![stats(100.0, 50), page(&many(1, 20), None), page(&many(50, 20), None)]);
    app
}

#[test]
fn overview_fits_into_80_by_24() {
    let mut app = overview();
    let expected = "\
heartwire 0.1.0, up 1m40s, http://127.0.0.1:39080, every 2s                READY
sessions   14,988 of 100,000   away 12   pending 3   held 5.0M   cpu 1.2%   time
a second   accepted 0.5   refused 0.030   rejected 0.010   dead 0.4   resumed 0.
lateness   p50 1.0ms    p99 8.0ms    p99.9 12ms     of 40
round trip p50 0.3ms    p99 48ms     p99.9 310ms    of 123456
resources  descriptors 15,010 of 20,000   memory 5 of 1,000
the 20 sessions nearest to their verdict
SESSION     NAME           PEER                  SILENCE     DUE     RTT     AGE
0-1-1       hall/door-1    192.0.2.7:50123         28.1s    1.9s   0.3ms   1h02m
0-2-1       hall/door-2    192.0.2.7:50123         28.1s    1.9s   0.3ms   1h02m";
    let screen = screen_of(&mut app, 80, 24);
    assert_eq!(screen.lines().take(10).collect::<Vec<_>>().join("\n"), expected, "{screen}");
    assert_eq!(screen.lines().nth(14), Some("the 20 sessions with the slowest paths"), "{screen}");
    let keys = "h Help / Search F6 Order 1 Overview 2 Sessions 3 Away Space Pause k End q Quit";
    assert_eq!(screen.lines().last(), Some(keys));
}

#[test]
fn overview_has_both_twenties_where_there_is_room() {
    let screen = screen_of(&mut overview(), 130, 60);
    assert!(screen.contains("hall/door-20 ") && screen.contains("hall/door-69 "), "{screen}");
    assert!(screen.contains("interval 10.0s") && screen.contains("turns 90.0"), "{screen}");
    assert!(screen.contains(" HEALTH") && screen.contains(" 2.0K       372 ok"), "{screen}");
}

#[test]
fn small_screens_keep_the_most_important() {
    let mut app = overview();
    let screen = screen_of(&mut app, 40, 12);
    assert!(screen.starts_with("READY heartwire"), "{screen}");
    assert!(screen.contains("hall/door-1 ") && screen.contains("hall/door-50"), "{screen}");
    // Without room for both parts there is one.
    let screen = screen_of(&mut app, 20, 6);
    assert!(screen.contains("0-1-1") && !screen.contains("slowest"), "{screen}");
    for (width, height) in (0..30).flat_map(|width| (0..30).map(move |height| (width, height))) {
        for key in [KeyCode::Char('h'), KeyCode::Char('x'), KeyCode::F(6), KeyCode::Esc] {
            press(&mut app, key);
            buffer_of(&mut app, width, height);
        }
    }
}

#[test]
fn rates_are_those_between_two_looks_and_none_are_negative() {
    let mut app = overview();
    show(&mut app, vec![stats(102.0, 90), page(&[], None), page(&[], None)]);
    let screen = screen_of(&mut app, 200, 24);
    assert!(screen.contains("a second   accepted 20.0   refused 0   rejected 0"), "{screen}");
    // The server has been started anew.
    show(&mut app, vec![stats(4.0, 8), page(&[], None), page(&[], None)]);
    let screen = screen_of(&mut app, 200, 24);
    assert!(screen.contains("up 4.0s") && screen.contains("accepted 2.0 "), "{screen}");
}

#[test]
fn troubles_stand_below_the_title() {
    let mut app = app(&["--view=sessions"]);
    let mut stats = stats(100.0, 50);
    stats["ready"] = json!(false);
    stats["reasons"] = json!(["draining", "short_of_descriptors"]);
    stats["shards"][1]["turned"] = json!(false);
    stats["resources"][1]["short"] = json!(true);
    show(&mut app, vec![stats, page(&many(1, 3), None)]);
    let screen = screen_of(&mut app, 80, 24);
    let lines: Vec<_> = screen.lines().collect();
    assert!(lines[0].ends_with(" DRAINING"), "{screen}");
    assert_eq!(lines[1], "not ready: draining, short_of_descriptors");
    assert_eq!(lines[2], "hanging: shard 1 makes no progress");
    assert!(screen.contains("resources  SHORT OF descriptors 15,010 of 20,000"), "{screen}");
}

#[test]
fn server_that_is_gone_leaves_an_old_picture_that_says_so() {
    let mut app = overview();
    let taken_at = app.picture.as_ref().unwrap().at;
    let endpoint = "unix:/run/none".parse().unwrap();
    let error = HttpError::foreign(&endpoint, "/v1/stats", "gone\u{1b}[2J");
    app.show(Err(error));
    let area = Rect::new(0, 0, 80, 24);
    let mut buffer = Buffer::empty(area);
    let now = taken_at + Duration::from_secs(75);
    screen::draw_at(&mut app, now, screen::Palette::plain(), area, &mut buffer);
    let screen = screen::text_of(&buffer);
    assert!(screen.lines().next().unwrap().ends_with(" NO ANSWER"), "{screen}");
    assert!(screen.contains("\nthis is 75 s old: the answer of unix:/run/none"), "{screen}");
    assert!(screen.contains("hall/door-1 "), "{screen}");
    // It comes back.
    show(&mut app, vec![stats(1.0, 2), page(&many(7, 1), None), page(&[], None)]);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.lines().next().unwrap().ends_with(" READY"), "{screen}");
    assert!(!screen.contains("old") && screen.contains("hall/door-7"), "{screen}");
}

#[test]
fn text_of_clients_and_servers_cannot_control_the_terminal() {
    let evil = "\u{1b}]0;x\u{7}\u{9b}2J\r\n\t\u{202e}";
    let mut app = app(&["--view=sessions"]);
    let mut stats = stats(100.0, 50);
    stats["version"] = json!(evil);
    stats["reasons"] = json!([evil]);
    stats["resources"][0]["resource"] = json!(evil);
    let mut session = session(1, evil);
    session["session"] = json!(evil);
    session["peer"] = json!(evil);
    session["health"] = json!(evil);
    show(&mut app, vec![stats, page(&[session], Some(evil))]);
    app.has_token = true;
    press(&mut app, KeyCode::Char('k'));
    for mode in [app.mode.clone(), Mode::Search { old: String::new() }, Mode::Watch] {
        app.mode = mode;
        app.search = evil.to_owned();
        let buffer = buffer_of(&mut app, 250, 24);
        let text: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        let is_hidden = |char: char| char.is_control() || char == '\u{202e}';
        assert!(!text.contains(is_hidden), "{text:?}");
        assert!(text.contains(r"\u{1b}]0;x\u{7}\u{9b}2J"), "{text}");
    }
    let json = app.picture.as_ref().unwrap().to_json();
    assert!(!json.contains(|char: char| char.is_control() || char == '\u{202e}'), "{json}");
}

#[test]
fn wide_names_do_not_move_the_columns() {
    let mut app = app(&["--view=sessions"]);
    let sessions = [session(1, "門門門門門門門門門門門門"), session(2, "door")];
    show(&mut app, vec![stats(1.0, 2), page(&sessions, None)]);
    let buffer = buffer_of(&mut app, 80, 24);
    let column = |y: u16| {
        let cells = (0..80).map(|x| buffer.cell((x, y)).unwrap().symbol().to_owned());
        cells.collect::<Vec<_>>().iter().position(|cell| cell == ":")
    };
    assert_eq!(column(8), column(9), "{}", screen::text_of(&buffer));
}

#[test]
fn sessions_that_are_away_have_the_time_until_they_are_given_up() {
    let mut lost = session(1, "lost");
    lost["away_within_ms"] = json!(95_000.0);
    lost["due_ms"] = Value::Null;
    let mut app = app(&["--view=away"]);
    show(&mut app, vec![stats(1.0, 2), page(&[lost.clone()], None)]);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.contains("1 session away, nearest to their verdict"), "{screen}");
    assert!(screen.contains(" SILENCE GIVEN UP ") && screen.contains(" 1m35s "), "{screen}");
    press(&mut app, KeyCode::Char('2'));
    show(&mut app, vec![stats(1.0, 2), page(&[lost], None)]);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.contains("   28.1s    away "), "{screen}");
}

#[test]
fn keys_choose_view_and_order() {
    let mut app = overview();
    let (view, sort) = (|app: &App| app.asked().view, |app: &App| app.asked().sort);
    assert_eq!(press(&mut app, KeyCode::Tab), Action::Ask);
    assert_eq!((view(&app), sort(&app)), (View::Sessions, Sort::Due));
    assert_eq!(type_text(&mut app, "3"), Action::Ask);
    assert_eq!(view(&app), View::Away);
    assert_eq!(type_text(&mut app, "1>"), Action::Ask);
    assert_eq!((view(&app), sort(&app)), (View::Sessions, Sort::Silence), "it has no other order");
    for (keys, expected) in
        [("<<", Sort::Id), ("S", Sort::Silence), ("R", Sort::Rtt), ("U", Sort::Queued)]
    {
        assert_eq!(type_text(&mut app, keys), Action::Ask);
        assert_eq!(sort(&app), expected);
    }
    press(&mut app, KeyCode::F(6));
    press(&mut app, KeyCode::Left);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.ends_with(" age  queued  id   arrows, then Enter"), "{screen}");
    assert_eq!(press(&mut app, KeyCode::Enter), Action::Ask);
    assert_eq!(sort(&app), Sort::Age);
    press(&mut app, KeyCode::F(6));
    press(&mut app, KeyCode::Down);
    press(&mut app, KeyCode::Esc);
    assert_eq!((sort(&app), app.mode.clone()), (Sort::Age, Mode::Watch));
}

#[test]
fn search_asks_while_it_is_typed_and_esc_undoes_it() {
    let mut app = overview();
    press(&mut app, KeyCode::Char('/'));
    assert_eq!(type_text(&mut app, "q h"), Action::Ask);
    assert_eq!(app.asked().search, "q h");
    assert!(screen_of(&mut app, 80, 24).ends_with("search for names with: q h_"));
    press(&mut app, KeyCode::Backspace);
    assert_eq!(press(&mut app, KeyCode::Enter), Action::None);
    assert_eq!(app.asked().search, "q ");
    press(&mut app, KeyCode::F(3));
    type_text(&mut app, "more");
    assert_eq!(press(&mut app, KeyCode::Esc), Action::Ask);
    assert_eq!(app.asked().search, "q ");
    assert_eq!(press(&mut app, KeyCode::Esc), Action::Ask);
    assert_eq!(app.asked().search, "");
}

#[test]
fn delay_is_changed_by_steps_and_by_number() {
    let mut app = overview();
    assert_eq!(type_text(&mut app, "+"), Action::Delay);
    assert_eq!(app.delay, Duration::from_millis(2500));
    type_text(&mut app, "---------");
    assert_eq!(app.delay, Duration::from_millis(100), "no less");
    type_text(&mut app, "d0.25");
    assert_eq!(press(&mut app, KeyCode::Enter), Action::Delay);
    assert_eq!(app.delay, Duration::from_millis(250));
    type_text(&mut app, "s5m");
    assert_eq!(press(&mut app, KeyCode::Enter), Action::Delay);
    assert_eq!(app.delay, Duration::from_secs(300));
    type_text(&mut app, "squick");
    assert_eq!(press(&mut app, KeyCode::Enter), Action::None);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.contains("the delay stays as it is: write seconds"), "{screen}");
    assert_eq!(app.delay, Duration::from_secs(300));
}

#[test]
fn space_pauses_and_goes_on() {
    let mut app = overview();
    assert_eq!(type_text(&mut app, " "), Action::None);
    assert!(app.is_paused);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.lines().next().unwrap().ends_with(" PAUSED"), "{screen}");
    assert_eq!(type_text(&mut app, " "), Action::Ask);
    assert!(!app.is_paused);
}

#[test]
fn sessions_are_ended_only_with_a_token_and_after_a_question() {
    let mut app = overview();
    type_text(&mut app, "k");
    assert!(screen_of(&mut app, 80, 24).contains("start top with --http-token FILE"));
    app.has_token = true;
    press(&mut app, KeyCode::Down);
    assert_eq!(type_text(&mut app, "k"), Action::None);
    let screen = screen_of(&mut app, 80, 24);
    let question =
        "end 0-2-1 (hall/door-2)? y: and it stays away, r: and it may come back, else: no";
    assert!(screen.ends_with(question), "{screen}");
    // The list may have changed meanwhile; the question has not.
    show(&mut app, vec![stats(101.0, 50), page(&many(90, 20), None), page(&[], None)]);
    let kick = |retry| Action::Kick { session: "0-2-1".to_owned(), retry };
    assert_eq!(type_text(&mut app, "y"), kick(Retry::Never));
    type_text(&mut app, "k");
    assert_eq!(press(&mut app, KeyCode::Enter), Action::None);
    assert!(screen_of(&mut app, 80, 24).ends_with("the session goes on"));
    type_text(&mut app, "k");
    let kick = Action::Kick { session: "0-91-1".to_owned(), retry: Retry::AtWill };
    assert_eq!(type_text(&mut app, "r"), kick);
}

#[test]
fn listing_by_id_goes_from_page_to_page() {
    let mut app = app(&["--view=sessions", "--sort=id"]);
    show(&mut app, vec![stats(1.0, 2), page(&many(1, 100), Some("0-100-1"))]);
    screen_of(&mut app, 80, 24);
    assert_eq!(press(&mut app, KeyCode::PageDown), Action::None);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.contains("100 sessions by id, page 1"), "{screen}");
    assert!(!screen.contains("0-1-1 ") && screen.contains("0-17-1 "), "the bar is seen: {screen}");
    press(&mut app, KeyCode::End);
    assert_eq!(press(&mut app, KeyCode::Down), Action::Ask);
    assert_eq!(app.asked().after.as_deref(), Some("0-100-1"));
    // Not a page further before that one has come.
    press(&mut app, KeyCode::End);
    assert_eq!(press(&mut app, KeyCode::Down), Action::None);
    show(&mut app, vec![stats(2.0, 2), page(&many(101, 3), None)]);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.contains("3 sessions by id, page 2") && screen.contains("0-103-1"), "{screen}");
    press(&mut app, KeyCode::Home);
    assert_eq!(press(&mut app, KeyCode::Up), Action::Ask);
    assert_eq!(app.asked().after, None);
}

#[test]
fn answers_to_an_old_question_are_not_shown() {
    let mut app = overview();
    let asked = app.asked();
    press(&mut app, KeyCode::Char('2'));
    let late = vec![stats(101.0, 1), page(&many(90, 1), None), page(&[], None)];
    app.show(Ok(Picture::read(&asked, late).unwrap()));
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.contains("hall/door-1 ") && !screen.contains("hall/door-90"), "{screen}");
}

#[test]
fn quitting_and_help_have_the_keys_of_other_programs() {
    for (code, modifiers) in [
        (KeyCode::Char('q'), KeyModifiers::NONE),
        (KeyCode::F(10), KeyModifiers::NONE),
        (KeyCode::Char('c'), KeyModifiers::CONTROL),
    ] {
        assert_eq!(overview().key(KeyEvent::new(code, modifiers)), Action::Quit);
    }
    for code in [KeyCode::Char('h'), KeyCode::Char('?'), KeyCode::F(1)] {
        let mut app = overview();
        press(&mut app, code);
        let screen = screen_of(&mut app, 80, 24);
        assert!(screen.contains("q F10 Ctrl-C       quit"), "{screen}");
        press(&mut app, KeyCode::Char('x'));
        assert_eq!(app.mode, Mode::Watch);
    }
    // None of the help is cut off where most terminals end.
    let mut app = overview();
    press(&mut app, KeyCode::Char('h'));
    assert_eq!(screen_of(&mut app, 80, 24), screen_of(&mut app, 200, 24));
}

#[test]
fn colors_are_three_and_none_with_no_color() {
    let mut app = overview();
    let area = Rect::new(0, 0, 120, 24);
    let mut colors = |palette| {
        let mut buffer = Buffer::empty(area);
        let now = app.picture.as_ref().unwrap().at;
        screen::draw_at(&mut app, now, palette, area, &mut buffer);
        let mut used: Vec<_> = buffer.content.iter().flat_map(|cell| [cell.fg, cell.bg]).collect();
        used.sort_by_key(|color| format!("{color:?}"));
        used.dedup();
        used
    };
    use ratatui::style::Color::{Green, Red, Reset};
    assert_eq!(colors(screen::Palette::colored()), [Green, Red, Reset]);
    assert_eq!(colors(screen::Palette::plain()), [Reset]);
}

#[test]
fn paths_ask_for_what_is_shown() {
    let mut app = app(&["--search=a&b"]);
    let paths = |app: &App| app.asked().paths();
    let overview =
        ["due", "rtt"].map(|sort| format!("/v1/sessions?sort={sort}&limit=20&name=a%26b"));
    assert_eq!(paths(&app), overview);
    app.search.clear();
    type_text(&mut app, "3I");
    assert_eq!(paths(&app), ["/v1/sessions?sort=id&limit=100&away=true"]);
}

#[test]
fn servers_of_other_versions_are_shown_as_far_as_they_say() {
    let mut app = app(&[]);
    show(&mut app, vec![json!({"uptime_ms": 5, "new": {}}), json!({"sessions": [{}]}), json!({})]);
    let screen = screen_of(&mut app, 80, 24);
    assert!(screen.contains("NOT READY") && screen.contains("the 1 session nearest"), "{screen}");
    assert!(Picture::read(&app.asked(), vec![json!([])]).is_err());
}
