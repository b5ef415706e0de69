"""A session that outlives its connections, which are its links: positions, what is kept for the
peer, and proofs. A position is how many counted frames came before it, and how many bytes."""

import hashlib
import hmac
import struct

from frames import END, Wrong, frame

POSITION = struct.Struct("<QQ")
PROOF = struct.Struct("<16sBQQIQQ")
CLIENT, SERVER = 0, 1
ACK_AT_MOST = 65_536


def after(position, some):
    """The position after a frame, or after several."""
    return position[0] + 1, position[1] + len(some)


def difference(to, since):
    return dict(zip(("frames", "bytes"), (to[0] - since[0], to[1] - since[1])))


class Session:
    def __init__(self, agreed, session, epoch, name, is_client):
        self.server, self.key, self.grace = agreed["server"], agreed["key"], agreed["grace"]
        self.session, self.epoch, self.name = session, epoch, name
        windows = agreed["to_server"], agreed["to_client"]
        self.window_out, self.window_in = windows if is_client else reversed(windows)
        self.link = 1
        self.beaten = self.is_over = self.is_taken_over = False
        self.away_until = None
        # What this end sends: each frame that is not acknowledged, and how many of these were written on this link.
        self.kept, self.next = [], 0
        self.acked = self.written = (0, 0)
        # What the peer sends.
        self.received = self.taken = self.said = (0, 0)
        self.queue, self.holds, self.echoes = [], False, False
        self.has_ended = self.peer_has_ended = False

    def proof(self, role, position):
        text = PROOF.pack(b"heartwire resume", role, self.server, self.session, self.link, *position)
        return hmac.new(self.key, text, hashlib.sha256).digest()

    def is_proof(self, proof, role, position):
        return hmac.compare_digest(proof, self.proof(role, position))

    # Outward.

    def send(self, kind, body=b""):
        some = frame(kind, body)
        if self.has_ended or (kind != END and len(some) > self.window_out // 2):
            raise ValueError("too long for the window, or after the END")
        self.has_ended = kind == END
        self.kept.append(some)

    def next_frame(self):
        """What may be written now, if anything may."""
        if self.next == len(self.kept):
            return None
        position = self.acked
        for some in self.kept[: self.next + 1]:
            position = after(position, some)
        is_end = self.has_ended and self.next + 1 == len(self.kept)
        if not is_end and position[1] - self.acked[1] > self.window_out:
            return None
        self.next += 1
        self.written = max(self.written, position)
        return self.kept[self.next - 1]

    def check(self, position, least):
        """Refuses a position that the peer cannot have."""
        if position[0] < least[0] or position[1] < least[1] or position[0] > self.written[0]:
            raise Wrong("bad_position")
        end = self.acked
        for some in self.kept[: position[0] - self.acked[0]]:
            end = after(end, some)
        if tuple(position) != end:
            raise Wrong("bad_position")

    def handle_taken(self, position):
        self.check(position, self.acked)
        count = position[0] - self.acked[0]
        self.kept, self.next = self.kept[count:], max(0, self.next - count)
        self.acked = tuple(position)

    def resume_from(self, position):
        """A new link: the peer has received the frames up to here. Returns what it is sent again."""
        self.check(position, self.acked)
        self.next = position[0] - self.acked[0]
        return difference(self.written, position)

    def unacknowledged(self):
        """What was written, and may not have been taken over."""
        return difference(self.written, self.acked)

    # Inward.

    def handle_counted(self, kind, body):
        some = frame(kind, body)
        self.received = after(self.received, some)
        if kind != END and self.received[1] - self.said[1] > self.window_in:
            raise Wrong("window")
        self.peer_has_ended = kind == END
        self.queue.append((kind, body))

    def take(self):
        """What the application takes over now."""
        while self.queue and not self.holds:
            kind, body = self.queue.pop(0)
            self.taken = after(self.taken, frame(kind, body))
            yield kind, body

    def ack_is_due(self):
        news = self.taken[1] - self.said[1]
        is_last = self.peer_has_ended and self.taken == self.received
        return news > 0 and (is_last or news >= min(self.window_in // 4, ACK_AT_MOST))

    def say_taken(self):
        self.said = self.taken
        return POSITION.pack(*self.taken)

    def is_complete(self):
        """Whether each end has sent its END, and has had the other one acknowledged."""
        return self.has_ended and not self.kept and self.peer_has_ended and self.said == self.received

    def positions(self):
        return {"received": self.received, "taken": self.taken, "acknowledged": self.acked, "written": self.written}
