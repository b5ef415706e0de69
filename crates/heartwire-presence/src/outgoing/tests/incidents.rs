//! Many clients are lost at once.

use heartwire_core::v1::ByeCode;

use super::*;

const ID: &str = "eu-1-30000000";

/// `names` sessions, in 192.0.2.0/24 and 198.51.100.0/24 in turn, 30 s after the start.
fn fleet(names: u32) -> (Rig, Vec<SessionId>) {
    fleet_with(Settings::default(), names)
}

fn fleet_with(settings: Settings, names: u32) -> (Rig, Vec<SessionId>) {
    let mut rig = Rig::new(settings);
    rig.after(30_000);
    let peer = |n: u32| if n.is_multiple_of(2) { "192.0.2.1:1" } else { "198.51.100.1:1" };
    let sessions = (0..names).map(|n| rig.online_at(&format!("n{n}"), peer(n)).0).collect();
    (rig, sessions)
}

/// Lets `millis` pass, and counts the offline events of the incident that are told meanwhile.
fn offline_within(rig: &mut Rig, millis: u64) -> (usize, Vec<String>) {
    let end = rig.now.saturating_add(Duration::from_millis(millis));
    let (mut offline, mut others) = (0, Vec::new());
    loop {
        for told in rig.told() {
            let is_part = told.starts_with("offline ") && told.ends_with(ID);
            if is_part { offline += 1 } else { others.push(told) }
        }
        match rig.outgoing.deadline().filter(|&at| at <= end) {
            Some(at) => rig.now = at,
            None => break rig.now = end,
        }
    }
    (offline, others)
}

fn is_over(lasted: &str, lost: u32, returned: u32, gone: u32) -> Vec<String> {
    vec![format!(
        "incident {ID} is over after {lasted} s: of {lost} names lost, {returned} are back and \
         {gone} are offline"
    )]
}

#[test]
fn burst_that_comes_back_is_one_incident_and_no_offline() {
    let (mut rig, sessions) = fleet(1_000);
    for id in &sessions[..800] {
        rig.offline(*id, dead());
    }
    assert_eq!(rig.told(), [""; 0]);
    let text = "800 of 1000 clients were lost: far more than usual were lost at once; their \
                offline events are held for 1m, and all told within 67.0 s";
    assert_eq!(rig.after(1_000).told(), [format!("incident {ID}: {text}")]);
    rig.after(19_000);
    for n in 0..800 {
        assert_eq!(rig.online(&format!("n{n}")).1, format!("replaced n{n}"));
    }
    assert_eq!(rig.outgoing.counts().held, 0);
    assert_eq!(offline_within(&mut rig, 39_999), (0, vec![]));
    assert_eq!(offline_within(&mut rig, 1), (0, is_over("60.000", 800, 800, 0)));
    assert_eq!(rig.deadline(), None);
}

#[test]
fn burst_that_stays_away_is_one_incident_and_its_ends_are_paced() {
    let (mut rig, sessions) = fleet(1_000);
    for id in &sessions[..800] {
        rig.offline(*id, dead());
    }
    assert_eq!(offline_within(&mut rig, 59_999).0, 0);
    // One each 5 ms.
    assert_eq!(offline_within(&mut rig, 1).0, 1);
    assert_eq!(offline_within(&mut rig, 1_000).0, 200);
    rig.online("n799");
    let told = offline_within(&mut rig, 10_000);
    assert_eq!(told, (598, is_over("63.990", 800, 1, 799)));
}

#[test]
fn incident_says_its_size_and_shape_and_the_end_that_it_keeps() {
    let (mut rig, sessions) = fleet(1_000);
    for (n, id) in sessions[..61].iter().enumerate() {
        rig.outgoing.offline(rig.now, n % 2, *id, &dead());
    }
    rig.after(1_000);
    let wall = rig.now.as_nanos() / 1_000;
    let Some(Out::Incident(incident)) = rig.outgoing.poll(rig.now, wall) else { panic!() };
    let json = serde_json::to_value(&incident).unwrap();
    let network = |network, lost| serde_json::json!({"network": network, "lost": lost});
    let networks = [network("192.0.2.0/24", 31), network("198.51.100.0/24", 30)];
    assert_eq!(json["networks"], serde_json::json!(networks));
    assert_eq!(json["shards"], serde_json::json!([31, 30]));
    assert_eq!(json["cause"], "burst");
    assert_eq!(json["incident"], ID);
    let (began, held_until) = (30_000_000, 90_000_000);
    assert_eq!((incident.began, incident.held_until), (began, held_until));
    // A lost client waits 2 s in any case, and 1,000 are told in 5 s.
    assert_eq!(incident.released_by, held_until + 7_000_000);
}

#[test]
fn losses_that_go_on_delay_the_incident_by_ten_seconds() {
    let (mut rig, sessions) = fleet(1_000);
    let mut told = vec![];
    for id in &sessions[..500] {
        rig.offline(*id, dead());
        told.extend(rig.after(25).told());
    }
    // 51 were lost after 1.25 s, so it is told after 11.25 s: by then 450 were.
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(": 450 of 1000 clients were lost"), "{told:?}");
    assert_eq!(rig.outgoing.counts().held_by_incident, 500);
}

