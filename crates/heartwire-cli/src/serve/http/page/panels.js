// Numbers, the list of sessions, room.

function show() {
  const gone = trouble?.gone || trouble?.status >= 500;
  document.body.classList.toggle("stale", Boolean(trouble));
  const age = stats ? ` This picture is ${time(now() - statsAt)} old.` : "";
  $("trouble").hidden = !trouble;
  if (trouble) put("trouble", trouble.status === 401 ? `The server asks for a token: press “Token…” and type it in. (${trouble.message})`
    : `${trouble.gone ? "Cannot reach the server" : "The server refuses to answer"}: ${trouble.message}.${age} It is asked again every 2 s.`);
  const state = $("state");
  const reasons = (stats?.reasons ?? []).map((reason) => reason.replaceAll("_", " ")).join(", ");
  state.dataset.is = gone ? "gone" : trouble || !stats?.ready ? "busy" : "well";
  put("state", gone ? "out of reach" : trouble ? "no answer" : !stats ? "connecting" : stats.ready ? "ready" : `not ready: ${reasons || "starting"}`);
  if (stats) showNumbers();
  drawSky();
  put("summary", summarise());
  put("shown", busy ? `as it was ${time(now() - pictureAt)} ago: ${busy}` : asHeat ? "counts of sessions" : `${whole(points.size)} points`);
  showLegend();
  showList();
  showDetail();
}

function showNumbers() {
  const { now: n, rates = {}, policy } = stats;
  document.title = `${whole(n.sessions)} alive · Heartwire`;
  put("about", `${location.host} · version ${stats.version} · up ${time(stats.uptime_ms)}${rates.cpu == null ? "" : ` · ${(rates.cpu * 100).toFixed(1)} % of a core`}`);
  $("alive").replaceChildren(whole(n.sessions), el("small", {}, n.max_sessions ? ` of ${whole(n.max_sessions)}` : ""));
  $("away").replaceChildren(whole(n.away), el("small", {}, n.pending ? ` and ${whole(n.pending)} arriving` : ""));
  $("dead").replaceChildren(whole(verdicts(stats)), el("small", {}, " since its start"));
  for (const name of ["accepted", "ended", "heard"]) put(name, rate(rates[name]));
  for (const [name, values] of Object.entries(sparks)) drawSpark($(`spark-${name}`), values);
  const timesOf = (name, of) => el("tr", {}, el("td", {}, name), ...["p50", "p99", "p999"].map((p) => el("td", { className: "right" }, of?.count ? time(of[p]) : "–")));
  $("times").replaceChildren(timesOf("round trip", stats.round_trip_ms), timesOf("own lateness", stats.lateness_ms), timesOf("arrival gap", stats.gap_ms));
  const rooms = (stats.resources ?? []).map((r) => {
    const share = r.limit ? clamp(r.used / r.limit, 0, 1) : 0, size = /bytes|memory/.test(r.resource) ? bytes : whole;
    return el("div", {}, el("span", {}, r.limit ? `${size(r.used)} of ${size(r.limit)}` : size(r.used)), `${r.resource.replaceAll("_", " ")}${r.short ? ": short" : ""}`, bar(share, r.short ? "hot" : level(share)));
  });
  const hung = (stats.shards ?? []).filter((shard) => !shard.turned);
  rooms.push(el("p", { className: hung.length ? "wrong" : "soft" }, hung.length ? `shards that do not turn: ${hung.map((shard) => shard.shard).join(", ")}`
    : `${whole(stats.shards?.length)} ${stats.shards?.length === 1 ? "shard turns" : "shards turn"}${policy?.timeout_ms ? `; interval ${time(policy.interval_ms)}, timeout ${time(policy.timeout_ms)}` : ""}`));
  $("resources").replaceChildren(...rooms);
}

function bar(share, is) {
  const filled = el("i");
  filled.style.width = `${clamp(share, 0, 1) * 100}%`;
  const made = el("span", { className: "bar" }, filled);
  made.dataset.is = is;
  return made;
}

function drawSpark(canvas, values) {
  const { c, width, height } = sheet(canvas);
  if (!colours || values.length < 2) return;
  const most = Math.max(...values), least = Math.min(...values), span = Math.max(most - least, most * 0.02, 1e-9);
  const path = new Path2D();
  values.forEach((value, i) => path.lineTo(width * (1 - (values.length - 1 - i) / 119), height - 3 - (value - least) / span * (height - 6)));
  c.strokeStyle = c.fillStyle = colours.calm;
  c.globalAlpha = 0.8;
  c.lineWidth = 1.4;
  c.stroke(path);
  path.lineTo(width, height);
  path.lineTo(width * (1 - (values.length - 1) / 119), height);
  c.globalAlpha = 0.1;
  c.fill(path);
}

