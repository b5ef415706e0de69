"""Frames, the CBOR in them, and what two ends agree on."""

import random
import struct
import sys

# Values may be nested as deep as a frame is long.
sys.setrecursionlimit(10_000)

HEAD = struct.Struct("<ii")
HEART, DATA, HELLO, WELCOME, BYE, PAD, ACK, END = range(8)
VERSION = 1


class Wrong(Exception):
    """The peer broke a rule; the text is the rule's name."""


class Ended(Exception):
    """The connection is over; the text is the reason."""


# CBOR, as much of it as there is in the bodies.


class Odd:
    """A value that is well-formed and that no field can have."""


class Pairs(list):
    """The keys and values of a map, which may repeat a key."""


def cbor(value):
    if isinstance(value, bool):
        return cbor_header(7, 20 + value)
    if isinstance(value, int):
        return cbor_header(0, value)
    if isinstance(value, bytes):
        return cbor_header(2, len(value)) + value
    if isinstance(value, str):
        return cbor_header(3, len(value.encode())) + value.encode()
    if isinstance(value, (list, tuple)):
        return cbor_header(4, len(value)) + b"".join(map(cbor, value))
    return cbor_header(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def cbor_header(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for code, size in (24, 1), (25, 2), (26, 4), (27, 8):
        if number < 1 << 8 * size:
            return bytes([major << 5 | code]) + number.to_bytes(size, "big")
    raise ValueError(number)


def uncbor(body, at):
    """The value at `at`, and where the next one begins. Raises ValueError or IndexError."""
    major, code = body[at] >> 5, body[at] & 31
    at += 1
    if code > 27:
        raise ValueError("no such length")
    number = code
    if code >= 24:
        size = 1 << code - 24
        number, at = int.from_bytes(body[at : at + size], "big"), at + size
    if at > len(body) or (2 <= major <= 5 and number > len(body)):
        raise ValueError("too short")
    if major == 0:
        return number, at
    if major in (2, 3):
        if at + number > len(body):
            raise ValueError("too short")
        text = bytes(body[at : at + number])
        return (text if major == 2 else text.decode()), at + number
    if major in (4, 5):
        items = [] if major == 4 else Pairs()
        for _ in range(number * (major - 3)):
            item, at = uncbor(body, at)
            items.append(item)
        return items, at
    if major == 6:
        _, at = uncbor(body, at)
    if major == 7 and code == 24 and number < 32:
        raise ValueError("a simple value that has a shorter form")
    if major == 7 and code in (20, 21):
        return code == 21, at
    return Odd(), at


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_unsigned(most, least=0):
    return lambda value: is_integer(value) and least <= value <= most


def is_boolean(value):
    return isinstance(value, bool)


def is_text(most):
    return lambda value: isinstance(value, str) and len(value.encode()) <= most


def is_bytes(most, least=0):
    return lambda value: isinstance(value, bytes) and least <= len(value) <= most


def is_two(fits):
    return lambda value: type(value) is list and len(value) == 2 and all(map(fits, value))


def is_versions(value):
    return is_two(is_unsigned(255))(value) and value[0] <= value[1]


U32, U64 = 2**32 - 1, 2**64 - 1
DURATION = is_unsigned(U32, 1)
POSITION = is_two(is_unsigned(U64))
# Each key's name, what it may be (or the keys of an inner map), and whether it must be there.
LAST_KEYS = {
    0: ("reason", is_text(32), True),
    1: ("ago", is_unsigned(U32), True),
    2: ("session", is_unsigned(U64), False),
}
OFFERED_KEYS = {
    0: ("to_server", is_unsigned(U32), True),
    1: ("to_client", is_unsigned(U32), True),
    2: ("grace", DURATION, True),
}
RESUMING_KEYS = {
    0: ("server", is_unsigned(U64), True),
    1: ("session", is_unsigned(U64), True),
    2: ("link", is_unsigned(U32), True),
    3: ("received", POSITION, True),
    4: ("proof", is_bytes(32, 32), True),
    5: ("only", is_boolean, False),
}
GRANTED_KEYS = {
    0: ("server", is_unsigned(U64), True),
    1: ("key", is_bytes(32, 32), True),
    2: ("to_server", is_unsigned(U32), True),
    3: ("to_client", is_unsigned(U32), True),
    4: ("grace", DURATION, True),
}
RESUMED_KEYS = {
    0: ("received", POSITION, True),
    1: ("proof", is_bytes(32, 32), True),
}
HELLO_KEYS = {
    0: ("versions", is_versions, True),
    1: ("name", is_text(255), False),
    2: ("token", is_bytes(256), False),
    3: ("interval", DURATION, False),
    4: ("min_interval", DURATION, False),
    5: ("want", DURATION, False),
    6: ("timeout", DURATION, False),
    7: ("max_timeout", DURATION, True),
    8: ("agent", is_text(64), False),
    9: ("instance", is_unsigned(U64, 1), False),
    10: ("max_frame", is_unsigned(U32), False),
    11: ("last", LAST_KEYS, False),
    12: ("resume", OFFERED_KEYS, False),
    13: ("resuming", RESUMING_KEYS, False),
}
WELCOME_KEYS = {
    0: ("version", is_unsigned(255), True),
    1: ("session", is_unsigned(U64), True),
    2: ("epoch", is_unsigned(U64), True),
    3: ("server_interval", DURATION, False),
    4: ("server_timeout", DURATION, False),
    5: ("server_max_timeout", DURATION, True),
    6: ("client_interval", DURATION, False),
    7: ("client_timeout", DURATION, False),
    8: ("client_max_timeout", DURATION, True),
    9: ("min_interval", DURATION, True),
    10: ("wake_bytes", is_unsigned(65_536), True),
    11: ("held", is_unsigned(U32), False),
    12: ("max_frame", is_unsigned(U32), False),
    13: ("resume", GRANTED_KEYS, False),
    14: ("resumed", RESUMED_KEYS, False),
    15: ("lost", POSITION, False),
}
BYE_KEYS = {
    0: ("code", is_unsigned(U32), True),
    1: ("retry", is_unsigned(255), True),
    2: ("earliest", is_unsigned(U32), False),
    3: ("latest", is_unsigned(U32), False),
    4: ("detail", is_text(256), False),
    5: ("taken", POSITION, False),
}


def frame(kind, body):
    return HEAD.pack(kind, len(body)) + body


def control(kind, keys, **values):
    """The frame of these values; what is None is left out."""
    return frame(kind, cbor(by_number(keys, values) | GREASE.get(kind, {})))


def by_number(keys, values):
    pairs = {key: (values[name], fits) for key, (name, fits, _) in keys.items() if values.get(name) is not None}
    return {key: by_number(fits, value) if isinstance(fits, dict) else value for key, (value, fits) in pairs.items()}


# What means nothing, and is added to the frames of a type.
GREASE = {}


def grease():
    """From now on, frames have an entry that means nothing."""
    values = 7, "text", b"bytes", [1, ["two", []]], {1: {2: b"three"}}
    for kind in HELLO, WELCOME, BYE:
        GREASE[kind] = {random.randrange(1_000, 2_000): random.choice(values)}


def greased(body):
    """How many entries of a map mean nothing."""
    pairs, _ = uncbor(body, 0)
    return sum(1_000 <= key < 2_000 for key in pairs[::2])


def map_header(body):
    """How many entries there are, and where the first one begins."""
    major, code = body[0] >> 5, body[0] & 31
    if major != 5 or code == 31:
        raise ValueError("not a map of definite length")
    # A header of an integer is a header of a map but for its major type.
    return uncbor(bytes([code]) + body[1:], 0)


def offered_versions(body):
    """The versions in a HELLO, whatever else is in it; None if they are not to be found."""
    try:
        count, at = map_header(body)
        for _ in range(count):
            key, at = uncbor(body, at)
            value, at = uncbor(body, at)
            if is_integer(key) and key == 0:
                return value if is_versions(value) else None
    except (ValueError, IndexError):
        pass
    return None


def read_control(body, keys, wrong):
    try:
        pairs, at = uncbor(body, 0)
        if at != len(body):
            raise ValueError("too much")
        return by_name(keys, pairs)
    except (ValueError, IndexError) as error:
        raise Wrong(wrong) from error


def by_name(keys, pairs):
    if not isinstance(pairs, Pairs):
        raise ValueError("no map")
    values, seen = {}, set()
    for key, value in zip(pairs[::2], pairs[1::2]):
        if not is_integer(key) or key in seen:
            raise ValueError(f"key {key}")
        seen.add(key)
        if key not in keys:
            continue
        name, fits, _ = keys[key]
        if isinstance(fits, dict):
            value = by_name(fits, value)
        elif not fits(value):
            raise ValueError(name)
        values[name] = value
    if any(must and name not in values for name, _, must in keys.values()):
        raise ValueError("too little")
    return values


def read_hello(body):
    hello = read_control(body, HELLO_KEYS, "bad_hello")
    if "resuming" in hello and "resume" not in hello:
        raise Wrong("bad_hello")
    return hello


def read_bye(body):
    bye = read_control(body, BYE_KEYS, "bad_bye")
    if bye["retry"] == 2 and not (0 <= bye.get("earliest", -1) <= bye.get("latest", -1)):
        raise Wrong("bad_bye")
    return bye


# The agreement.


def max_timeout_of(offer):
    return max(offer["max_timeout"], offer.get("timeout", 0))


def agree(sender, receiver, min_interval):
    """Beat, timeout and max_timeout of one direction, in ms. Raises Ended if there is none."""
    timeout, max_timeout = receiver.get("timeout"), max_timeout_of(receiver)
    wanted = None if timeout is None else receiver.get("want", -(-timeout // 3))
    if "min_interval" not in sender:
        if timeout is not None:
            raise Ended(f"{timeout} ms of silence is death, and the other end sends no beats")
        return None, None, max_timeout
    meant = [beat for beat in (sender.get("interval"), wanted) if beat is not None]
    beat = max(min(meant), sender["min_interval"], min_interval) if meant else None
    if timeout is not None and timeout < 2 * beat:
        if 3 * beat > max_timeout:
            raise Ended(f"{beat} ms needs {3 * beat} ms, and {max_timeout} is the most")
        timeout = 3 * beat
    return beat, timeout, max_timeout


def suits(welcome, hello):
    """Whether a client can live with a WELCOME."""
    for side in ("server", "client"):
        beat, timeout = welcome.get(f"{side}_interval"), welcome.get(f"{side}_timeout")
        if timeout is not None and (beat is None or not 2 * beat <= timeout <= welcome[f"{side}_max_timeout"]):
            return False
    beat, timeout = welcome.get("server_interval"), welcome.get("client_timeout")
    if beat is not None and beat < hello.get("min_interval", U32 + 1):
        return False
    if (timeout is None) != ("timeout" not in hello):
        return False
    if timeout is not None and timeout < hello["timeout"]:
        return False
    if not answers(welcome, hello):
        return False
    return welcome["client_max_timeout"] <= max_timeout_of(hello) and welcome["version"] == VERSION


def window(*sizes):
    """What is granted of a window."""
    size = min(*sizes, 2**30)
    return size if size >= 16 else 0


def answers(welcome, hello):
    """Whether a WELCOME says of resuming what the HELLO allows."""
    granted, offered = welcome.get("resume"), hello.get("resume")
    if granted is not None and (offered is None or any(granted[name] > offered[name] for name in offered)):
        return False
    resuming = hello.get("resuming")
    if resuming is None:
        return "resumed" not in welcome and "lost" not in welcome
    if "resumed" in welcome:
        return welcome["session"] == resuming["session"] and granted is None and "lost" not in welcome
    return not resuming.get("only", False)


class Direction:
    """From who beats to who judges, in ms."""

    def __init__(self, beat, timeout, max_timeout, min_interval):
        self.interval, self.timeout, self.max_timeout, self.min_interval = beat, timeout, max_timeout, min_interval

    def timeout_for(self, promise):
        if self.timeout is None or promise is None:
            return self.timeout
        return promise + max(self.timeout - self.interval, promise)

    def promise_max(self):
        if self.timeout is None:
            return max(self.max_timeout, self.interval or 0)
        return max(self.interval, min(self.max_timeout - (self.timeout - self.interval), self.max_timeout // 2))

    def counted(self, promise):
        return max(promise, min(self.min_interval, self.interval or self.min_interval))