#[test]
fn incident_ends_although_clients_are_lost_all_the_time() {
    let (mut rig, sessions) = fleet(1_000);
    for id in &sessions[..100] {
        rig.offline(*id, dead());
    }
    offline_within(&mut rig, 50_000);
    // A client each second, of which each waits for two: one is waiting always.
    let mut others = vec![];
    for id in &sessions[100..200] {
        rig.offline(*id, dead());
        others.extend(offline_within(&mut rig, 1_000).1);
    }
    let over: Vec<_> = others.iter().filter(|told| told.contains(" is over ")).collect();
    assert_eq!(over, is_over("61.000", 110, 0, 110).iter().collect::<Vec<_>>(), "{others:?}");
    assert_eq!(others.len(), 1 + 89, "those lost later are no part of it: {others:?}");
}

#[test]
fn few_losses_are_no_incident_and_wait_two_seconds() {
    // 5 % of 1,000, and 19 of 100.
    for (names, lost) in [(1_000, 50), (100, 19)] {
        let (mut rig, sessions) = fleet(names);
        for id in &sessions[..lost] {
            rig.offline(*id, Reason::Reset);
        }
        assert_eq!(rig.after(1_999).told(), [""; 0]);
        assert_eq!(rig.after(1).told().len(), lost);
        assert_eq!(rig.deadline(), None);
    }
}

#[test]
fn clients_that_leave_are_no_incident_and_wait_for_nothing() {
    let (mut rig, sessions) = fleet(100);
    for id in sessions {
        assert_eq!(rig.offline(id, Reason::Bye(ByeCode::Done)).told().len(), 1);
    }
    assert_eq!(rig.deadline(), None);
}

#[test]
fn losses_as_usual_are_no_burst() {
    let (mut rig, mut sessions) = fleet(200);
    // Each 2 s a client is lost, and comes back 3 s later.
    for n in 0..1_800 {
        rig.offline(sessions[n % 200], Reason::Reset).after(2_000).told();
        rig.after(1_000).told();
        sessions[n % 200] = rig.online(&format!("n{}", n % 200)).0;
    }
    // A third per second is usual, so 20 in 10 s are not 20 times as many.
    for id in &sessions[..60] {
        rig.offline(*id, Reason::Reset);
    }
    let told = rig.after(2_000).told();
    assert_eq!(told.len(), 60, "{told:?}");
}

#[test]
fn own_pause_makes_fewer_losses_an_incident() {
    for (millis, is_incident) in [(999, false), (40_000, true)] {
        let (mut rig, sessions) = fleet(1_000);
        rig.paused(millis);
        for id in &sessions[..15] {
            assert_eq!(rig.offline(*id, Reason::ClosedByPeer).told(), [""; 0]);
        }
        // Another shard tells of it.
        rig.paused(millis);
        for id in &sessions[15..20] {
            assert_eq!(rig.offline(*id, Reason::ClosedByPeer).told(), [""; 0]);
        }
        let told = rig.after(1_000).told();
        assert_eq!(told.len(), usize::from(is_incident));
        let text = "20 of 1000 clients were lost: this node was paused for 40.000 s;";
        assert!(told.iter().all(|told| told.contains(text)), "{told:?}");
    }
}

#[test]
fn own_pause_of_long_ago_is_no_evidence() {
    let (mut rig, sessions) = fleet(1_000);
    rig.paused(40_000);
    rig.after(120_000);
    for id in &sessions[..20] {
        rig.offline(*id, dead());
    }
    assert_eq!(rig.after(2_000).told().len(), 20);
}

#[test]
fn interface_that_went_down_makes_a_single_loss_of_few_an_incident() {
    let (mut rig, sessions) = fleet(20);
    rig.outgoing.interface_down(rig.now, "eth0");
    rig.after(30_000).offline(sessions[0], dead());
    let told = rig.after(1_000).told();
    assert!(told[0].contains(": 1 of 20 clients were lost: interface eth0 went down;"), "{told:?}");
}

#[test]
fn slow_losses_are_an_incident_if_nothing_comes_from_any_client() {
    let (mut rig, sessions) = fleet(10_000);
    let mut told = vec![];
    for (second, ids) in sessions[..400].chunks(20).enumerate() {
        // Something comes in the first ten seconds.
        rig.outgoing.arrivals(rig.now, u64::try_from(second.min(10)).unwrap());
        ids.iter().for_each(|&id| _ = rig.offline(id, dead()));
        told.extend(rig.after(1_000).told());
    }
    let (incidents, offline): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|told| told.starts_with("incident "));
    assert_eq!(incidents.len(), 1);
    // Told 10 s after it began, in which 200 were lost, after the 40 that waited.
    let text = "clients were lost: nothing came from any client;";
    assert!(incidents[0].contains(text), "{incidents:?}");
    // 14 s of losses, and 2 of them waited.
    assert_eq!(offline.len(), 20 * 14, "{offline:?}");
    assert_eq!(rig.outgoing.counts().held_by_incident, 400 - 20 * 14);
}

