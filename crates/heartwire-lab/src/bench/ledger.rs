//! `bench --compare --write`: the comparison as docs/ledger.json and docs/ledger.md, and a few of
//! its rows as the README's table.

use core::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use super::compare::{Comparison, doubts, late, times, yes};
use super::report::Report;

/// Around the README's table. A word each, because the README may have 1,000.
const BEGIN: &str = "<!--ledger-->\n";
const END: &str = "<!--/ledger-->\n";

/// The README's rows, by the names after `--only`.
const README: [(&str, &str); 7] = [
    ("epoll", "bare epoll and `recv`, no liveness"),
    ("tokio", "tokio, a task and a timeout each"),
    ("mosquitto", "mosquitto, which answers"),
    ("nats", "nats-server, which answers"),
    ("v0", "Heartwire, protocol v0"),
    ("v0-coalesce-5", "Heartwire, `--coalesce 5`"),
    ("v1", "Heartwire, protocol v1"),
];

/// Whether the files can be written, before all is measured.
pub(super) fn check(folder: &Path) -> anyhow::Result<()> {
    let docs = folder.join("docs");
    ensure!(docs.is_dir(), "{} is no folder; name the checkout's with --write=DIR", docs.display());
    replaced(&read(&folder.join("README.md"))?, "").map(drop)
}

pub(super) fn write(comparison: &Comparison, folder: &Path) -> anyhow::Result<()> {
    let readme = folder.join("README.md");
    let table = readme_table(comparison);
    let text = replaced(&read(&readme)?, &table)?;
    let json = serde_json::to_string_pretty(comparison)?;
    fs::write(folder.join("docs/ledger.json"), json + "\n")?;
    fs::write(folder.join("docs/ledger.md"), page(comparison))?;
    fs::write(&readme, text).context("cannot write README.md")
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The README with another table.
fn replaced(readme: &str, table: &str) -> anyhow::Result<String> {
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some(format!("{before}{BEGIN}{table}{END}{after}"))
    });
    parts.with_context(|| format!("README.md has no {} with {}", BEGIN.trim(), END.trim()))
}

/// Without spaces at the bars, which `wc` would count as words.
fn readme_table(comparison: &Comparison) -> String {
    let what = comparison.servers.first().map_or_else(String::new, |first| {
        format!(
            "{} clients, a heartbeat every {}",
            thousands(first.connections),
            comparison.interval
        )
    });
    let mut text = format!("|{what}|CPU per heartbeat|memory per connection|\n|---|---|---|\n");
    for (id, name) in README {
        let row = comparison.servers.iter().find(|report| report.id == id);
        if let Some(Report { beat_cpu_us, user_bytes, .. }) = row {
            // Writing to a string does not fail.
            let _ = writeln!(text, "|{name}|{beat_cpu_us:.2} µs|{user_bytes:.0} B|");
        }
    }
    let date = comparison.time.split('T').next().unwrap_or_default();
    let _ = writeln!(
        text,
        "\n[All servers, and what each does](docs/ledger.md); {}, {date}.",
        comparison.machine
    );
    text
}

