//! The same faults with `connect` and with the C client, side by side.

use core::fmt::Write;

use heartwire_core::Side;

use super::markdown::{conditions, item, matrix, paragraph};
use super::{Matrix, Report, Summary, bound, end_of, headline, mechanisms};
use crate::net::cell::Record;
use crate::net::client::Client;
use crate::net::detector::Detector;
use crate::net::expect::Expected;
use crate::net::fault::Fault;
use crate::net::judge::Seen;

/// The results of both clients.
#[derive(Debug, Default)]
pub(in crate::net) struct Beside {
    pub(in crate::net) connect: Matrix,
    pub(in crate::net) c: Matrix,
}

impl Beside {
    pub(in crate::net) fn of(records: Vec<Record>) -> Self {
        let (connect, c) = records.into_iter().partition(|record| record.client == Client::Connect);
        let matrix = |records| Matrix { profile: None, records };
        Self { connect: matrix(connect), c: matrix(c) }
    }

    /// The results at each end that was asked with both clients.
    fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        self.c.summaries().filter_map(|(fault, detector, side, c)| {
            let connect = self.connect.summary(fault, detector, side)?;
            let is_asked = *c.expected != Expected::NotAsked;
            is_asked.then_some(Pair { fault, detector, side, connect, c })
        })
    }

    /// Those at which the one client never had a result that the other one had.
    pub(super) fn differences(&self) -> impl Iterator<Item = Pair<'_>> {
        self.pairs().filter(|pair| !pair.agrees())
    }
}

/// The results of a cell at one end, with each client.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    fault: Fault,
    detector: Detector,
    side: Side,
    connect: Summary<'a>,
    c: Summary<'a>,
}

impl Pair<'_> {
    /// Whether both had the same bound, and at least once the same result.
    fn agrees(&self) -> bool {
        let (connect, c) = (&self.connect, &self.c);
        let may_be_kept = matches!(c.expected, Expected::FoundOrKept(_));
        let both_none = connect.nothing.is_some() && c.nothing.is_some();
        connect.expected == c.expected
            && (may_be_kept || both_none || connect.hows.iter().any(|how| c.hows.contains(how)))
    }

    /// In one line.
    pub(super) fn in_words(&self) -> String {
        format!(
            "{} with {}, {}: connect {}, the C client {}",
            self.fault.name(),
            self.detector.name(),
            end_of(self.side),
            said(&self.connect),
            said(&self.c)
        )
    }
}

/// What was measured, and by what.
fn said(summary: &Summary<'_>) -> String {
    let by: Vec<&str> = summary.hows.iter().map(|how| how.name()).collect();
    let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
    format!("{}{by}", summary.short())
}

/// The bounds that the client's verdicts state themselves, from the least to the most.
fn own_bounds(matrix: &Matrix) -> String {
    let seen = matrix.records.iter().filter_map(|record| match &record.sides.client.seen {
        Seen::Something(sight) => sight.own_bound,
        Seen::Nothing { .. } => None,
    });
    let widest =
        seen.reduce(|[least, most], [earliest, latest]| [least.min(earliest), most.max(latest)]);
    widest.map_or_else(|| "none".to_owned(), |[least, most]| format!("{least} to {most} ms"))
}

const INTRODUCTION: &str = "\
The same faults and settings as in [faults.md](faults.md), each made twice: to `heartwire \
connect`, and to `examples/posix.c` of the C library in its place. The server is `heartwire serve` \
both times. Both are held to the same bounds, those of [`heartwire plan`](plan.md) for these \
settings.";

const DIFFERENCES: &str = "\
Here the two ended in another way, each as the plan says or in capitals. The plan often names two \
ways, and the first one counts. The C client does not report its own pauses and does not watch its \
network, and `connect` does both.";

/// How the C client is built.
const COMPILE: &str = "\
cc -O2 -I crates/heartwire-ffi/include -o target/release/posix \\
    crates/heartwire-ffi/examples/posix.c target/release/libheartwire_ffi.a";

const CELLS: &str = "\
Each cell is *client / server*, with the C client: the seconds from the fault until that end \
reported it, lowest to highest of all runs. **never**, **kept**, **·** and **> 20** are as in \
[faults.md](faults.md). A result that the plan did not predict is in capitals.";

/// The page about the C client.
pub(in crate::net) fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing into text cannot fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Report) -> core::fmt::Result {
    let beside = &report.beside;
    writeln!(
        page,
        "<!-- Written by `heartwire-lab net --c-client PATH --write docs`. Change the program, not \
         this page. -->\n\n# Faults with the C client"
    )?;
    paragraph(page, INTRODUCTION)?;
    let of_both = |of: fn(&Matrix) -> usize| [of(&beside.c), of(&beside.connect)];
    let [c, connect] = of_both(Matrix::asked);
    let [c_wrong, connect_wrong] = of_both(Matrix::wrong);
    let result = format!(
        "**{}** With the C client {c} results, {c_wrong} outside the plan; with `connect` \
         {connect}, {connect_wrong} outside the plan. In {} of {} ends of cells the two ended \
         differently.",
        headline(report),
        beside.differences().count(),
        beside.pairs().count(),
    );
    paragraph(page, &result)?;
    let own = format!(
        "A verdict of the client states the bound of its silence: with `connect` {}, with the C \
         client {}. A silence outside its own is EARLY or LATE.",
        own_bounds(&beside.connect),
        own_bounds(&beside.c)
    );
    paragraph(page, &own)?;
    paragraph(page, &conditions(report, &beside.c))?;
    writeln!(
        page,
        "\nTo repeat it, as root:\n\n```sh\ncargo build --release --workspace\n\
         {COMPILE}\n\
         target/release/heartwire-lab net --c-client target/release/posix --write docs\n```\n\n\
         ## Every fault with every detector"
    )?;
    paragraph(page, CELLS)?;
    matrix(page, &beside.c)?;
    writeln!(page, "\n## Beside `connect`")?;
    let differences: Vec<Pair<'_>> = beside.differences().collect();
    if differences.is_empty() {
        paragraph(page, "Each end ended with both clients in the same way, within one bound.")?;
    } else {
        paragraph(page, DIFFERENCES)?;
        writeln!(page)?;
        for pair in differences {
            item(page, &pair.in_words())?;
        }
    }
    writeln!(
        page,
        "\n<details><summary>All cells</summary>\n\n\
         | fault | detector | end | `connect`, s | the C client, s | plan | by | |\n\
         |---|---|---|---|---|---|---|---|"
    )?;
    for pair in beside.pairs() {
        let Pair { fault, detector, side, connect, c } = &pair;
        let [connect, measured] = [connect, c].map(|summary| said(summary).replace('–', " to "));
        writeln!(
            page,
            "| {} | {} | {} | {connect} | {measured} | {} | {} | {} |",
            fault.name(),
            detector.name(),
            end_of(*side),
            bound(c.expected),
            mechanisms(c.expected),
            c.judgement.name(),
        )?;
    }
    for error in &report.errors {
        writeln!(page, "\nNot measured: {error}")?;
    }
    writeln!(page, "\n</details>\n\nThe same as data: [faults-c.json](faults-c.json).")
}
