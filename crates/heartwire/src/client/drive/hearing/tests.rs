use std::net::TcpListener;

use heartwire_core::frame::{self, Kind};
use heartwire_core::v1::{Offer, Terms};
use heartwire_core::{Policy, Wire};
use tokio::net::TcpStream;

use super::*;
use crate::client::drive::DriverLink;
use crate::client::event::Reports;
use crate::client::outbox::Outbox;
use crate::client::outlet::Outlet;
use crate::client::transport::Transport;
use crate::client::{ClientConfig, Gate, WhileDisconnected, Wishes};
use crate::kernel::KernelOptions;
use crate::v1::Welcome;

/// How many bytes a client has kept after each of these chunks came from its server.
fn kept_after(chunks: &[Vec<u8>]) -> Vec<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = listener.local_addr().unwrap();
        let stream = TcpStream::connect(peer).await.unwrap();
        let kernel = KernelOptions::default().apply(&SockRef::from(&stream)).unwrap();
        let now = clock::now();
        let (gate, wishes) = (Gate::new(WhileDisconnected::Refuse), Wishes::new(now));
        let link = DriverLink { peer, kernel, gate: &gate, wishes: &wishes };
        let (reports, _events) = Reports::new(1024);
        let (mut outbox, mut outlet) = (Outbox::default(), Outlet::new(&reports, ""));
        let config = ClientConfig::new("").wire(Wire::V1);
        let transport = Transport::new(stream);
        let mut driver = Driver::new(transport, &[], &config, link, &mut outbox, &mut outlet);
        let mut kept = Vec::new();
        for chunk in chunks {
            driver.inbox.push(chunk);
            assert!(driver.feed(now).unwrap(), "there is room");
            kept.push(driver.inbox.bytes().len());
        }
        kept
    })
}

fn welcome() -> Vec<u8> {
    let offer = Offer::new(&Policy::default());
    Welcome::new(1, 0, Terms::new(offer).agree(&offer).unwrap()).encode()
}

fn pad(len: usize) -> Vec<u8> {
    let mut pad = Vec::from(frame::head(Kind::Pad, len).unwrap());
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
