use super::*;

#[test]
fn every_line_is_a_seed_with_its_reason_or_a_remark() {
    let lines = include_str!("../../../seeds/kept.txt").lines();
    let seeds = lines.filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    assert_eq!(kept().count(), seeds);
    assert!(kept().all(|kept| !kept.why.is_empty()));
}
