use super::*;

const GIB: u64 = 1 << 30;

/// One that holds a million.
fn machine() -> Machine {
    Machine { descriptors: 20_000, files: 2_400_000, memory: 23 * GIB, pages: 570_000 }
}

fn layout(sessions: u32) -> Layout {
    Layout::new(sessions, machine().per_process().unwrap())
}

#[test]
fn sessions_are_divided_among_as_many_servers_as_descriptors_demand() {
    assert_eq!(machine().per_process().unwrap(), 19_936);
    assert_eq!(layout(19_936).pairs, 1);
    assert_eq!(layout(19_937).pairs, 2);
    assert_eq!(layout(1_000_000).pairs, 51);
}

#[test]
fn parts_are_even_and_none_is_lost() {
    let layout = Layout::new(1_000, 150);
    let parts: Vec<Range<u32>> = (0..layout.pairs).map(|pair| layout.part(1_000, pair)).collect();
    assert_eq!(parts.len(), 7);
    assert_eq!((parts[0].start, parts[6].end), (0, 1_000));
    for (one, next) in parts.iter().zip(&parts[1..]) {
        assert_eq!(one.end, next.start);
    }
    assert!(parts.iter().all(|part| (142..=143).contains(&part.len())));
}

#[test]
fn a_million_fits_where_it_was_measured() {
    machine().check(&layout(1_000_000), 1).unwrap();
}

#[test]
fn memory_of_a_crowd_is_told_beside_what_there_is() {
    assert_eq!(machine().memory(&layout(1_000_000)), "about 10.5 of 23.0 GiB of memory");
}

#[test]
fn missing_memory_is_named_with_how_many_would_do() {
    let small = Machine { memory: 4 * GIB, ..machine() };
    let said = small.check(&layout(1_000_000), 1).unwrap_err().to_string();
    assert!(said.starts_with("1000000 sessions do not fit"), "{said}");
    assert!(said.contains("MemAvailable"), "{said}");
    let most: u32 = said.rsplit_once("--sessions ").unwrap().1.parse().unwrap();
    assert!((200_000..400_000).contains(&most), "{said}");
    // So many do fit, and one part in a hundred more does not.
    small.check(&layout(most), 1).unwrap();
    small.check(&layout(most + most / 100), 1).unwrap_err();
}

#[test]
fn beats_that_wait_in_the_kernel_take_pages_of_its_limit() {
    let said = machine().check(&layout(1_000_000), 16).unwrap_err().to_string();
    assert!(said.contains("tcp_mem") && said.ends_with("--sessions 605738"), "{said}");
    machine().check(&layout(1_000_000), 0).unwrap();
}

#[test]
fn open_files_of_the_machine_count_both_ends() {
    let few = Machine { files: 20_000, ..machine() };
    assert!(few.check(&layout(9_800), 1).is_ok());
    let said = few.check(&layout(10_001), 1).unwrap_err().to_string();
    assert!(said.contains("fs.file-max"), "{said}");
}

#[test]
fn descriptors_of_the_command_itself_are_counted() {
    let few = Machine { descriptors: 100, ..machine() };
    let layout = Layout::new(5_000, few.per_process().unwrap());
    let said = few.check(&layout, 1).unwrap_err().to_string();
    assert!(said.contains("ulimit -n"), "{said}");
    assert!(Machine { descriptors: SPARE, ..machine() }.per_process().is_err());
}

#[test]
fn a_machine_without_limits_has_room() {
    let most = u64::MAX;
    let machine = Machine { descriptors: most, files: most, memory: most, pages: most };
    let layout = Layout::new(10_000_000, machine.per_process().unwrap());
    assert_eq!(layout.pairs, 1);
    machine.check(&layout, 16).unwrap();
}

#[test]
fn this_machine_is_read() {
    let this = Machine::this().unwrap();
    assert!(this.descriptors > 0 && this.files > 0 && this.memory > 0 && this.pages > 0);
}

#[test]
fn pages_of_sockets_are_found_by_name() {
    let text = "sockets: used 288\nTCP: inuse 5 orphan 0 tw 2 alloc 9 mem 41\nUDP: inuse 1 mem 7\n";
    assert_eq!(parse_pages(text), Some(41));
    assert_eq!(parse_available("MemTotal: 5 kB\nMemAvailable:   12 kB\n"), Some(12 << 10));
}
