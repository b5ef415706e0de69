// Points: one for each session, moved by its silence.

// id → { s: its session, heardAt, awayUntil, y and x: where it is drawn, seen: in which round,
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

/** Takes over what an answer says of a session, unless an event has said something since it was asked for. */
function place(s, at, askedAt) {
  let point = points.get(s.session);
  if (point ? point.toldAt > askedAt : endedAt.get(s.session) > askedAt) return point;
  if (!point) {
    point = { y: heightOf(s.session), flash: 0 };
    points.set(s.session, point);
  }
  const heardAt = at - s.silence_ms;
  // Answers take a few milliseconds, now more and now fewer: no point trembles for that.
  if (!(Math.abs(heardAt - point.heardAt) < 60)) point.heardAt = heardAt;
  point.awayUntil = s.away_within_ms == null ? undefined : at + s.away_within_ms;
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
/** Silence as a share of the timeout; `undefined` where there is none, or no connection. */
const shareOf = (point) => point.awayUntil || !timeoutOf(point) ? undefined : silenceOf(point) / timeoutOf(point);

/** What an event changes in the picture before the next answer does. */
function eventToPoints(kind, e) {
  if (asHeat) return;
  const point = points.get(e.session);
  if (kind === "online" && !point) {
    const stated = e.to_server ?? {};
    const s = { session: e.session, name: e.name ?? null, peer: e.peer, silence_ms: 0, away_within_ms: null, rtt_ms: null, beats: 0, queued: 0,
      age_ms: 0, interval_ms: stated.interval_ms ?? stats?.policy?.interval_ms ?? null, timeout_ms: stated.timeout_ms ?? stats?.policy?.timeout_ms ?? null };
    Object.assign(place(s, now(), Infinity), { toldAt: now(), flash: now() });
  } else if (kind === "offline") {
    points.delete(e.session);
    endedAt.set(e.session, now());
  } else if (point && kind === "away") Object.assign(point, { toldAt: now(), awayUntil: now() + (e.within_ms ?? 0) });
  else if (point && kind === "back") Object.assign(point, { toldAt: now(), awayUntil: undefined, heardAt: now(), flash: now() });
  if (kind === "verdict") ghosts.push({ y: point?.y ?? heightOf(e.session), at: now(), name: named(e) });
}
const ghosts = [];
