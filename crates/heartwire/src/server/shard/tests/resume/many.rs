//! Servers on which any number of sessions may have the same name.

use heartwire_core::resume::Position;
use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{Got, ms};

use super::{Client, resumable};
use crate::server::auth::Tokens;
use crate::server::limits::Admission;
use crate::server::rig::Rig;
use crate::server::{Protocols, ServerConfig};

const A: &[u8] = b"aaaaaaaaaaaaaaaaaaaa";
const B: &[u8] = b"bbbbbbbbbbbbbbbbbbbb";

fn many(tokens: &Tokens) -> ServerConfig {
    resumable()
        .protocols(Protocols::V1WithTokens(tokens.clone()))
        .admission(Admission::default().many_per_name(true))
}

fn tokens() -> Tokens {
    Tokens::parse("a aaaaaaaaaaaaaaaaaaaa\nb bbbbbbbbbbbbbbbbbbbb").unwrap()
}

#[test]
fn many_sessions_of_a_name_live_side_by_side_and_each_goes_on_with_its_own() {
    let mut rig = Rig::start(many(&tokens()));
    let (mut first, first_id) = Client::online_as(&mut rig, Some("a"), Some(A));
    let (mut second, second_id) = Client::online_as(&mut rig, Some("a"), Some(A));
    assert_ne!(first_id, second_id);
    rig.expect_nothing();
    assert_eq!(rig.handle.count(), 2);
    for (client, id) in [(&first, first_id), (&second, second_id)] {
        client.toy.data(&id.as_u64().to_le_bytes());
        rig.run();
        rig.expect_data(id, &id.as_u64().to_le_bytes());
    }
    first.lose(&mut rig, first_id);
    second.lose(&mut rig, second_id);
    second.resume(&mut rig, Position::default());
    rig.back(second_id, ms(0));
    first.resume(&mut rig, Position::default());
    rig.back(first_id, ms(0));
    rig.expect_nothing();
    assert_eq!((rig.handle.count(), rig.handle.away()), (2, 0));
}

#[test]
fn many_sessions_of_a_name_still_need_its_token_and_the_name_to_go_on() {
    let all = tokens();
    let mut rig = Rig::start(many(&all));
    let (mut client, id) = Client::online_as(&mut rig, Some("a"), Some(A));
    client.lose(&mut rig, id);
    let mut refused = |rig: &mut Rig, name, token| {
        let mut hello = client.resuming(Position::default());
        (hello.name, hello.token) = (name, token);
        client.connect_with(rig, &hello);
        let got = client.toy.got_but_beats();
        let [Got::Bye(ByeCode::Unauthorized, RetryHint::Never, _)] = got[..] else {
            panic!("{name:?} is not refused: {got:?}")
        };
        assert_eq!(rig.handle.away(), 1);
        rig.expect_nothing();
    };
    refused(&mut rig, Some("a"), Some(B));
    refused(&mut rig, Some("a"), None);
    // Its own name, which is not that of the session.
    refused(&mut rig, Some("b"), Some(B));
    refused(&mut rig, None, None);
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
}
