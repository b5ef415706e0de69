//! A wrong recording is found, and a right one is not.

use super::*;

const S: Micros = 1_000_000;

fn present(names: &[(&str, &str, &str)]) -> BTreeMap<String, Present> {
    let present = |&(name, node, session): &(&str, &str, &str)| {
        (name.to_owned(), Present { node: node.to_owned(), session: session.to_owned() })
    };
    names.iter().map(present).collect()
}

fn entries(told: &[(&str, &str, u64)]) -> Vec<Entry> {
    let entry = |(number, &(kind, name, epoch)): (u64, &(&str, &str, u64))| Entry {
        number,
        kind: kind.to_owned(),
        name: name.to_owned(),
        epoch,
        node: format!("node of {epoch}"),
    };
    (1..).zip(told).map(entry).collect()
}

fn promises(breaches: &[Breach]) -> Vec<&'static str> {
    breaches.iter().map(|breach| breach.promise).collect()
}

/// `x` on node 0, and `y` on node 1.
fn two_names() -> Recording {
    let mut recording = Recording::default();
    recording.online(S, 0, "x", "0-1-1");
    recording.online(S, 1, "y", "0-1-1");
    recording
}

#[test]
fn names_that_are_elsewhere_or_offline_or_too_many_are_found() {
    let recording = two_names();
    let differing = |names: &[(&str, &str, &str)]| {
        equals(&recording, &["a", "b"], &present(names)).into_iter().map(|it| it.seen).collect()
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(differing(&[("x", "a", "0-1-1"), ("y", "b", "0-1-1")]), none);
    let elsewhere: Vec<String> = differing(&[("x", "b", "0-1-1"), ("y", "b", "0-1-1")]);
    assert_eq!(elsewhere, ["x is 0-1-1 on a, in Redis 0-1-1 on b"]);
    let older: Vec<String> = differing(&[("x", "a", "0-1-0"), ("y", "b", "0-1-1")]);
    assert_eq!(older, ["x is 0-1-1 on a, in Redis 0-1-0 on a"]);
    let lost: Vec<String> = differing(&[("x", "a", "0-1-1")]);
    assert_eq!(lost, ["y is 0-1-1 on b, in Redis offline"]);
    let ghost: Vec<String> =
        differing(&[("x", "a", "0-1-1"), ("y", "b", "0-1-1"), ("z", "a", "0-2-1")]);
    assert_eq!(ghost, ["z is offline, in Redis 0-2-1 on a"]);
}

#[test]
fn name_on_two_nodes_is_no_truth_that_presence_could_equal() {
    let mut recording = two_names();
    recording.online(2 * S, 1, "x", "0-2-1");
    let there = present(&[("x", "b", "0-2-1"), ("y", "b", "0-1-1")]);
    assert_eq!(
        promises(&equals(&recording, &["a", "b"], &there)),
        ["equals-the-truth"],
        "{recording:?}"
    );
    recording.offline(3 * S, 0, "0-1-1");
    assert_eq!(equals(&recording, &["a", "b"], &there), []);
}

#[test]
fn sessions_of_a_node_that_died_have_ended() {
    let mut recording = two_names();
    recording.died(2 * S, 0);
    assert_eq!(recording.now().into_keys().collect::<Vec<_>>(), ["y"]);
    assert_eq!((recording.count(), recording.changed_at()), (1, 2 * S));
}

#[test]
fn name_on_two_nodes_for_too_long_is_found_unless_there_was_trouble() {
    let two = |troubles: &[(Option<usize>, Micros, Micros)]| {
        let mut recording = two_names();
        recording.online(10 * S, 1, "x", "0-2-1");
        recording.offline(16 * S, 0, "0-1-1");
        for &(node, from, to) in troubles {
            recording.trouble(node, from, to);
        }
        promises(&never_on_two(&recording, 5 * S, 60 * S))
    };
    assert_eq!(two(&[]), ["never-on-two-nodes"]);
    assert_eq!(two(&[(Some(0), 9 * S, 11 * S)]), Vec::<&str>::new());
    assert_eq!(two(&[(None, 12 * S, 13 * S)]), Vec::<&str>::new());
    assert_eq!(two(&[(Some(2), 9 * S, 15 * S)]), ["never-on-two-nodes"], "another node's");
    assert_eq!(two(&[(Some(0), 2 * S, 9 * S)]), ["never-on-two-nodes"], "over before");
    assert_eq!(two(&[(Some(1), 15 * S, 16 * S), (Some(1), 9 * S, 10 * S)]), Vec::<&str>::new());
}

#[test]
fn name_that_stays_on_two_nodes_until_the_end_is_found() {
    let mut recording = two_names();
    recording.online(10 * S, 1, "x", "0-2-1");
    assert_eq!(promises(&never_on_two(&recording, 5 * S, 14 * S)), Vec::<&str>::new());
    assert_eq!(promises(&never_on_two(&recording, 5 * S, 16 * S)), ["never-on-two-nodes"]);
}

#[test]
fn stream_out_of_order_is_found() {
    let right = [("online", "x", 5), ("moved", "x", 7), ("offline", "x", 7), ("online", "x", 8)];
    assert_eq!(in_order(&entries(&right)), []);
    // The same session, on its node that goes on under another id.
    assert_eq!(in_order(&entries(&[("online", "x", 5), ("moved", "x", 5)])), []);
    // A newer session took the name on the same node, which is not told.
    assert_eq!(in_order(&entries(&[("online", "x", 5), ("offline", "x", 9)])), []);
    // The stream's beginning may have been cut off.
    assert_eq!(in_order(&entries(&[("offline", "x", 5), ("moved", "y", 5)])), []);
    for (told, promise) in [
        ([("online", "x", 5), ("offline", "x", 4)], "no-offline-after-newer-online"),
        ([("moved", "x", 5), ("offline", "x", 4)], "no-offline-after-newer-online"),
        ([("offline", "x", 5), ("offline", "x", 5)], "online-and-offline-in-turn"),
        ([("online", "x", 5), ("online", "x", 6)], "online-and-offline-in-turn"),
        ([("offline", "x", 5), ("moved", "x", 6)], "online-and-offline-in-turn"),
        ([("online", "x", 5), ("moved", "x", 4)], "newest-wins"),
    ] {
        assert_eq!(promises(&in_order(&entries(&told))), [promise], "{told:?}");
    }
    let mut elsewhere = entries(&[("online", "x", 5), ("moved", "x", 5)]);
    elsewhere[1].node = "another".to_owned();
    assert_eq!(promises(&in_order(&elsewhere)), ["newest-wins"]);
    let mut twice = entries(&[("online", "x", 5), ("offline", "x", 5)]);
    twice[1].number = 1;
    assert_eq!(promises(&in_order(&twice)), ["numbers-grow"]);
}

#[test]
fn stream_that_leads_elsewhere_is_found() {
    let there = present(&[("x", "a", "0-1-1")]);
    let leads = |told: &[(&str, &str, u64)]| promises(&stream_leads_to(&entries(told), &there));
    assert_eq!(leads(&[("online", "x", 1), ("online", "y", 2), ("offline", "y", 2)]), [""; 0]);
    for wrong in [
        &[("online", "x", 1), ("offline", "x", 1)][..],
        &[("online", "x", 1), ("online", "y", 2)],
        &[],
    ] {
        assert_eq!(leads(wrong), ["stream-leads-to-presence"], "{wrong:?}");
    }
}

#[test]
fn client_that_is_stranded_is_found() {
    let recording = two_names();
    let wanted = |names: &[(&str, bool)]| {
        let wanted = names.iter().map(|&(name, wants)| (name.to_owned(), wants)).collect();
        promises(&all_who_want(&recording, &wanted))
    };
    assert_eq!(wanted(&[("x", true), ("y", true), ("z", false)]), [""; 0]);
    assert_eq!(wanted(&[("x", true), ("y", true), ("z", true)]), ["clients-are-where-they-want"]);
    assert_eq!(wanted(&[("x", true), ("y", false)]), ["clients-are-where-they-want"]);
}
