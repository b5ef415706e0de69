// Choosing in the picture by pointer or keys, and the picture in words.

let lastFrame = 0;
function frame(at) {
  requestAnimationFrame(frame);
  // 30 frames a second are smooth at this speed; where motion is unwelcome, or nothing moves, `show` draws.
  if (asHeat || trouble || calmly.matches || at - lastFrame < 30) return;
  lastFrame = at;
  drawSky();
}
requestAnimationFrame(frame);

/** A point near a place, or the next one in a direction. */
function near(x, y, far = 18) {
  let best, least = far * far;
  for (const [id, point] of points) {
    const d = (point.x - x) ** 2 + (point.drawnY - y) ** 2;
    if (d < least) [least, best] = [d, id];
  }
  return best;
}
function towards(dx, dy) {
  const from = points.get(picked);
  if (!from) return nearestToVerdict()?.s.session;
  let best, least = Infinity;
  for (const [id, point] of points) {
    const along = (point.x - from.x) * dx + (point.drawnY - from.drawnY) * dy;
    const across = Math.abs((point.x - from.x) * dy) + Math.abs((point.drawnY - from.drawnY) * dx);
    if (point !== from && along > 0 && along + 2.5 * across < least) [least, best] = [along + 2.5 * across, id];
  }
  return best ?? picked;
}
function nearestToVerdict() {
  let best;
  for (const point of points.values()) if (!best || (shareOf(point) ?? -1) > (shareOf(best) ?? -1)) best = point;
  return best;
}

function cellAt(x, y) {
  if (!heat || !layout?.high) return undefined;
  const row = Math.floor((layout.bottom - y) / layout.high);
  const i = x > layout.lineX ? layout.columns : Math.floor((x - layout.left) / layout.wide);
  if (i < 0 || row < 0 || row >= layout.rows) return undefined;
  return { i, j: row ? row - 1 : layout.rows - 1 };
}

$("sky").addEventListener("pointermove", (e) => {
  if (asHeat) cell = cellAt(e.offsetX, e.offsetY);
  else picked = near(e.offsetX, e.offsetY);
  drawSky();
});
$("sky").addEventListener("pointerleave", () => { picked = cell = undefined; drawSky(); });
$("sky").addEventListener("click", (e) => {
  const id = asHeat ? undefined : near(e.offsetX, e.offsetY, 26);
  if (id) openDetail(points.get(id).s, $("sky"));
});
$("sky").addEventListener("blur", () => { picked = cell = undefined; drawSky(); });
$("sky").addEventListener("keydown", (e) => {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key] ?? [0, 0];
  if (e.key === "Enter" && picked && points.has(picked)) return openDetail(points.get(picked).s, $("sky"));
  if (!dx && !dy) return;
  e.preventDefault();
  if (asHeat && heat) {
    const row = cell ? clamp(rowOf(cell.j) - dy, 0, heat.counts[0].length - 1) : 1;
    cell = { i: cell ? clamp(cell.i + dx, 0, heat.counts.length - 1) : 0, j: row ? row - 1 : heat.counts[0].length - 1 };
  } else picked = towards(dx, dy);
  drawSky();
  if (!$("tip").hidden) say($("tip").textContent);
});

/** The picture in words, under it. */
function summarise() {
  if (!stats) return "";
  const away = stats.now.away ? `, ${whole(stats.now.away)} away` : "";
  if (asHeat) {
    if (!heat) return "";
    const sums = heat.counts.map((row) => row.reduce((a, b) => a + b, 0));
    const between = (from, to) => sums.slice(from, to).reduce((a, b) => a + b, 0);
    return `${whole(between(0, 5))} sessions are silent for less than half of their timeout, ${whole(between(5, 8))} for 50 to 80 %, ${whole(between(8, 11))} for longer${away}.`
      + (heat.without_timeout ? ` ${whole(heat.without_timeout)} have no timeout.` : "");
  }
  if (!points.size) return trouble ? "" : "No session is connected.";
  let least = 0, middle = 0, most = 0;
  for (const point of points.values()) {
    const share = shareOf(point);
    if (share === undefined) continue;
    if (share < 0.5) least++; else if (share < 0.8) middle++; else most++;
  }
  const next = nearestToVerdict();
  return `${whole(least)} ${least === 1 ? "session is" : "sessions are"} silent for less than half of the timeout, ${whole(middle)} for 50 to 80 %, ${whole(most)} for longer${away}.`
    + (shareOf(next) === undefined ? "" : ` Nearest to its verdict: ${named(next.s)}, ${percent(shareOf(next))}.`);
}
