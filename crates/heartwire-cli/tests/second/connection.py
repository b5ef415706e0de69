"""A connection after its WELCOME: beats, verdicts and promises."""

import json
import select
import socket
import struct
import time

from frames import ACK, BYE, BYE_KEYS, DATA, END, HEAD, HEART, PAD, U32, Ended, Wrong, control, frame, read_bye
from frames import Direction
from session import POSITION

BEAT = struct.Struct("<QQIIIHBB")
TOO_OFTEN = 1
DATA_MAX = PAD_MAX = 65_536
BEAT_MAX = 128
# How much waits for the socket before more counted frames are written.
WRITE_MAX = 65_536
FRAME_TIME = 30.0
CREDIT = 64
CREDIT_TIME = 15 * 60


def say(event, **fields):
    # Bytes are secrets.
    print(json.dumps({"event": event, **fields}, default=lambda _: "(not shown)"), flush=True)


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.start = self.heard_at = time.monotonic()
        self.inbound, self.outbound = b"", b""
        self.frame_begun_at = None
        self.tail = b""
        self.mute = self.paused = self.write_on = self.flooding = False
        self.deaf_since = self.last_silence = None
        self.inward = self.session = None
        self.is_superseded = False
        self.cut = {}

    # Bytes.

    def read(self):
        """Reads once, if there is something. Returns whether there was."""
        try:
            some = self.sock.recv(65_536)
        except BlockingIOError:
            return False
        except ConnectionError:
            raise Ended("reset") from None
        if not some:
            raise Ended("truncated" if self.inbound else "closed_by_peer")
        self.heard_at = time.monotonic()
        self.inbound += some
        return True

    def unread_data(self):
        """How many messages have arrived and were not read."""
        try:
            some = self.inbound + self.sock.recv(65_536, socket.MSG_PEEK)
        except BlockingIOError:
            some = self.inbound
        count = 0
        while len(some) >= HEAD.size:
            kind, length = HEAD.unpack_from(some)
            some = some[HEAD.size + length :]
            count += kind == DATA
        return count

    def write(self, some):
        if not self.mute:
            self.outbound += some

    def flush(self):
        try:
            self.outbound = self.outbound[self.sock.send(self.outbound) :]
        except BlockingIOError:
            pass
        except ConnectionError:
            raise Ended("reset") from None

    def next_frame(self, lengths):
        """The next whole frame of those types, each with its shortest and longest length."""
        if len(self.inbound) >= HEAD.size:
            kind, length = HEAD.unpack_from(self.inbound)
            if not HEART <= kind <= END:
                raise Wrong("unknown_type")
            if length < 0:
                raise Wrong("negative_length")
            if kind not in lengths:
                raise Wrong("unexpected")
            least, most = lengths[kind]
            if not least <= length <= most:
                raise Wrong({HEART: "beat_length", ACK: "bad_ack"}.get(kind, "too_long"))
            end = HEAD.size + length
            if len(self.inbound) >= end:
                body, self.inbound = self.inbound[HEAD.size : end], self.inbound[end:]
                self.frame_begun_at = None
                return kind, body
        if self.inbound and self.frame_begun_at is None:
            self.frame_begun_at = time.monotonic()
        return None

    def wait_for_frame(self, lengths, deadline):
        """The same for the handshake, which has one deadline."""
        while True:
            came = self.next_frame(lengths)
            if came is not None:
                return came
            left = deadline - time.monotonic()
            if left <= 0:
                raise Wrong("no_first_frame")
            writes = [self.sock] if self.outbound else []
            readable, writable, _ = select.select([self.sock], writes, [], left)
            if writable:
                self.flush()
            if readable:
                self.read()

    # After the WELCOME.

    def begin(self, welcome, is_client, session=None):
        self.session = session
        min_interval = welcome["min_interval"]
        to_server = Direction(*(welcome.get(f"server_{key}") for key in ("interval", "timeout", "max_timeout")), min_interval)
        to_client = Direction(*(welcome.get(f"client_{key}") for key in ("interval", "timeout", "max_timeout")), min_interval)
        self.inward, self.outward = (to_client, to_server) if is_client else (to_server, to_client)
        self.wake_bytes = welcome["wake_bytes"] if is_client else 0
        self.is_client = is_client
        self.timeout, self.promise = self.inward.timeout, self.outward.interval
        self.promised_to_us = None
        self.nonce, self.heard_nonce, self.heard_nonce_at = 0, 0, self.start
        self.peer_heard_at = self.credited_at = time.monotonic()
        self.peer_silence, self.promise_said = 0, 0
        self.credit, self.beat_due_at = CREDIT, time.monotonic()
        self.health, self.notice = 0, 0
        self.said = self.promise, self.health
        self.frame_begun_at = None

    def send_beat(self):
        now = time.monotonic()
        self.nonce = max(self.nonce, int((now - self.start) * 1e9) + 1)
        if (self.promise or 0) < self.promise_said:
            # Until now the peer had no reason to expect a beat so soon.
            self.peer_heard_at = max(self.peer_heard_at, now)
        self.promise_said = self.promise or 0
        body = BEAT.pack(
            self.nonce,
            self.heard_nonce,
            min(int((now - self.heard_nonce_at) * 1e6), U32),
            min(int((now - (self.deaf_since or self.heard_at)) * 1e3), U32),
            self.promise or 0,
            min(max(0, int((now - self.beat_due_at) * 1e3)), 65_535),
            self.health,
            self.notice | (TOO_OFTEN if self.credit < 0 else 0),
        )
        if self.session is not None:
            body += self.session.say_taken()
        body += self.tail
        # What is new is to be read at once.
        said = self.promise, self.health
        self.write(frame(HEART, body) if said == self.said else self.padded(frame(HEART, body)))
        self.said = said
        self.beat_due_at = None if self.promise is None else now + self.promise / 1e3

    def send_data(self, body):
        if self.session is not None:
            self.session.send(DATA, body)
        else:
            self.write(self.padded(frame(DATA, body)))

    def write_session(self):
        """An acknowledgement that is due, and then as many counted frames as may be written."""
        if self.session.ack_is_due():
            self.write(frame(ACK, self.session.say_taken()))
        while len(self.outbound) < WRITE_MAX:
            some = self.session.next_frame()
            if some is None:
                return
            self.write(self.padded(some))

    def padded(self, some):
        """Long enough to wake the server."""
        if len(some) < self.wake_bytes:
            some += frame(PAD, bytes(max(0, self.wake_bytes - len(some) - HEAD.size)))
        return some

    def handle_beat(self, body):
        nonce, echo, held, silence, promise, late, health, notices = BEAT.unpack_from(body)
        if echo > self.nonce:
            raise Wrong("unknown_nonce")
        self.charge()
        self.heard_nonce, self.heard_nonce_at = nonce, self.heard_at
        self.peer_silence = self.last_silence = silence
        rtt = None
        if echo:
            rtt = max(0.0, (self.heard_at - self.start) * 1e3 - (echo - 1) / 1e6 - held / 1e3)
        if promise:
            if promise > self.inward.promise_max():
                raise Wrong("promise_too_long")
            self.promised_to_us = self.inward.counted(promise)
            self.timeout = self.inward.timeout_for(self.promised_to_us)
        taken = None
        if self.session is not None:
            self.session.beaten = True
            if len(body) >= BEAT.size + POSITION.size:
                taken = POSITION.unpack_from(body, BEAT.size)
                self.session.handle_taken(taken)
        say("beat", taken=taken, rtt_ms=rtt, silence_ms=silence, promise_ms=promise, late_ms=late, health=health, notices=notices)

    def charge(self):
        intervals = [ms for ms in (self.inward.interval, self.promised_to_us) if ms is not None]
        half = min(intervals, default=self.inward.min_interval) / 2e3
        gained = int((time.monotonic() - self.credited_at) / half)
        self.credited_at += gained * half
        most = max(CREDIT, int(CREDIT_TIME / half), gained)
        self.credit = max(self.credit, min(self.credit + gained, most)) - 1
        if self.credit < -CREDIT:
            raise Wrong("too_fast")
        if self.credit == -1:
            self.beat_due_at = time.monotonic()

    def deadlines(self):
        """When to look again, and why: the verdicts that may be due then."""
        if self.timeout is not None:
            yield self.heard_at + self.timeout / 1e3, "silence"
        theirs = self.outward.timeout_for(self.promise)
        if self.timeout is not None and theirs is not None and self.peer_silence >= theirs:
            yield self.peer_heard_at + (theirs + self.timeout) / 1e3, "unheard"
        if self.frame_begun_at is not None:
            length = HEAD.unpack_from(self.inbound)[1] if len(self.inbound) >= HEAD.size else 0
            yield self.frame_begun_at + FRAME_TIME + length // 1024, "slow_frame"

    def lengths(self):
        lengths = {HEART: (BEAT.size, BEAT_MAX), DATA: (0, DATA_MAX), BYE: (0, 512), PAD: (0, PAD_MAX)}
        if self.session is not None:
            lengths |= {ACK: (POSITION.size, POSITION.size), END: (0, 0)}
            if self.session.peer_has_ended:
                del lengths[DATA], lengths[END]
        return lengths

    def handle_frames(self):
        while (came := self.next_frame(self.lengths())) is not None:
            kind, body = came
            if kind == HEART:
                self.handle_beat(body)
            elif kind == BYE:
                self.handle_bye(read_bye(body))
            elif kind == ACK:
                self.session.handle_taken(POSITION.unpack(body))
                say("ack", taken=POSITION.unpack(body))
            elif kind in (DATA, END) and self.session is not None:
                self.session.handle_counted(kind, body)
            elif kind == DATA:
                say("data", text=body[:100].decode(errors="replace"))
            self.take()

    def take(self):
        for kind, body in self.session.take() if self.session is not None else ():
            if kind == END:
                say("peer_end")
            else:
                say("data", text=body[:100].decode(errors="replace"))
                if self.session.echoes:
                    self.session.send(DATA, body)

    def handle_bye(self, bye):
        say("bye", **bye)
        if self.session is not None:
            self.session.is_over = True
            if "taken" in bye:
                self.session.handle_taken(bye["taken"])
            if not self.is_client:
                # So that the client knows what was taken over.
                self.leave(0, 1)
            else:
                say("over", exact="taken" in bye, undelivered=self.session.unacknowledged())
        raise Ended("bye")

    def run(self, commands, door=None):
        """Keeps the connection until it ends, by raising Ended or Wrong.

        `door` is where other connections come, if it matters: it may supersede this one.
        """
        while True:
            # Bytes that have arrived outrank a deadline, and a beat tells what has been heard.
            if not self.paused:
                has_read = self.read()
            self.handle_frames()
            # Of beats that were read together, the last alone counts.
            if self.last_silence is not None:
                self.peer_heard_at = max(self.peer_heard_at, self.heard_at - self.last_silence / 1e3)
                self.last_silence = None
            if self.is_superseded and (self.paused or not has_read):
                self.reset()
                raise Ended("superseded")
            now = time.monotonic()
            for at, why in self.deadlines():
                if now >= at:
                    self.judge(why, now)
            if self.beat_due_at is not None and now >= self.beat_due_at and not self.outbound:
                self.send_beat()
            if self.session is not None:
                self.write_session()
            if self.outbound:
                self.flush()
            if self.session is not None and self.session.is_complete() and not self.outbound:
                self.leave(0, 1)
                raise Ended("left")
            if self.flooding and not self.outbound:
                self.flooding = False
                say("flooded")
            due = [at for at, _ in self.deadlines()]
            if self.beat_due_at is not None and not self.outbound:
                due.append(self.beat_due_at)
            wait = max(0.0, min(due) - time.monotonic()) if due else None
            if self.is_superseded:
                wait = 0.0
            writes = [self.sock] if self.outbound else []
            reads = [] if self.paused else [self.sock]
            doors = [door] if door is not None and door.is_open() else []
            readable, _, _ = select.select([*reads, *commands, *doors], writes, [], wait)
            for stream in readable:
                if stream is door:
                    self.is_superseded = door.answer()
                elif stream is not self.sock:
                    self.obey(stream.readline().decode().split(), commands)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def judge(self, why, now):
        if why == "slow_frame":
            raise Wrong(why)
        since = self.heard_at if why == "silence" else self.peer_heard_at
        say("verdict", cause=why, silence_ms=(now - since) * 1e3)
        self.reset()
        raise Ended("dead")

    def obey(self, words, commands):
        if not words:
            commands.clear()
        elif words[0] == "data":
            self.send_data(" ".join(words[1:]).encode())
        elif words[0] == "promise":
            # What the peer said before was said under another promise.
            self.promise, self.peer_silence = int(words[1]), 0
            self.beat_due_at = time.monotonic()
        elif words[0] == "health":
            self.health, self.beat_due_at = int(words[1]), time.monotonic()
        elif words[0] == "notice":
            self.notice, self.beat_due_at = int(words[1]), time.monotonic()
        elif words[0] == "tail":
            self.tail, self.beat_due_at = bytes(int(words[1])), time.monotonic()
        elif words[0] == "mute":
            self.mute = True
        elif words[0] == "deaf":
            self.deaf_since = time.monotonic()
        elif words[0] in ("pause", "resume"):
            self.paused = words[0] == "pause"
            say(words[0])
        elif words[0] == "peek":
            say("peek", data=self.unread_data())
        elif words[0] == "raw":
            self.write(bytes.fromhex(words[1]))
        elif words[0] == "flood":
            self.write(int(words[1]) * frame(DATA, bytes(DATA_MAX)))
            self.flooding = True
        elif words[0] == "end":
            self.session.send(END)
        elif words[0] in ("hold", "take"):
            self.session.holds = words[0] == "hold"
            self.take()
            say(words[0], **self.session.positions())
        elif words[0] == "echo":
            self.session.echoes = True
            say("echo")
        elif words[0] == "cut":
            self.cut = json.loads(" ".join(words[1:]) or "{}")
            if not self.cut.get("keep"):
                self.reset()
            raise Ended("cut")
        elif words[0] == "forget":
            self.cut = {"forget": True}
            self.reset()
            raise Ended("left")
        elif words[0] == "close":
            self.leave_without_bye()
            raise Ended("left")
        elif words[0] == "bye":
            code, retry, *more = words[1:]
            has_window = retry == "2"
            earliest, latest = map(int, more[:2]) if has_window else (None, None)
            detail = " ".join(more[2:] if has_window else more) or None
            self.leave(int(code), int(retry), earliest=earliest, latest=latest, detail=detail)
            raise Ended("left")

    def leave(self, code, retry, **more):
        """Says BYE, and sees to it that no reset overtakes it."""
        if self.session is not None:
            self.session.is_over = True
            more["taken"] = self.session.taken
        self.write(control(BYE, BYE_KEYS, code=code, retry=retry, **more))
        self.leave_without_bye()
        if self.session is not None:
            say("over", exact=self.hear_last(), undelivered=self.session.unacknowledged())

    def hear_last(self):
        """Whether the peer said in a BYE what it has taken over for good."""
        while (came := self.next_frame(self.lengths())) is not None:
            kind, body = came
            if kind == BYE and "taken" in (bye := read_bye(body)):
                self.session.handle_taken(bye["taken"])
                return True
        return False

    def leave_without_bye(self):
        self.sock.settimeout(1)
        try:
            self.sock.sendall(self.outbound)
            self.sock.shutdown(socket.SHUT_WR)
            while some := self.sock.recv(65_536):
                self.inbound += some
        except OSError:
            pass


def write_on(sock):
    """Goes on writing after the other end's BYE, and says whether and when a reset is the answer."""
    sock.settimeout(1)
    told_at = time.monotonic()
    answer = "nothing"
    try:
        for _ in range(3):
            sock.sendall(frame(PAD, b""))
            time.sleep(0.03)
            while sock.recv(65_536):
                pass
    except OSError:
        answer = "reset"
    say("wrote_on", answer=answer, after_ms=(time.monotonic() - told_at) * 1e3)


def finish(connection, outcome):
    """Runs `outcome` to its end, says what that was, and closes. Returns it."""
    reason = "protocol_error"
    try:
        outcome()
    except Wrong as wrong:
        say("end", reason=reason, violation=str(wrong))
        # An end is told why only once a HELLO has been answered.
        if connection.inward is not None:
            code = 8 if str(wrong) == "too_fast" else 9
            connection.leave(code, 1, detail=str(wrong))
    except Ended as ended:
        reason = str(ended)
        if connection.write_on and reason in ("bye", "rejected"):
            write_on(connection.sock)
        say("end", reason=reason)
    if not connection.cut.get("keep"):
        connection.sock.close()
    return reason
