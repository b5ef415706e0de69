// Points: one for each session, moved by its silence.

// id → { s: its session, heardAt, dueAt: when its verdict is, awayUntil, y and x: where it is drawn, seen: in which round,
// toldAt: when an event last said something about it, flash: when it was heard again }
const points = new Map();
const endedAt = new Map();
let round = 0, cursor, roundAt = 0;

/** A session's height in the picture: always the same, and neighbours far apart. */
function heightOf(id) {
  let sum = 0;
  for (const number of id.match(/\d+/g) ?? []) sum = sum * 3.7 + Number(number) % 1e6;
  return (sum * 0.6180339887) % 1;
}

/** When a session was heard, has its verdict, and is given up, of an answer that came at `at`. */
function instants(s, at) {
  const after = (ms) => ms == null ? undefined : at + ms;
  return { heardAt: at - s.silence_ms, dueAt: after(s.due_ms), awayUntil: after(s.away_within_ms) };
}

/** Takes over what an answer says of a session, unless an event has said something since it was asked for. */
function place(s, at, askedAt) {
  let point = points.get(s.session);
  if (point ? point.toldAt > askedAt : endedAt.get(s.session) > askedAt) return point;
  if (!point) {
    point = { y: heightOf(s.session), flash: 0 };
    points.set(s.session, point);
  }
  const { heardAt, dueAt, awayUntil } = instants(s, at);
  // Answers take a few milliseconds, now more and now fewer: no point trembles for that.
  if (!(Math.abs(heardAt - point.heardAt) < 60 && Math.abs(dueAt - point.dueAt) < 60)) Object.assign(point, { heardAt, dueAt });
  point.awayUntil = awayUntil;
  point.s = s;
  point.seen = round;
  return point;
}

async function askPoints() {
  if (cursor === undefined) {
    round++;
    for (const [id, at] of endedAt) if (at < roundAt) endedAt.delete(id);
    roundAt = now();
  }
  for (let page = 0; page < PAGES; page++) {
    const query = new URLSearchParams({ sort: "id", limit: 1000, ...cursor && { after: cursor } });
    const askedAt = now(), answer = await ask(`/v1/sessions?${query}`), at = now();
    for (const s of answer.sessions) place(s, at, askedAt);
    cursor = answer.after ?? undefined;
    pictureAt = at;
    if (cursor === undefined) {
      // What the round has not seen, and no event has brought since, is gone.
      if (!answer.missing_shards?.length) {
        for (const [id, point] of points) if (point.seen !== round && !(point.toldAt > roundAt)) points.delete(id);
      }
      return;
    }
  }
}

const timeoutOf = (point) => point.s.timeout_ms;
const silenceOf = (point) => Math.max(0, clock() - point.heardAt);
/** The time left until its verdict, if it stays silent. After a pause of the server that is more than its silence leaves. */
const due = (point) => point.awayUntil || point.dueAt === undefined ? Infinity : Math.max(0, point.dueAt - clock());
/** How much of its timeout it has used; `undefined` where there is none, or no connection. */
const shareOf = (point) => due(point) === Infinity || !timeoutOf(point) ? undefined : Math.max(0, 1 - due(point) / timeoutOf(point));

/** What an event changes in the picture before the next answer does. */
function eventToPoints(kind, e) {
  if (asHeat) return;
  const point = points.get(e.session);
  if (kind === "online" && !point) {
    const stated = e.to_server ?? {};
    const s = { session: e.session, name: e.name ?? null, peer: e.peer, silence_ms: 0, away_within_ms: null, rtt_ms: null, beats: 0, queued: 0,
      age_ms: 0, interval_ms: stated.interval_ms ?? stats?.policy?.interval_ms ?? null, timeout_ms: stated.timeout_ms ?? stats?.policy?.timeout_ms ?? null };
    s.due_ms = s.timeout_ms;
    Object.assign(place(s, now(), Infinity), { toldAt: now(), flash: now() });
  } else if (kind === "offline") {
    points.delete(e.session);
    endedAt.set(e.session, now());
  } else if (point && kind === "away") Object.assign(point, { toldAt: now(), awayUntil: now() + (e.within_ms ?? 0) });
  else if (point && kind === "back") Object.assign(point, { toldAt: now(), awayUntil: undefined, heardAt: now(), dueAt: point.s.timeout_ms == null ? undefined : now() + point.s.timeout_ms, flash: now() });
  if (kind === "verdict") ghosts.push({ y: point?.y ?? heightOf(e.session), at: now(), name: named(e) });
}
const ghosts = [];
