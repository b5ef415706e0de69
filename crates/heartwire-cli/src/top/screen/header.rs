//! The lines above the sessions: how the server is.

use core::fmt::Write as _;
use core::time::Duration;
use std::time::Instant;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::App;
use super::super::picture::{Quantiles, Resource, Stats};
use super::super::text::{bytes, rate, shown, time, time_if_known};
use super::style::Palette;
use crate::output::grouped;

/// A picture that is older than so many delays is worth a word.
const OLD: u32 = 3;

/// The most important line first: on a small screen the last ones are missing.
pub(super) fn lines(app: &App, now: Instant, width: u16, palette: Palette) -> Vec<Line<'static>> {
    let Some(picture) = &app.picture else { return vec![title(app, None, width, palette)] };
    let stats = &picture.stats;
    let mut lines = vec![title(app, Some(stats), width, palette)];
    lines.extend(troubles(app, stats, now).map(|text| Line::styled(text, palette.bad())));
    lines.push(Line::raw(totals(stats, app.stats_before.as_ref())));
    lines.push(Line::raw(rates(stats, app.stats_before.as_ref())));
    let times = [("lateness", &stats.lateness_ms), ("round trip", &stats.round_trip_ms)];
    lines.extend(times.iter().filter_map(|(name, of)| quantiles(name, of.as_ref()?)));
    lines.extend(resources(&stats.resources, palette));
    lines
}

/// The program, the server, and on the right whether it is ready.
fn title(app: &App, stats: Option<&Stats>, width: u16, palette: Palette) -> Line<'static> {
    let state = match stats {
        _ if app.error.is_some() => ("NO ANSWER", palette.bad()),
        None => ("", Style::new()),
        Some(_) if app.is_paused => ("PAUSED", palette.warn()),
        Some(stats) if stats.reasons.iter().any(|reason| reason == "draining") => {
            ("DRAINING", palette.bad())
        }
        Some(stats) if stats.ready => ("READY", palette.good()),
        Some(_) => ("NOT READY", palette.bad()),
    };
    let mut left = "heartwire".to_owned();
    if let Some(stats) = stats {
        let _ = write!(left, " {}, up {}", shown(&stats.version), time(stats.uptime_ms));
    }
    let _ = write!(left, ", {}", shown(&app.url));
    if !app.is_once {
        let _ = write!(left, ", every {:?}", app.delay);
    }
    let left = Span::styled(left, palette.strong());
    let gap = usize::from(width).saturating_sub(left.width()).saturating_sub(state.0.len());
    let (text, style) = state;
    if gap == 0 {
        // The state is what counts.
        return Line::from(vec![Span::styled(format!("{text} "), style), left]);
    }
    Line::from(vec![left, Span::raw(" ".repeat(gap)), Span::styled(text, style)])
}

/// What is wrong, a line for each thing.
fn troubles(app: &App, stats: &Stats, now: Instant) -> impl Iterator<Item = String> {
    let age = app.age(now).unwrap_or_default();
    let is_old = age > app.delay.saturating_mul(OLD).max(Duration::from_secs(5));
    let seconds = age.as_secs();
    let old = match &app.error {
        Some(error) => Some(format!("this is {seconds} s old: {}", shown(&error.to_string()))),
        None if is_old && !app.is_paused => {
            Some(format!("this is {seconds} s old: the server has not answered since"))
        }
        None => None,
    };
    let reasons: Vec<_> = stats.reasons.iter().map(|reason| shown(reason)).collect();
    let reasons = (!reasons.is_empty()).then(|| format!("not ready: {}", reasons.join(", ")));
    let hanging = stats.shards.iter().filter(|shard| !shard.turned);
    let hanging: Vec<_> = hanging.map(|shard| shard.shard.to_string()).collect();
    let hanging = (!hanging.is_empty())
        .then(|| format!("hanging: shard {} makes no progress", hanging.join(", ")));
    [old, reasons, hanging].into_iter().flatten()
}

fn totals(stats: &Stats, before: Option<&Stats>) -> String {
    let now = &stats.now;
    let mut text = format!("sessions   {}", grouped(now.sessions));
    if let Some(max) = now.max_sessions {
        let _ = write!(text, " of {}", grouped(max));
    }
    let _ = write!(text, "   away {}", grouped(now.away));
    if let Some(pending) = now.pending {
        let _ = write!(text, "   pending {}", grouped(pending));
    }
    if let Some(held) = now.held_bytes {
        let _ = write!(text, "   held {}", bytes(held));
    }
    if stats.cpu_ms.is_some() {
        let cpu = stats.rate(before, |stats| stats.cpu_ms.unwrap_or_default()) / 10.0;
        let _ = write!(text, "   cpu {cpu:.1}%");
    }
    if let Some(timeout) = stats.policy.timeout_ms {
        let _ = write!(text, "   timeout {}", time(timeout));
    }
    if let Some(interval) = stats.policy.interval_ms {
        let _ = write!(text, "   interval {}", time(interval));
    }
    text
}

fn rates(stats: &Stats, before: Option<&Stats>) -> String {
    let per_second = |of: &dyn Fn(&Stats) -> f64| rate(stats.rate(before, of));
    let count = |name: &'static str| per_second(&|stats: &Stats| stats.count(name));
    let mut text = "a second  ".to_owned();
    for name in ["accepted", "refused", "rejected", "dead", "resumed"] {
        let _ = write!(text, " {name} {}  ", count(name));
    }
    if stats.gap_ms.is_some() {
        // Arrivals have a gap before each of them.
        let heard = |stats: &Stats| stats.gap_ms.as_ref().map_or(0.0, |gap| gap.count);
        let _ = write!(text, " heard {}  ", per_second(&heard));
    }
    let _ = write!(text, " turns {}", count("turns"));
    text
}

fn quantiles(name: &str, of: &Quantiles) -> Option<Line<'static>> {
    if of.count == 0.0 {
        return None;
    }
    let [p50, p99, p999] = [of.p50, of.p99, of.p999].map(time_if_known);
    let count = of.count;
    let text = format!("{name:<10} p50 {p50:<8} p99 {p99:<8} p99.9 {p999:<8} of {count:.0}");
    Some(Line::raw(text))
}

/// Those that run short, or else the one that is nearest to it.
fn resources(resources: &[Resource], palette: Palette) -> Option<Line<'static>> {
    let share = |resource: &Resource| {
        let limit = resource.limit.filter(|&limit| limit > 0)?;
        resource.used.saturating_mul(100).checked_div(limit)
    };
    let mut sorted: Vec<_> = resources.iter().collect();
    sorted.sort_by_key(|resource| core::cmp::Reverse((resource.short, share(resource))));
    if sorted.is_empty() {
        return None;
    }
    let mut spans = vec![Span::raw("resources ")];
    for resource in sorted.into_iter().take(4) {
        let mut text = format!("{} {}", shown(&resource.resource), grouped(resource.used));
        if let Some(limit) = resource.limit {
            let _ = write!(text, " of {}", grouped(limit));
        }
        if resource.short {
            text.insert_str(0, "SHORT OF ");
        }
        let style = if resource.short { palette.bad() } else { Style::new() };
        spans.push(Span::raw(" "));
        spans.push(Span::styled(text, style));
        spans.push(Span::raw("  "));
    }
    Some(Line::from(spans))
}
