// Node with `ws`: the way its README detects broken connections. A server sends a ping each
// interval, and terminates a connection that has not answered the last one. `ws` itself answers
// the pings of clients. Arguments: the port, and the interval in ms.
'use strict';

const { WebSocketServer, WebSocket } = require('ws');

const [port, interval] = process.argv.slice(2).map(Number);
const server = new WebSocketServer({ host: '127.0.0.1', port, backlog: 4096 });

server.on('listening', () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});

server.on('connection', (socket) => {
  socket.isAlive = true;
  socket.on('pong', () => { socket.isAlive = true; });
  socket.on('error', () => socket.terminate());
});

setInterval(() => {
  for (const socket of server.clients) {
    if (!socket.isAlive) {
      socket.terminate();
      continue;
    }
    socket.isAlive = false;
    if (socket.readyState === WebSocket.OPEN) socket.ping();
  }
}, interval);
