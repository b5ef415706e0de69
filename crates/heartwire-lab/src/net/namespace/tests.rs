use super::*;

#[test]
fn a_name_tells_its_owner() {
    let owner = Owner { pid: 12, started_at: 345 };
    let name = owner.name(6, "router");
    assert_eq!(name, "hwlab-12-345-6-router");
    assert_eq!(Owner::of(&name), Some(owner));
}

#[test]
fn what_others_made_has_no_owner_here() {
    for name in ["", "hwlab", "hwlab-1", "hwlab-1-2-3", "hwlab-1-2-3-a-b", "hwlabx-1-2-3-a", "web"]
    {
        assert_eq!(Owner::of(name), None, "{name}");
    }
}

#[test]
fn this_process_runs_and_one_of_another_time_does_not() {
    let this = Owner::this().unwrap();
    assert!(this.is_running());
    assert!(!Owner { started_at: this.started_at + 1, ..this }.is_running());
}
