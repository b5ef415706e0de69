use super::*;

#[test]
fn a_name_tells_its_maker() {
    let maker = Maker { pid: 12, started_at: 345 };
    let name = maker.name(6, "router");
    assert_eq!(name, "hwlab-12-345-6-router");
    assert_eq!(Maker::of(&name), Some(maker));
}

#[test]
fn names_of_other_programs_have_no_maker() {
    for name in ["", "hwlab", "hwlab-1", "hwlab-1-2-3", "hwlab-1-2-3-a-b", "hwlabx-1-2-3-a", "web"]
    {
        assert_eq!(Maker::of(name), None, "{name}");
    }
}

#[test]
fn this_process_runs_and_one_of_another_time_does_not() {
    let this = Maker::this().unwrap();
    assert!(this.is_running());
    assert!(!Maker { started_at: this.started_at + 1, ..this }.is_running());
}
