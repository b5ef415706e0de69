use core::time::Duration;

use heartwire_core::Policy;
use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;
use heartwire_core::v1::{Offer, Terms};

use tracing::Span;

use super::*;
use crate::client::rig::Application;
use crate::client::{ClientConfig, V1};
use crate::toy::Toy;
use crate::v1::Welcome;

/// How many bytes a client has kept after each of these chunks came from its server.
fn kept_after(chunks: &[Vec<u8>]) -> Vec<usize> {
    let toy = Toy::new();
    let config = ClientConfig::new("").v1(V1::default());
    let (_application, mut app) = Application::of(&config, &toy);
    let mut driver = Driver::new(toy.clone(), toy.dialled(), &config, None, Span::none(), &mut app);
    let mut kept = Vec::new();
    for chunk in chunks {
        driver.inbox.push(chunk);
        assert!(driver.feed(&mut app, toy.now()).unwrap(), "there is room");
        kept.push(driver.inbox.bytes().len());
    }
    kept
}

fn welcome() -> Vec<u8> {
    let offer = Offer::new(&Policy::default());
    Welcome::new(1, 0, Terms::new(offer).agree(&offer).unwrap()).encode()
}

fn pad(len: usize) -> Vec<u8> {
    let mut pad = Vec::from(codec::header(Kind::Pad, len).unwrap());
    pad.resize(pad.len() + len, 0);
    pad
}

#[test]
fn frames_that_mean_nothing_are_not_kept() {
    let half = pad(100)[..50].to_vec();
    let chunks = [welcome(), pad(0), pad(65_536), [pad(7), pad(0), half].concat(), vec![0; 58]];
    assert_eq!(kept_after(&chunks), [0, 0, 0, 50, 0]);
}

#[test]
fn beats_of_v0_before_the_welcome_are_not_kept() {
    let hearts = vec![0; 8 * 1000];
    assert_eq!(kept_after(&[hearts.clone(), [hearts, vec![0; 3]].concat()]), [0, 3]);
}

/// What a read leaves in the socket has not just come because the socket was read just now.
#[test]
fn bytes_that_do_not_fit_into_one_read_are_as_old_as_the_rest() {
    let toy = Toy::new();
    let config = ClientConfig::new("").v0();
    let (_application, mut app) = Application::of(&config, &toy);
    let mut driver = Driver::new(toy.clone(), toy.dialled(), &config, None, Span::none(), &mut app);
    for hearts in [2_048, 2_049, 10_000] {
        toy.send(&vec![0; 8 * hearts]);
        let came_at = toy.state().arrived_at;
        toy.pass(Duration::from_millis(90));
        while !toy.state().inbound.is_empty() {
            driver.read(&mut app, toy.now()).unwrap();
            toy.pass(Duration::from_millis(9));
        }
        let off = driver.connection().last_heard().saturating_since(came_at);
        assert!(off <= Duration::from_millis(13), "{hearts} beats seem {off:?} younger");
    }
}