fn page(comparison: &Comparison) -> String {
    let Comparison { machine, time, command, load, servers, left_out, .. } = comparison;
    let mut text = format!(
        "# Ledger\n\n\
         What a heartbeat costs servers of several projects, each with the same load in the same \
         run. This page, [ledger.json](ledger.json) and the README's table are written by\n\n\
         ```sh\ncargo build --release --workspace\ntarget/release/{command}\n```\n\n\
         {machine}, {time}. {load} [The lab](lab.md#what-a-server-costs) says what each figure \
         is.\n\n\
         | server | answers | CPU per heartbeat | ratio | busy | wake-ups per heartbeat | memory \
         per connection | threads | CPU per accept | closed, ms after its timeout: p50 / p99.9 / \
         max | early, false, missing |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for report in servers {
        let Some(base) = comparison.base(report) else { continue };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} µs | {} | {:.0} % | {:.3} | {:.0} B | {} | {:.2} µs | {} | {}, {}, \
             {} |",
            report.server,
            yes(report.answers),
            report.beat_cpu_us,
            times(report.beat_cpu_us, base.beat_cpu_us),
            report.busy * 100.0,
            report.wakeups_per_beat,
            report.user_bytes,
            report.threads,
            report.accept_cpu_us,
            late(report.seen_ms),
            report.early,
            report.wrong,
            report.missing,
        );
    }
    text.push_str(
        "\n- Rows that answer send as many heartbeats as they get; their CPU is for each that they \
         get.\n\
         - When a connection was closed is as its client saw it, counted from the client's last \
         byte and the server's own timeout.\n\
         - Memory is the process's own pages, without what it had before the first client. A \
         virtual machine's is as much as it took from the system, not what it needs.\n\n\
         ## What each does with a silent client\n\n",
    );
    for report in servers {
        let version = report.version.as_ref().map_or_else(String::new, |v| format!(" ({v})"));
        let _ = writeln!(text, "- {}{version}: {}", report.server, report.rule);
    }
    for line in left_out {
        let _ = writeln!(text, "- left out: {line}");
    }
    let mut doubts = servers.iter().flat_map(doubts).peekable();
    if doubts.peek().is_some() {
        text.push_str("\n## Doubts\n\n");
    }
    for (server, doubt) in doubts {
        let _ = writeln!(text, "- {server}: {doubt}");
    }
    text
}

/// A count with commas.
fn thousands(count: u32) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::compare::tests::comparison;
    use super::super::report::tests::sample;
    use super::*;

    fn servers() -> Comparison {
        let row = |id: &str, cost| Report { id: id.to_owned(), ..sample("x", cost) };
        let bare = row("epoll", 4.0);
        let answering = Report { answers: Some(true), ..row("answer", 8.0) };
        let mosquitto = Report { answers: Some(true), missing: 2, ..row("mosquitto", 16.0) };
        comparison(vec![bare, answering, mosquitto, row("v1", 1.0)])
    }

    #[test]
    fn readme_has_the_rows_that_were_measured() {
        let expected = "\
|1,000 clients, a heartbeat every 250 ms|CPU per heartbeat|memory per connection|
|---|---|---|
|bare epoll and `recv`, no liveness|4.00 µs|171 B|
|mosquitto, which answers|16.00 µs|171 B|
|Heartwire, protocol v1|1.00 µs|171 B|

[All servers, and what each does](docs/ledger.md); A machine, 2026-11-28.
";
        assert_eq!(readme_table(&servers()), expected);
    }

    #[test]
    fn readme_keeps_what_is_around_the_table() {
        let before = "a\n<!--ledger-->\nold\n<!--/ledger-->\nb\n";
        let after = replaced(before, "new\n").unwrap();
        assert_eq!(after, "a\n<!--ledger-->\nnew\n<!--/ledger-->\nb\n");
        assert!(replaced("a\n<!--ledger-->\nold\n", "new\n").is_err());
    }

    #[test]
    fn page_has_a_row_for_each_server_and_what_is_doubtful() {
        let page = page(&servers());
        assert!(page.contains("| x | yes | 16.00 µs | 2.00 × | 50 % |"), "{page}");
        assert!(page.contains("| x | no | 1.00 µs | 0.25 × | 50 % |"), "{page}");
        assert!(page.contains("\ntarget/release/heartwire-lab bench --compare\n"), "{page}");
        assert!(page.ends_with("## Doubts\n\n- x: 2 never closed\n"), "{page}");
    }

    #[test]
    fn figures_of_the_readme_are_on_the_page() {
        let page = page(&servers());
        for figure in ["4.00 µs", "16.00 µs", "1.00 µs", "171 B"] {
            assert!(page.contains(&format!(" {figure}")), "{figure}");
        }
    }

    #[test]
    fn files_are_refused_before_the_run_without_a_place_for_them() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path()).is_err());
        fs::create_dir(folder.path().join("docs")).unwrap();
        fs::write(folder.path().join("README.md"), "no table").unwrap();
        assert!(check(folder.path()).is_err());
        fs::write(folder.path().join("README.md"), format!("{BEGIN}{END}")).unwrap();
        assert!(check(folder.path()).is_ok());
        write(&servers(), folder.path()).unwrap();
        let json = fs::read_to_string(folder.path().join("docs/ledger.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json.pointer("/servers/3/id"), Some(&serde_json::json!("v1")));
    }
}
