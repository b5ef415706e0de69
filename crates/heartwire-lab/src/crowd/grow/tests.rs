use super::*;
use crate::crowd::report::tests::sample;

fn growth() -> Growth {
    Growth {
        machine: "2 cores (a <model>), Linux 6".to_owned(),
        time: "2026-11-28T03:00:00Z".to_owned(),
        command: "heartwire-lab crowd --grow --write".to_owned(),
        protocol: "v0".to_owned(),
        interval_ms: 60_000,
        timeout_ms: 150_000,
        sizes: SIZES.map(sample).to_vec(),
    }
}

#[test]
fn a_page_says_what_was_measured_where_when_and_how() {
    let page = page::page(&growth());
    let row = "| 1,000,000 | 50 | 2500000 | 6.25 µs (2.00 + 4.25) | 0.500 | 10.4 % of a processor \
               | 171 B | 9200 B | 4.0 / 9.0 / 10.0 / 11.0 | 10 | 0 | 0 | 0 |";
    assert!(page.contains(row), "{page}");
    for part in ["2 cores", "2026-11-28", "`heartwire-lab crowd --grow --write`", "growth.svg"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(page.lines().filter(|line| line.starts_with('|')).count(), 2 + SIZES.len());
}

#[test]
fn a_picture_has_a_point_for_each_figure() {
    let svg = chart::chart(&growth());
    // Two lines in each of three panels, and a dot in the legend of each line.
    assert_eq!(svg.matches("<circle").count(), 3 * 2 * (SIZES.len() + 1), "{svg}");
    assert_eq!(svg.matches("<polyline").count(), 3 * 2);
    assert!(svg.contains("a &lt;model>") && svg.ends_with("</svg>\n"), "{svg}");
}

#[test]
fn files_are_written_and_read_again() {
    let folder = tempfile::TempDir::new().unwrap();
    growth().write(folder.path()).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Growth>(&read("growth.json")).unwrap(), growth());
    assert!(read("growth.md").starts_with("# How cost grows"));
    assert!(read("growth.svg").starts_with("<svg"));
}

#[test]
fn command_has_all_that_was_asked_for() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    let asked = "--sizes 10,20 --interval 1s --timeout 5s --time 6s --freeze 0.5% --coalesce 5 \
                 --protocol v1 --threads 2 --per-process 15";
    let of = |asked: &str| {
        let words = format!("crowd --grow {asked}");
        typed(&<Cli as clap::Parser>::parse_from(words.split(' ')).args)
    };
    assert_eq!(of(asked), format!("heartwire-lab crowd --grow --write {asked}"));
    let defaults = "heartwire-lab crowd --grow --write --interval 20s";
    assert_eq!(of("--write elsewhere"), defaults);
}
