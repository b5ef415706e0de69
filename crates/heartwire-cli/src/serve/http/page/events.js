// Events as they happen.

const KINDS = { verdict: ["verdict"], away: ["away", "back"], online: ["online", "offline", "health", "promise"],
  server: ["rejected", "fighting", "paused", "refusing", "accepting", "other", "stopped"], data: ["data"] };
const groupOf = (kind) => Object.keys(KINDS).find((group) => KINDS[group].includes(kind)) ?? "server";
// Each group keeps its newest: a storm of one kind does not push out the others.
const logs = Object.fromEntries(Object.keys(KINDS).map((group) => [group, []]));
let order = 0, logTimer, spoken = 0;

function note(kind, row) {
  const log = logs[groupOf(kind)] ?? logs.server;
  log.push({ kind, order: order++, ...row });
  if (log.length > 100) log.shift();
  logTimer ??= setTimeout(showLog, 250);
}

/** An event in words: what, and what there is to say of it. */
function wordsOf(kind, e) {
  const spaced = (text) => String(text ?? "").replaceAll("_", " ");
  switch (kind) {
    case "verdict": return ["is dead", `silent for ${time(e.silence_ms)}; bound ${time(e.earliest_ms)} to ${time(e.latest_ms)}${e.cause === "silence" ? "" : `; ${spaced(e.cause)}`}`];
    case "away": return ["is away", `${spaced(e.reason)}; waits ${time(e.within_ms)}`];
    case "back": return ["is back", `away for ${time(e.away_ms)}${e.replayed ? `; ${whole(e.replayed)} messages sent again` : ""}`];
    case "online": return ["online", `${e.peer ?? ""}${e.agent ? `, ${e.agent}` : ""}`];
    case "offline": return ["offline", `${spaced(e.reason)}${e.detail && e.detail !== e.reason ? `: ${e.detail}` : ""}; lasted ${time(e.lasted_ms)}`];
    case "data": return ["sent", `${whole(e.bytes)} bytes: ${e.preview ?? ""}`];
    case "health": return [`health ${e.health}`, ""];
    case "promise": return ["announced", `an interval of ${time(e.interval_ms)}`];
    case "rejected": return ["rejected", `${spaced(e.code)}; ${e.peer ?? ""}`];
    case "fighting": return ["is fought for", e.peer ?? ""];
    case "paused": return ["the server was paused", time(e.gap_ms)];
    case "refusing": return ["new clients are refused", spaced(e.cause)];
    case "presence": return [`presence: ${spaced(e.state)}`, e.detail ?? e.node ?? ""];
    case "hook": return [`hooks: ${spaced(e.state)}`, e.detail ?? ""];
    case "incident": return ["an incident began", e.detail];
    case "incident_over": return ["the incident is over", `${whole(e.returned)} names are back, ${whole(e.gone)} are gone`];
    case "accepting": return ["new clients are accepted again", `${whole(e.refused)} were refused`];
    default: return [spaced(kind), typeof e.detail === "string" ? e.detail : ""];
  }
}

function gotEvent(kind, text) {
  let e;
  try { e = JSON.parse(text); } catch { return; }
  if (kind === "lagged") return note("server", { text: "events are missing here", detail: `${whole(e.dropped)} came faster than this page read them` });
  const [what, detail] = wordsOf(kind, e);
  note(kind, { time: e.time, who: e.session ? { session: e.session, name: e.name ?? null, peer: e.peer } : undefined, name: e.session ? undefined : e.name, text: what, detail });
  if (e.session) eventToPoints(kind, e);
  if (open === e.session && kind !== "data") openSaid = kind === "offline" || kind === "verdict" ? `${what}: ${detail}` : undefined;
  if (kind === "verdict" && now() - spoken > 4000) { spoken = now(); say(`Verdict: ${named(e)} is dead, ${detail}`); }
}

function showLog() {
  logTimer = undefined;
  const list = $("log");
  // Read, or chosen from: it stays as it is.
  if (list.contains(document.activeElement) && document.activeElement !== list || list.scrollTop > 8) { logTimer = setTimeout(showLog, 1000); return; }
  const rows = Object.entries(logs).filter(([group]) => document.querySelector(`#events input[name=${group}]`).checked).flatMap(([, log]) => log);
  rows.sort((a, b) => b.order - a.order);
  list.replaceChildren(...rows.slice(0, 100).map((row) => {
    row.made ??= el("li", { className: row.kind },
      el("time", {}, clockTime(row.time)),
      el("div", {}, row.who ? el("button", { type: "button", onclick: (e) => openDetail(row.who, e.target) }, named(row.who)) : row.name ? el("bdi", {}, row.name) : null,
        row.who || row.name ? " " : null, el("b", {}, row.text), row.detail ? el("span", {}, row.detail) : null));
    return row.made;
  }));
  if (!rows.length) list.append(el("li", {}, "", el("span", {}, "Nothing has happened since this page was opened.")));
}
const clockTime = (text) => (text ? new Date(text) : new Date()).toLocaleTimeString("en-GB");

let streaming, streamWait = 1000;
/** Reads the server's events, again and again. */
async function stream() {
  for (;;) {
    const control = streaming = new AbortController();
    // The server says something at least every 15 s.
    let silence;
    const heard = () => { clearTimeout(silence); silence = setTimeout(() => control.abort(), 45_000); };
    try {
      const kinds = Object.entries(KINDS).filter(([group]) => group !== "data" || document.querySelector("#events input[name=data]").checked);
      heard();
      const answer = await ask(`/v1/events?kinds=${kinds.flatMap(([, names]) => names)}`, { stream: true, signal: control.signal });
      put("stream", "live");
      streamWait = 1000;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let got; !(got = await reader.read()).done;) {
        heard();
        rest = (rest + got.value).replaceAll("\r\n", "\n");
        const blocks = rest.split("\n\n");
        rest = blocks.pop();
        blocks.forEach(readBlock);
        if (rest.length > 1e6) control.abort();
      }
      put("stream", "connecting again");
    } catch (wrong) {
      put("stream", wrong.status ? wrong.message : "connecting again");
    }
    clearTimeout(silence);
    await new Promise((done) => setTimeout(done, control.signal.reason === "again" ? 0 : streamWait * (0.75 + Math.random() / 2)));
    streamWait = Math.min(streamWait * 2, 8000);
  }
}
function readBlock(block) {
  let kind = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) kind = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  if (data.length) gotEvent(kind, data.join("\n"));
}
$("events").addEventListener("change", (e) => {
  if (e.target.name === "data") streaming?.abort("again");
  showLog();
});
