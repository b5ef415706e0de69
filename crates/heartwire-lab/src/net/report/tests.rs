use super::*;
use crate::net::both::Both;
use crate::net::client::Client;
use crate::net::expect::Promise;
use crate::net::herds::{Herd, Trial};
use crate::net::impair::Profile;
use crate::net::judge::Sight;
use heartwire_core::Preset;
use heartwire_plan::Mechanism;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn side(expected: Expected, seen: Seen, judgement: Judgement) -> SideRecord {
    SideRecord { expected, seen, judgement }
}

fn found(after: u64, judgement: Judgement) -> SideRecord {
    let by = vec![Mechanism::Silence, Mechanism::Reset];
    let promise = Promise { earliest: ms(1900), latest: ms(3100), by };
    let (how, detail) = (How::Silence, "dead: silent".to_owned());
    let sight = Sight {
        after: Some([ms(after), ms(after + 10)]),
        how,
        detail,
        own_bound: Some([3000.0, 3100.0]),
    };
    side(Expected::Found(promise), Seen::Something(sight), judgement)
}

fn never() -> SideRecord {
    let nothing = Seen::Nothing { during: ms(20_000) };
    side(Expected::Never, nothing, Judgement::AsPlanned)
}

fn record(client: SideRecord, server: SideRecord) -> Record {
    let (fault, detector) = (Fault::GoneIdle, Detector::BothWays);
    Record { fault, detector, client: Client::Connect, sides: Both { client, server } }
}

fn report(records: Vec<Record>) -> Report {
    let herd = Herd {
        trial: Trial::Loss { percent: 20, preset: Preset::Fast },
        clients: 10,
        time: ms(9000),
    };
    Report {
        machine: Machine { kernel: "6.1".to_owned(), processors: 2, time: SystemTime::UNIX_EPOCH },
        seed: 7,
        observe: ms(20_000),
        took: ms(60_000),
        near: Matrix { profile: None, records },
        far: Matrix::default(),
        long: Matrix::default(),
        links: vec![LinkRecord {
            profile: Profile { delay: ms(10), ..Profile::default() },
            time: ms(5000),
            sent: 3,
            arrived: 3,
            lost: Vec::new(),
        }],
        herds: vec![HerdRecord {
            herd,
            took: ms(9000),
            beats: [1_500_000, 500_000],
            dead: [3, 2],
            otherwise: 5,
            pauses: 0,
        }],
        beside: Beside::default(),
        errors: Vec::new(),
    }
}

#[test]
fn several_runs_of_a_cell_are_shown_as_what_they_span() {
    let runs = [2500, 2000, 2250].map(|after| found(after, Judgement::Inside));
    let matrix =
        Matrix { profile: None, records: runs.map(|client| record(client, never())).to_vec() };
    assert_eq!(matrix.short(Fault::GoneIdle, Detector::BothWays), "2.00–2.50 / never");
    assert_eq!(matrix.short(Fault::GoneIdle, Detector::None), "");
    assert_eq!(matrix.resolution(), [ms(10); 2]);
    assert_eq!(matrix.asked(), 6);
}

#[test]
fn one_wrong_run_makes_the_whole_report_wrong() {
    let right = || record(found(2500, Judgement::Inside), never());
    assert!(report(vec![right()]).is_right());
    let late = record(found(3200, Judgement::Late), never());
    let wrong = report(vec![right(), late, right()]);
    assert!(!wrong.is_right());
    let [(_, chart), (_, summary)] = charts(&json(&wrong)).unwrap();
    for told in [text(&wrong), markdown(&wrong), json(&wrong), chart, summary] {
        assert!(told.contains("LATE"), "{told}");
    }
    let mut unmeasured = report(vec![right()]);
    unmeasured.errors.push("no such rule".to_owned());
    assert!(!unmeasured.is_right());
    assert!(text(&unmeasured).contains("not measured: no such rule"));
    assert!(
        markdown(&unmeasured)
            .contains("**All measurements are as planned; some could not be made.**")
    );
}

#[test]
fn the_charts_in_the_repository_show_its_figures() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let figures = fs::read_to_string(docs.join("faults.json")).unwrap();
    for (name, drawn) in charts(&figures).unwrap() {
        let kept = fs::read_to_string(docs.join(name)).unwrap_or_default();
        // They are long: `git diff` shows the difference.
        assert!(
            kept == drawn,
            "docs/{name} is not what would be drawn now: run \
             `cargo run -p heartwire-lab -- net --draw docs`, and look at it"
        );
    }
}

