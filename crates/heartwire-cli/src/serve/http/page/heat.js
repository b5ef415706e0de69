// The heat map: how many sessions have which silence and which round trip.

// Round trips from the fast ones below to the slow ones above, and the unknown at the bottom.
const trips = () => [...heat.rtt_ms.map((edge, j) => j ? `${heat.rtt_ms[j - 1]} to ${edge} ms` : `under ${edge} ms`), `over ${heat.rtt_ms.at(-1)} ms`, "unknown"];
const silences = () => [...heat.silence.map((edge, i) => `${Math.round((heat.silence[i - 1] ?? 0) * 100)} to ${Math.round(edge * 100)} %`), "over 100 %"];
const rowOf = (j) => j === heat.counts[0].length - 1 ? 0 : j + 1;

function drawHeat() {
  const { c, width, height } = sheet($("sky"));
  if (!colours || !width || !heat) return;
  const phone = width < 560, bottom = 30, left = phone ? 52 : 92, right = phone ? 30 : 70;
  axes(c, width, height, left, right, bottom);
  const { plot, top, lineX } = layout, columns = heat.silence.length, rows = heat.counts[0].length;
  const wide = plot / columns, high = (height - bottom - top) / rows, over = width - lineX - 8;
  const most = Math.max(1, ...heat.counts.flat());
  Object.assign(layout, { wide, high, rows, columns });
  heat.counts.forEach((row, i) => row.forEach((count, j) => {
    const x = i < columns ? left + i * wide : lineX + 4, y = height - bottom - (rowOf(j) + 1) * high, w = i < columns ? wide : over;
    // A single session that is late must not be overlooked.
    const depth = count ? Math.max(i < columns / 2 ? 0.16 : 0.5, Math.log1p(count) / Math.log1p(most)) : 0;
    const colour = count ? hexOf(mix(colours.sunk, hexOf(ramp((i + 0.5) / columns)), depth)) : colours.sunk;
    c.fillStyle = colour;
    c.beginPath();
    c.roundRect(x + 1, y + 1, Math.max(1, w - 2), Math.max(1, high - 2), 3);
    c.fill();
    if (count && w > 30 && high > 13) {
      c.fillStyle = contrast(colour, colours.ink) > contrast(colour, colours.sunk) ? colours.ink : colours.sunk;
      c.textAlign = "center";
      c.fillText(whole(count), x + w / 2, y + high / 2 + 0.5, w - 4);
    }
    if (cell?.i === i && cell.j === j) {
      c.strokeStyle = colours.focus;
      c.lineWidth = 2.5;
      c.stroke();
      tip(x + w / 2, y, `${whole(count)} sessions: silence ${silences()[i]} of the timeout, round trip ${trips()[j]}`);
    }
  }));
  c.fillStyle = colours.soft;
  c.textAlign = "right";
  trips().forEach((name, j) => {
    const short = j === rows - 1 ? "unknown" : j === rows - 2 ? `> ${heat.rtt_ms.at(-1)} ms` : `< ${heat.rtt_ms[j]} ms`;
    c.fillText(phone ? short.replace(" ms", "").replace("unknown", "?") : short, left - 8, height - bottom - (rowOf(j) + 0.5) * high);
  });
  c.textAlign = "left";
  c.fillText(phone ? "ms" : "round trip", phone ? 12 : 14, 16);
  verdictLine(c, height, bottom);
  if (!cell) tip();
}
/** How well two colours can be told apart, as WCAG has it. */
function contrast(a, b) {
  const [least, most] = [a, b].map((hex) => {
    const [red, green, blue] = parts(hex).map((part) => (part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
  }).sort((x, y) => x - y);
  return most / least;
}
const hexOf = (rgb) => `#${rgb.match(/\d+/g).map((part) => Number(part).toString(16).padStart(2, "0")).join("")}`;
