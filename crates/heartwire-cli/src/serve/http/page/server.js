// Asks the server, again and again.

let token = sessionStorage.getItem("heartwire-token") ?? "";

/** Asks the server. Throws what it answered, or `{ gone: true }` if it did not. */
async function ask(path, options = {}) {
  let answer, body;
  try {
    const headers = { ...options.headers, ...token && { authorization: `Bearer ${token}` } };
    const signal = options.signal ?? AbortSignal.timeout(5000);
    answer = await fetch(path, { cache: "no-store", ...options, headers, signal });
    body = options.stream && answer.ok ? answer : await answer.text();
  } catch {
    throw { gone: true, message: "it does not answer" };
  }
  if (body === answer) return answer;
  let parsed = {};
  try { parsed = JSON.parse(body); } catch { /* an empty answer, or not one of this server */ }
  if (!answer.ok) throw { status: answer.status, message: parsed.message ?? `it answered ${answer.status}` };
  return parsed;
}

const MOST_POINTS = 2500, PAGES = 3;
// How a connection ends, as `stats` counts it.
const ENDS = ["closed_by_peer", "truncated", "no_goodbye", "reset", "dead", "protocol_error", "slow_reader", "most_buffered",
  "kicked", "shutdown", "unacknowledged", "bye", "rejected", "taken_over", "revoked", "expired", "max_age", "not_back", "overflow", "replay_full", "done", "tls", "proxy", "failed"];

let stats, statsAt = 0;         // the last answer, and when it came
let trouble;                    // what is wrong, if there was no answer to the last request
let busy;                       // why the server gave no sessions, if it answers otherwise
let asHeat = false, heat;       // the heat map instead of points, and its last answer
let wantsHeat = false;          // also of few sessions
let pictureAt = 0;              // when points or heat map came last
let shownList = [];             // sessions from the server, where points do not have them all

/** The picture's time: it stands while nothing is known of the sessions. */
const clock = () => Math.min(now(), pictureAt + (trouble ? 0 : 5000));

let tickTimer, ticking = false, ticks = 0;
async function tick() {
  if (ticking) return;
  ticking = true;
  clearTimeout(tickTimer);
  const began = now();
  try {
    gotStats(await ask("/v1/stats"));
    trouble = busy = undefined;
    if (!document.hidden) await askMore().catch((wrong) => { if (!wrong.status) throw wrong; busy = wrong.message; });
  } catch (wrong) {
    if (wrong instanceof Error) throw wrong;
    trouble = wrong;
  } finally {
    ticking = false;
    const period = trouble ? 2000 : document.hidden ? 15_000 : 1000;
    tickTimer = setTimeout(tick, Math.max(250, period - (now() - began)));
    show();
  }
}

async function askMore() {
  ticks++;
  const was = asHeat, count = stats.now.sessions + stats.now.away;
  const isForced = count > (was ? MOST_POINTS * 0.9 : MOST_POINTS);
  asHeat = isForced || wantsHeat;
  $("as").hidden = isForced;
  if (asHeat !== was) {
    points.clear();
    heat = cell = picked = undefined;
    shownList = [];
  }
  if (!asHeat) await askPoints();
  else if (ticks % 2 || !heat) { heat = await ask("/v1/heat"); pictureAt = now(); }
  if (search || asHeat && (ticks % 2 === 0 || !shownList.length)) await askList();
  if (open) await askDetail();
}

async function askList() {
  const query = new URLSearchParams({ sort: $("sort").value, limit: 50, ...search && { name: search } });
  const of = search;
  const page = await ask(`/v1/sessions?${query}`);
  if (of !== search) return;
  const at = now();
  shownList = page.sessions.map((s) => ({ s, ...instants(s, at) }));
}

function gotStats(answer) {
  const at = now(), last = stats;
  if (last && answer.uptime_ms < last.uptime_ms) {
    points.clear();
    shownList = [];
    note("server", { time: answer.time, text: "started again", detail: "what this page had seen before is of an earlier run" });
  }
  const ended = ENDS.reduce((sum, why) => sum + (answer[why] ?? 0), 0);
  answer.ended = ended;
  if (last && answer.uptime_ms > last.uptime_ms) {
    const per = (value, before) => Math.max(0, (value - before) * 1000 / (answer.uptime_ms - last.uptime_ms));
    answer.rates = { accepted: per(answer.accepted, last.accepted), ended: per(ended, last.ended),
      heard: per(answer.gap_ms?.count ?? 0, last.gap_ms?.count ?? 0), cpu: per(answer.cpu_ms ?? 0, last.cpu_ms ?? 0) / 1000 };
  }
  stats = answer;
  statsAt = at;
  for (const [name, value] of Object.entries({ alive: answer.now.sessions, away: answer.now.away, dead: verdicts(answer), ...answer.rates })) {
    if (sparks[name]) { sparks[name].push(value); sparks[name].splice(0, sparks[name].length - 120); }
  }
}
// Each verdict has its lateness; `dead` counts only sessions that have ended.
const verdicts = (of) => of.lateness_ms?.count ?? 0;
const sparks = { alive: [], away: [], dead: [], accepted: [], ended: [], heard: [] };
