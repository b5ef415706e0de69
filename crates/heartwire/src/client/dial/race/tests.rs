use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Mutex;

use tokio::time::{Instant, sleep};

use super::race;

/// What each of the addresses does: it fails or answers after so many milliseconds, or neither.
#[derive(Clone, Copy)]
enum Does {
    Fail(u64),
    Answer(u64),
    Nothing,
}

/// Races addresses that do this. Returns which won and when, when each began, and which failed.
async fn run(does: &[Does]) -> (Option<u16>, u128, Vec<u128>, Vec<u16>) {
    let start = Instant::now();
    let addresses =
        (0..).zip(does).map(|(port, _)| SocketAddr::from(([127, 0, 0, 1], port))).collect();
    let began = Mutex::new(Vec::new());
    let connect = |address: SocketAddr| {
        began.lock().unwrap().push(start.elapsed().as_millis());
        let does = does[usize::from(address.port())];
        async move {
            match does {
                Does::Fail(after) => {
                    sleep(Duration::from_millis(after)).await;
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
                Does::Answer(after) => {
                    sleep(Duration::from_millis(after)).await;
                    Ok(address.port())
                }
                Does::Nothing => core::future::pending().await,
            }
        }
    };
    let mut tried = Vec::new();
    let won = race(addresses, connect, &mut tried).await;
    let tried = tried.iter().map(|tried| tried.0.port()).collect();
    (won, start.elapsed().as_millis(), began.into_inner().unwrap(), tried)
}

#[tokio::test(start_paused = true)]
async fn the_next_begins_a_quarter_of_a_second_later() {
    let does = [Does::Nothing, Does::Nothing, Does::Answer(100), Does::Nothing];
    assert_eq!(run(&does).await, (Some(2), 600, vec![0, 250, 500], vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_next_begins_at_once_when_one_fails() {
    let does = [Does::Nothing, Does::Fail(10), Does::Fail(20), Does::Answer(5)];
    assert_eq!(run(&does).await, (Some(3), 285, vec![0, 250, 260, 280], vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_answers_in_time_has_no_other_tried() {
    assert_eq!(run(&[Does::Answer(249), Does::Answer(0)]).await, (Some(0), 249, vec![0], vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_one_goes_on_beside_the_next() {
    let does = [Does::Answer(300), Does::Answer(100)];
    assert_eq!(run(&does).await, (Some(0), 300, vec![0, 250], vec![]));
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_each_is_named_in_order() {
    let does = [Does::Fail(900), Does::Fail(400), Does::Fail(0)];
    assert_eq!(run(&does).await, (None, 900, vec![0, 250, 500], vec![0, 1, 2]));
    assert_eq!(run(&[]).await, (None, 0, vec![], vec![]));
}
