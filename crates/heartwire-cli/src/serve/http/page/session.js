// One session, and its last beats.

let open, openSession, openEnded, openSaid, opener;
let beatsAt = [], openAt = 0, openHeardAt = 0;

function openDetail(s, from) {
  [open, openSession, openEnded, openSaid, opener] = [s.session, s, false, undefined, from];
  beatsAt = [];
  openAt = 0;
  $("detail").hidden = false;
  $("detail-title").focus();
  showDetail();
  askDetail().then(showDetail);
}
function closeDetail() {
  $("detail").hidden = true;
  open = undefined;
  (opener?.isConnected ? opener : $("sky")).focus();
}
$("close").addEventListener("click", closeDetail);

async function askDetail() {
  const of = open;
  if (openEnded) return;
  try {
    const s = await ask(`/v1/sessions/${encodeURIComponent(of)}`);
    if (of !== open) return;
    openAt = now();
    const heardAt = openAt - s.silence_ms, more = s.beats - (openSession.beats ?? s.beats);
    if (!beatsAt.length || heardAt - openHeardAt > 60) {
      openHeardAt = heardAt;
      beatsAt.push({ at: heardAt, count: beatsAt.length ? more : 0 });
      if (beatsAt.length > 400) beatsAt.shift();
    }
    openSession = s;
  } catch (wrong) {
    if (wrong.status === 404) openEnded = true;
    else if (wrong instanceof Error) throw wrong;
  }
}

function showDetail() {
  if (!open) return;
  const s = openSession, point = { s, ...instants(s, openAt), heardAt: openHeardAt };
  const title = $("detail-title").firstChild;
  if (title.textContent !== named(s)) title.textContent = named(s);
  put("detail-state", openEnded ? `This session has ended. ${openSaid ?? ""}` : openAt ? told(point) : "…");
  const fields = [["session", s.session], ["peer", s.peer], ["protocol", s.protocol && `${s.protocol}${s.tls ? ", TLS" : ""}`], ["connected for", time(s.age_ms)],
    ["interval", time(s.interval_ms)], ["timeout", s.timeout_ms == null ? "none" : time(s.timeout_ms)], ["verdict in", openAt && !openEnded && due(point) !== Infinity ? time(due(point)) : "–"],
    ["round trip", s.rtt_ms == null ? "unknown" : time(s.rtt_ms)], ["health", s.health ?? "not reported"], ["beats", whole(s.beats)], ["queued for it", bytes(s.queued ?? 0)], ["epoch", s.epoch == null ? "–" : String(s.epoch)]];
  const list = $("detail-fields");
  if (!list.children.length) for (const [name] of fields) list.append(el("dt", {}, name), el("dd"));
  fields.forEach(([, value], i) => { const dd = list.children[2 * i + 1]; if (dd.textContent !== (value ?? "–")) dd.textContent = value ?? "–"; });
  $("kick").disabled = openEnded;
  put("kick-needs", token ? "" : "needs the server's token");
  drawTrace(point);
}

/** Silence over time: it rises until something is heard. Each beat is a mark below. */
function drawTrace(point) {
  const canvas = $("trace"), { c, width, height } = sheet(canvas);
  if (!colours || !beatsAt.length) return;
  const timeout = timeoutOf(point), until = openEnded ? openAt : clock();
  const span = clamp((timeout ?? 30_000) * 2, 20_000, 180_000), top = 26, bottom = 22;
  const most = (timeout ?? Math.max(20_000, silenceOf(point))) * 1.02;
  const x = (at) => width - 8 - (until - at) / span * (width - 16), y = (silence) => height - bottom - Math.min(silence / most, 1) * (height - bottom - top);
  if (timeout) {
    c.strokeStyle = c.fillStyle = colours.hot;
    c.lineWidth = 1.5;
    c.beginPath();
    c.moveTo(0, y(timeout)); c.lineTo(width, y(timeout));
    c.stroke();
    c.fillText(`verdict after ${time(timeout)}`, 8, y(timeout) - 7);
  }
  const path = new Path2D();
  beatsAt.forEach(({ at }, i) => {
    const end = beatsAt[i + 1]?.at ?? until;
    path.lineTo(x(at), y(0));
    path.lineTo(x(end), y(end - at));
  });
  c.strokeStyle = c.fillStyle = colours.calm;
  c.lineWidth = 2;
  c.lineJoin = "round";
  c.stroke(path);
  path.lineTo(x(until), y(0));
  c.globalAlpha = 0.13;
  c.fill(path);
  c.globalAlpha = 1;
  for (const { at, count } of beatsAt) {
    if (x(at) < 0) continue;
    c.beginPath();
    c.arc(x(at), y(0), 3.5, 0, 7);
    c.fill();
    if (count > 1) { c.textAlign = "center"; c.fillText(`+${count}`, x(at), height - 7); c.textAlign = "left"; }
  }
  c.fillStyle = colours.soft;
  if (beatsAt.length < 2 || x(beatsAt[0].at) > 80) c.fillText(`${time(span)} ago`, 8, height - 7);
  canvas.setAttribute("aria-label", `${beatsAt.length - 1} arrivals seen while this was open; silent for ${time(silenceOf(point))} now${timeout ? `, verdict after ${time(timeout)}` : ""}`);
}
