use super::*;

fn listing(lines: &[&str]) -> Listing {
    // What the exceptions are for, so that none of them is in vain.
    let used = EXCEPTIONS.map(|one| format!("{}: {}::Type", one.within, one.crate_name));
    let lines = lines.iter().map(|line| (*line).to_owned()).chain(used).collect();
    Listing { lines, reexports: Vec::new() }
}

#[test]
fn the_language_its_async_traits_and_stable_crates_may_occur() {
    let line = "pub fn heartwire::a::B<T>::c(T::Item, &mut bytes::bytes_mut::BytesMut) \
                -> <T as futures_core::stream::Stream>::Item";
    assert_eq!(types(&[listing(&[line])]), [""; 0]);
}

#[test]
fn a_type_of_another_crate_is_found_wherever_it_stands() {
    for line in [
        "pub fn heartwire::a() -> core::option::Option<mio::Token>",
        "impl core::convert::From<mio::Token> for heartwire::A",
        "pub fn heartwire::a(&mio::Token)",
        "pub heartwire::a: [mio::Token; 2]",
    ] {
        let faults = types(&[listing(&[line])]);
        assert!(faults.len() == 1 && faults[0].contains("a type of mio"), "{faults:?}");
    }
}

#[test]
fn an_exception_holds_in_its_place_and_has_to_be_needed() {
    let line = "pub fn heartwire::client::a(tungstenite::protocol::message::Message)";
    assert_eq!(types(&[listing(&[line])]).len(), 1);
    assert_eq!(types(&[]).len(), EXCEPTIONS.len());
}

#[test]
fn a_foreign_item_offered_as_our_own_is_found() {
    let mut listing = listing(&[]);
    listing.reexports.push(("heartwire_core::Policy".to_owned(), "heartwire_core".to_owned()));
    assert_eq!(types(&[Listing { lines: listing.lines.clone(), ..listing }]), [""; 0]);
    let mut listing = self::listing(&[]);
    listing.reexports.push(("mio::Token".to_owned(), "mio".to_owned()));
    assert_eq!(types(&[listing]).len(), 1);
}