#[test]
fn silence_is_told_once_however_long_it_lasts() {
    let (mut rig, sessions) = fleet(200);
    let mut incidents = 0;
    for second in 0..600 {
        rig.outgoing.arrivals(rig.now, 1);
        // Within 5 s all clients are lost, and then there is none.
        for id in sessions.iter().skip(second * 40).take(40) {
            rig.offline(*id, dead());
        }
        let told = rig.after(1_000).told();
        incidents += told.iter().filter(|told| told.contains(" clients were lost:")).count();
    }
    assert_eq!(incidents, 1);
}

#[test]
fn incident_within_an_hour_holds_nothing_but_keeps_the_pace() {
    let (mut rig, sessions) = fleet(2_000);
    for id in &sessions[..1_000] {
        rig.offline(*id, dead());
    }
    let (offline, others) = offline_within(&mut rig, 70_000);
    assert_eq!((offline, others.len()), (1_000, 2));
    // The end of the first was 5 s ago.
    rig.after(3_590_000);
    for id in &sessions[1_000..] {
        rig.offline(*id, dead());
    }
    let told = rig.told();
    assert_eq!(told.len(), 1, "told at once");
    assert!(
        told[0].contains("not held, because the last incident was less than an hour ago"),
        "{told:?}"
    );
    // The two seconds that each waits, and what is owed for them at most a second.
    assert_eq!(rig.after(1_999).told(), [""; 0]);
    assert_eq!(rig.after(1).told().len(), 201);
    let mut rest = vec![];
    while let Some(at) = rig.outgoing.deadline() {
        rig.now = at;
        rest.extend(rig.told());
    }
    assert_eq!(rest.len(), 800);
    assert!(rest[799].contains(" is over after 5.9"), "{:?}", rest[799]);
}

#[test]
fn incident_where_hold_is_0_says_so() {
    let settings = Settings { hold: Some(Duration::ZERO), ..Settings::default() };
    let (mut rig, sessions) = fleet_with(settings, 1_000);
    for id in &sessions[..800] {
        rig.offline(*id, dead());
    }
    let told = rig.after(1_000).told();
    assert!(told[0].contains("not held, because `hold` is 0"), "{told:?}");
}

#[test]
fn incident_an_hour_later_holds_again() {
    let (mut rig, sessions) = fleet(2_000);
    for id in &sessions[..1_000] {
        rig.offline(*id, dead());
    }
    offline_within(&mut rig, 70_000);
    rig.after(3_600_000);
    for id in &sessions[1_000..] {
        rig.offline(*id, dead());
    }
    let told = rig.after(1_000).told();
    assert!(told[0].contains("are held for 1m,"), "{told:?}");
}

#[test]
fn node_that_ends_tells_what_an_incident_holds() {
    let (mut rig, sessions) = fleet(100);
    for id in &sessions[..30] {
        rig.offline(*id, dead());
    }
    rig.outgoing.close(rig.now);
    let told = rig.told();
    assert_eq!(told.len(), 32, "{told:?}");
    assert!(told[0].starts_with("incident ") && told[31].contains("is over"), "{told:?}");
    assert_eq!(rig.offline(sessions[30], Reason::Shutdown).told().len(), 1);
    assert_eq!(rig.outgoing.counts().held, 0);
}

#[test]
fn name_of_an_incident_that_is_on_another_node_has_returned() {
    let (mut rig, sessions) = fleet(100);
    for id in &sessions[..30] {
        rig.offline(*id, dead());
    }
    rig.outgoing.moved(rig.now, "n3", 1_000);
    assert_eq!(rig.told(), ["offline n3: dead"]);
    let (offline, others) = offline_within(&mut rig, 70_000);
    assert_eq!(offline, 29);
    assert!(others[1].contains("of 30 names lost, 1 are back and 29 are offline"), "{others:?}");
}

#[test]
fn pause_in_the_release_ends_in_a_second_of_it_at_once() {
    let (mut rig, sessions) = fleet(1_000);
    for id in &sessions[..900] {
        rig.offline(*id, dead());
    }
    offline_within(&mut rig, 61_000);
    assert_eq!(rig.after(60_000).told().len(), 201);
}

#[test]
fn losses_as_usual_after_an_own_pause_are_no_incident() {
    let (mut rig, mut sessions) = fleet(200);
    // Each second a client is lost, and comes back at once.
    for n in 0..1_000 {
        if n == 900 {
            rig.paused(2_000);
        }
        rig.offline(sessions[n % 200], Reason::Reset);
        sessions[n % 200] = rig.online(&format!("n{}", n % 200)).0;
        assert_eq!(rig.after(1_000).told(), [""; 0]);
    }
}

#[test]
fn losses_one_after_the_other_after_an_own_pause_are_no_incident() {
    let (mut rig, sessions) = fleet(1_000);
    rig.after(3_600_000);
    rig.paused(2_000);
    for (n, id) in sessions[..20].iter().enumerate() {
        let told = rig.offline(*id, dead()).after(5_000).told();
        assert_eq!(told, [format!("offline n{n}: dead")]);
    }
}
