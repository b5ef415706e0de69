// Clients of protocol v1 (PROTOCOL.md) for a picture of the page: `node crowd.mjs PORT COUNT SECONDS`,
// with the interval in seconds. They are real connections. Their round trips are not: each client says
// that it held the server's beats for less time than it did, as if it were so far away. A few hang, and
// come back; a few leave, and others come.

import net from "node:net";

const [port, count] = process.argv.slice(2, 4).map(Number);
const interval = Number(process.argv[4]) * 1000;
const PLACES = ["hall", "dock", "roof", "lift", "gate", "pump", "kiln", "yard"];
const THINGS = ["door", "lamp", "meter", "sensor", "camera"];

const HEART = 0, HELLO = 2, WELCOME = 3;

function frame(type, body) {
  const header = Buffer.alloc(8);
  header.writeInt32LE(type, 0);
  header.writeInt32LE(body.length, 4);
  return Buffer.concat([header, body]);
}

/** CBOR, as much as a HELLO needs. */
function cbor(value) {
  const head = (major, n) => {
    if (n < 24) return Buffer.from([major << 5 | n]);
    const bytes = Buffer.alloc(5);
    bytes[0] = major << 5 | 26;
    bytes.writeUInt32BE(n, 1);
    return bytes;
  };
  if (typeof value === "number") return head(0, value);
  if (typeof value === "string") return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)]);
  return Buffer.concat([head(5, value.size), ...[...value].flat().map(cbor)]);
}

function client(number) {
  const name = `${PLACES[number % 8]}/${THINGS[number % 5]}-${100 + number}`;
  // From under a millisecond to more than a second, most of them some tens.
  const away = Math.exp(3 + (Math.random() + Math.random() + Math.random() - 1.5) * 3.2);
  const began = process.hrtime.bigint();
  const stream = net.connect(port, "127.0.0.1");
  let rest = Buffer.alloc(0), nonce = 0n, readAt = began, timer;

  const beat = () => {
    const body = Buffer.alloc(32), now = process.hrtime.bigint();
    body.writeBigUInt64LE(now - began + 1n, 0);
    body.writeBigUInt64LE(nonce, 8);
    body.writeUInt32LE(Math.max(0, Number((now - readAt) / 1000n) - Math.round(away * 1000)), 16);
    body.writeUInt32LE(Number((now - readAt) / 1000000n), 20);
    body.writeUInt32LE(interval, 24);
    stream.write(frame(HEART, body));
    timer = setTimeout(beat, interval * (0.75 + Math.random() / 4));
  };

  const resume = new Map([[0, 65536], [1, 65536], [2, 60_000]]);
  const hello = [[0, [1, 1]], [1, name], [3, interval], [4, 100], [5, interval], [7, 3_600_000], [8, "crowd"], [12, resume]];
  stream.write(frame(HELLO, cbor(new Map(hello))));
  stream.on("data", (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 8 && rest.length >= 8 + rest.readInt32LE(4)) {
      const type = rest.readInt32LE(0), body = rest.subarray(8, 8 + rest.readInt32LE(4));
      if (type === WELCOME) beat();
      if (type === HEART && body.length >= 32) [nonce, readAt] = [body.readBigUInt64LE(0), process.hrtime.bigint()];
      rest = rest.subarray(8 + body.length);
    }
  });
  stream.on("error", () => {});
  stream.on("close", () => {
    clearTimeout(timer);
    setTimeout(() => { clients[number] = client(number); }, interval * (0.5 + 3 * Math.random()));
  });
  return { hang: () => clearTimeout(timer), leave: () => stream.end() };
}

const clients = [];
const connect = setInterval(() => {
  for (let i = 0; i < 25 && clients.length < count; i++) clients.push(client(clients.length));
  if (clients.length === count) clearInterval(connect);
}, 50);
// All but the first ten, which a picture of one session can count on.
const any = () => clients[10 + Math.floor(Math.random() * (clients.length - 10))];
setInterval(() => any()?.hang(), 1500);
setInterval(() => any()?.leave(), 3000);