/// The results take a network and twenty minutes, so only the prose is compared.
#[test]
fn the_pages_in_the_repository_have_the_prose_of_this_program() {
    let one = || record(found(2500, Judgement::Inside), never());
    check_prose("faults.md", &markdown(&report(vec![one()])));

    let mut reset = found(2500, Judgement::Inside);
    if let Seen::Something(sight) = &mut reset.seen {
        sight.how = How::Reset;
    }
    let c = Record { client: Client::C, ..record(reset, never()) };
    let beside = Beside::of(vec![one(), c]);
    check_prose("faults-c.md", &page(&Report { beside, ..report(Vec::new()) }));
}

/// Whether a page in the repository says what the program writes before the details.
#[track_caller]
fn check_prose(name: &str, page: &str) {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let kept = plain(&fs::read_to_string(docs.join(name)).unwrap());
    let (before, _) = page.split_once("<details>").unwrap();
    let (before, recipes) = before.split_once("## Recipes").unwrap_or((before, ""));
    let (recipes, _) = recipes.split_once("## Plan").unwrap_or((recipes, ""));
    // Not what depends on the results: rows, items, numbers, and the headline.
    let is_prose = |text: &&str| !text.starts_with(['|', '*', '-']);
    let paragraphs = before.split("\n\n").filter(is_prose).map(plain);
    for paragraph in paragraphs.chain([plain(recipes)]) {
        let is_prose = |text: &&str| text.contains('|') || !text.contains(char::is_numeric);
        for text in paragraph.split(['.', ':', ';']).filter(is_prose) {
            assert!(kept.contains(text), "docs/{name} does not say this: {text}");
        }
    }
}

#[test]
fn a_chart_of_the_data_is_the_chart_of_the_report() {
    let report = report(vec![
        record(found(2500, Judgement::Inside), never()),
        record(found(3200, Judgement::Late), never()),
    ]);
    let figures = read::figures(&json(&report)).unwrap();
    assert_eq!(chart::chart(&figures.near), chart::chart(&report.near));
}

#[test]
fn two_clients_are_compared_end_by_end() {
    let with = |client, record| Record { client, ..record };
    let right = || record(found(2500, Judgement::Inside), never());
    let beside = |c| {
        let records = vec![with(Client::Connect, right()), with(Client::C, c)];
        Report { beside: Beside::of(records), ..report(Vec::new()) }
    };
    let same = beside(record(found(2100, Judgement::Inside), never()));
    assert!(same.is_right() && same.is_beside_alone());
    assert_eq!(same.beside.differences().count(), 0);
    let row = "| gone-idle | both-ways | client | 2.50 by silence | 2.10 by silence | 1.9 to 3.1 s";
    assert!(page(&same).contains(row), "{}", page(&same));
    let object: serde_json::Value = serde_json::from_str(&json(&same)).unwrap();
    assert_eq!(object["c_cells"][0]["client"]["found_ms"], serde_json::json!([2100.0, 2110.0]));

    let mut reset = found(2500, Judgement::Inside);
    if let Seen::Something(sight) = &mut reset.seen {
        sight.how = How::Reset;
    }
    let another_way = beside(record(reset, never()));
    assert!(another_way.is_right());
    let told =
        "gone-idle with both-ways, client: connect 2.50 by silence, the C client 2.50 by reset";
    for page in [text(&another_way), page(&another_way)] {
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.contains(told), "{page}");
    }
    let late = beside(record(found(3200, Judgement::Late), never()));
    assert!(!late.is_right() && page(&late).contains(" LATE by silence"));
}

#[test]
fn the_data_is_one_object() {
    let told = json(&report(vec![record(found(2500, Judgement::Inside), never())]));
    let object: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(object["right"], true);
    let cell = &object["cells"][0];
    assert_eq!(cell["fault"], "gone-idle");
    assert_eq!(cell["client"]["bound_ms"], serde_json::json!([1900.0, 3100.0]));
    assert_eq!(cell["client"]["found_ms"], serde_json::json!([2500.0, 2510.0]));
    assert_eq!(cell["client"]["how"], "silence");
    assert_eq!(cell["server"]["plan"], "never");
    assert_eq!(object["herds"][0]["false_verdicts"]["server"], 3);
}

#[test]
fn a_rate_is_told_with_its_number_of_beats() {
    let page = markdown(&report(Vec::new()));
    let row = "| 20 % loss each way, `fast` | 10 | 9 s | 2000000 | 5 (3 by the server, 2 by \
               clients) | 2.5 | 5 |";
    assert!(page.contains(row), "{page}");
}

#[test]
fn promises_about_herds_are_kept_or_the_report_is_wrong() {
    let usual = |percent| {
        let mut report = report(Vec::new());
        let trial = Trial::Loss { percent, preset: Preset::Default };
        report.herds = report
            .herds
            .into_iter()
            .map(|record| HerdRecord { herd: Herd { trial, ..record.herd }, ..record })
            .collect();
        report.is_right()
    };
    assert!(!usual(1) && !usual(5));
    assert!(usual(20));
}
