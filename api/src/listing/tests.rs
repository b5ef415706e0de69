use super::*;

#[test]
fn removed_and_added_items_are_shown_with_the_command_that_accepts_them() {
    let lines = ["pub fn x::same()", "pub fn x::new()"].map(str::to_owned).to_vec();
    let listing = Listing { lines, reexports: Vec::new() };
    let path = Utf8Path::new("api/x.txt");
    let fault = listing.differences("pub fn x::old()\npub fn x::same()\n", path).unwrap();
    assert!(fault.contains("\n-pub fn x::old()\n+pub fn x::new()\n"), "{fault}");
    assert!(fault.contains("api/run update") && !fault.contains("same"), "{fault}");
    assert_eq!(listing.differences(&listing.to_string(), path), None);
}
