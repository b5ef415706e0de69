//! Random programs in C: those of the fuzz target, drawn here without a fuzzer.
// Some of them ask for such sessions.
#![cfg(feature = "resume")]
#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "the fuzz targets are a workspace of their own, without these lints"
)]

use proptest::prelude::*;

#[path = "../../../fuzz/src/c_client.rs"]
mod c_client;

/// A step with its numbers: most of those that keep a connection going, few of those that end it.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![
        2 => Just(0_u8), 1 => Just(1), 1 => Just(2), 8 => Just(3), 3 => Just(4), 2 => Just(5),
        5 => Just(6), 4 => Just(7), 6 => Just(8), 6 => Just(9), 1 => Just(10), 2 => Just(11),
        1 => Just(12), 8 => Just(13), 3 => Just(14), 1 => Just(15),
    ];
    (op, prop::collection::vec(any::<u8>(), 0..6)).prop_map(|(op, rest)| [vec![op], rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_client_keeps_to_its_header(
        start in any::<[u8; 4]>(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let welcome = [0, 8, 255, 3, 0, 1, 1, 13, 9, 8, 255];
        c_client::run(&[&start[..], &welcome, &steps.concat()].concat());
    }

    #[test]
    fn bytes_that_are_no_program_do_no_harm(program in prop::collection::vec(any::<u8>(), 0..400)) {
        c_client::run(&program);
    }
}