const LEGENDS = [["", "heard, fades until its next heartbeat"], ["warm", "half of its timeout"], ["hot", "80 % and more"], ["dead", "verdict"], ["away", "away: may come back"]];
function showLegend() {
  const key = asHeat ? "heat" : "points";
  if ($("legend").dataset.of === key) return;
  $("legend").dataset.of = key;
  $("legend").replaceChildren(...(asHeat ? [] : LEGENDS).map(([name, text]) => el("li", { className: name }, el("i"), text)));
}

$("as").addEventListener("click", () => {
  wantsHeat = !wantsHeat;
  $("as").setAttribute("aria-pressed", wantsHeat);
  tick();
});

let search = "", held;
const SORTS = { due, silence: (p) => -silenceOf(p), rtt: (p) => -(p.s.rtt_ms ?? -1), queued: (p) => -(p.s.queued ?? 0), age: (p) => -(p.s.age_ms ?? 0) };

function showList() {
  const list = $("list"), rows = $("rows");
  const all = search || asHeat ? shownList : [...points.values()];
  const key = SORTS[$("sort").value];
  let chosen = [...all].sort((a, b) => key(a) - key(b)).slice(0, search ? 50 : 20);
  // Under the pointer or the keys the order stands still.
  const hold = rows.contains(document.activeElement) || rows.matches(":hover") && matchMedia("(hover: hover)").matches;
  if (hold && held) {
    const known = new Map(all.map((point) => [point.s.session, point]));
    chosen = held.map((point) => known.get(point.s.session) ?? point);
  }
  held = chosen;
  put("held", hold ? "order held" : "");
  put("list-title", search ? `Sessions with “${search}” in their name` : "Sessions");
  $("none").hidden = chosen.length > 0;
  if (!chosen.length) put("none", search ? "No session has a name with that in it." : "No session is connected.");
  while (rows.children.length > chosen.length) rows.lastChild.remove();
  chosen.forEach((point, i) => {
    const row = rows.children[i] ?? rows.appendChild(newRow()), { s } = point, share = shareOf(point);
    row.session = s;
    const [name, silence, left, rtt, queued, beats, age] = row.children;
    const button = name.firstChild;
    if (button.textContent !== named(s)) { button.textContent = named(s); button.title = named(s); }
    const [line, text] = silence.children;
    line.firstChild.style.width = `${clamp(share ?? 0, 0, 1) * 100}%`;
    line.dataset.is = level(share ?? 0);
    text.textContent = point.awayUntil ? "away" : `${time(silenceOf(point))}`;
    left.textContent = point.awayUntil ? `${time(Math.max(0, point.awayUntil - clock()))} left` : due(point) === Infinity ? "–" : time(due(point));
    rtt.textContent = time(s.rtt_ms);
    queued.textContent = s.queued ? bytes(s.queued) : "0";
    beats.textContent = whole(s.beats);
    age.textContent = time(s.age_ms);
  });
  const tabbable = [...rows.querySelectorAll("button")];
  if (!tabbable.some((button) => button.tabIndex === 0) && tabbable[0]) tabbable[0].tabIndex = 0;
  list.dataset.count = chosen.length;
}

function newRow() {
  const row = el("tr");
  const button = el("button", { type: "button", className: "name", tabIndex: -1, onclick: () => openDetail(row.session, button) });
  row.append(el("td", {}, button), el("td", {}, bar(0, "calm"), el("span")),
    ...["", " mid", " wide", " wide", " wide"].map((more) => el("td", { className: `right${more}` })));
  return row;
}

$("rows").addEventListener("keydown", (e) => {
  const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[e.key];
  if (!step) return;
  e.preventDefault();
  const buttons = [...$("rows").querySelectorAll("button")];
  focusRow(buttons[clamp(buttons.indexOf(document.activeElement) + step, 0, buttons.length - 1)]);
});
function focusRow(button) {
  if (!button) return;
  for (const other of $("rows").querySelectorAll("button")) other.tabIndex = other === button ? 0 : -1;
  button.focus();
}
$("sort").addEventListener("change", () => { held = undefined; shownList = []; show(); tick(); });

let searchTimer;
$("search").addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(async () => {
    search = $("search").value.trim();
    shownList = [];
    held = undefined;
    try { if (search || asHeat) await askList(); } catch { /* the next tick says so */ }
    show();
    if (search) say(`${$("list").dataset.count} sessions found`);
  }, 250);
});
$("search").addEventListener("keydown", (e) => {
  if (e.key === "ArrowDown" || e.key === "Enter") { e.preventDefault(); focusRow($("rows").querySelector("button")); }
});
