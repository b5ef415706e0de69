use clap::ValueEnum;

use super::*;

#[test]
fn a_fault_is_typed_by_its_name() {
    assert_eq!(Fault::value_variants(), Fault::ALL);
    for fault in Fault::ALL {
        assert_eq!(Fault::from_str(fault.name(), false), Ok(fault));
    }
}

#[test]
fn every_class_of_the_plan_is_made() {
    for class in Class::ALL {
        let is_made = |fault: Fault, side| match fault.question(side) {
            Question::Found(made) | Question::FoundOrKept(made) => made == class,
            Question::Broken | Question::Healthy | Question::Blackout(_) => false,
        };
        let made = |side| Fault::ALL.into_iter().any(|fault| is_made(fault, side));
        assert!(made(Side::Client) && made(Side::Server), "{class:?}");
    }
}

#[test]
fn the_end_that_breaks_is_not_asked() {
    assert_eq!(Fault::ClientFrozen.question(Side::Client), Question::Broken);
    assert_eq!(Fault::ClientFrozen.question(Side::Server), Question::Found(Class::PeerFrozen));
    assert_eq!(Fault::ServerFrozen.question(Side::Client), Question::Found(Class::PeerFrozen));
    assert_eq!(Fault::ServerFrozen.question(Side::Server), Question::Broken);
    let one_is_asked = |fault: &Fault| {
        [Side::Client, Side::Server].iter().any(|&side| fault.question(side) != Question::Broken)
    };
    assert!(Fault::ALL.iter().all(one_is_asked));
}
