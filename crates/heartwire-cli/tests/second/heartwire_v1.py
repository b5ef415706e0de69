#!/usr/bin/env python3
"""A second implementation of protocol v1, a client and a server for one client at a time.

It is written from PROTOCOL.md alone and shares no code with the first one, so that the page is known to
say enough. It needs nothing but Python 3. It prints what happens as one JSON object a line, and takes
commands from standard input: `data TEXT`, `promise MS`, `health N`, `notice BITS`, `tail N` (append so many bytes to each beat), `mute` (write nothing any more),
`deaf` (say in beats that nothing is heard), `pause` and `resume` (reading), `raw HEX` (write these bytes), `flood N` (write so many of the longest data frames), `close`
(without a BYE), `bye CODE RETRY [EARLIEST LATEST] [TEXT]` (the times with RETRY 2). Options have it break rules:
`--hello HEX` (the body of its HELLO), `--write-on` (go on writing after a BYE, for a moment).

    heartwire_v1.py client HOST PORT --name bob --interval 1000 --timeout 3000
    heartwire_v1.py server PORT --interval 1000 --timeout 3000
    heartwire_v1.py golden PROTOCOL.md
"""

import argparse
import random
import re
import socket
import sys

sys.dont_write_bytecode = True

from connection import BEAT, DATA_MAX, Connection, finish, say  # noqa: E402
from frames import (  # noqa: E402
    BYE,
    BYE_KEYS,
    DATA,
    GREASE,
    HEAD,
    HEART,
    HELLO,
    HELLO_KEYS,
    LAST_KEYS,
    PAD,
    VERSION,
    WELCOME,
    WELCOME_KEYS,
    Ended,
    Wrong,
    agree,
    control,
    frame,
    grease,
    greased,
    offered_versions,
    read_bye,
    read_control,
    suits,
)

MAX_TIMEOUT_MS = 3_600_000
MIN_INTERVAL_MS = 1_000
LET_IN_WITHIN = 10.0
# Without a buffer, in which a command could hide from select.
COMMANDS = open(0, "rb", buffering=0, closefd=False)


def offer(args):
    beats = [ms for ms in (args.interval, args.want) if ms is not None]
    values = {
        "interval": args.interval,
        "min_interval": args.min_interval or min([MIN_INTERVAL_MS, *beats]),
        "want": args.want,
        "timeout": args.timeout,
        "max_timeout": args.max_timeout or max(MAX_TIMEOUT_MS, args.timeout or 0),
    }
    return {name: value for name, value in values.items() if value is not None}


def client(args):
    grease()
    connection = Connection(socket.create_connection((args.host, args.port), timeout=5))
    hello = offer(args)
    token = args.token_file and open(args.token_file, encoding="ascii").read().strip().encode()

    connection.write_on = args.write_on
    extras = {"instance": random.getrandbits(63) + 1, "max_frame": args.max_frame}
    if args.last:
        reason, ago, session = args.last
        extras["last"] = {0: reason, 1: int(ago), 2: int(session)}

    def talk():
        said = control(
            HELLO, HELLO_KEYS, versions=[VERSION, VERSION], name=args.name, token=token, agent="second", **extras, **hello
        )
        connection.write(said if args.hello is None else frame(HELLO, bytes.fromhex(args.hello)))
        lengths = {HEART: (0, 0), WELCOME: (0, 2048), BYE: (0, 512)}
        kind = HEART
        # A server that also speaks v0 sends HEARTs to a client that is silent. That is no answer.
        while kind == HEART:
            kind, body = connection.wait_for_frame(lengths, connection.start + args.handshake / 1e3)
        if kind == BYE:
            say("bye", **read_bye(body))
            raise Ended("rejected")
        welcome = read_control(body, WELCOME_KEYS, "bad_welcome")
        if not suits(welcome, hello):
            raise Wrong("bad_welcome")
        say("welcome", grease=greased(body), **welcome)
        connection.begin(welcome, True)
        connection.run([COMMANDS])

    finish(connection, talk)


def server(args):
    grease()
    listener = socket.create_server(("127.0.0.1", args.port))
    say("listening", port=listener.getsockname()[1])
    session = 0
    commands = [COMMANDS]
    while True:
        connection = Connection(listener.accept()[0])
        session += 1
        finish(connection, lambda: serve(connection, session, args, commands))


def serve(connection, session, args, commands):
    if args.ask:
        connection.write(frame(HEART, b""))
    _, body = connection.wait_for_frame({HELLO: (0, 2048)}, connection.start + LET_IN_WITHIN)
    lowest, highest = offered_versions(body) or (VERSION, VERSION)
    if not lowest <= VERSION <= highest:
        connection.leave(3, 0)
        raise Wrong("no_common_version")
    try:
        hello = read_control(body, HELLO_KEYS, "bad_hello")
    except Wrong as wrong:
        connection.leave(9, 0, detail=str(wrong))
        raise
    mine = offer(args)
    try:
        to_server = agree(hello, mine, mine["min_interval"])
        to_client = agree(mine, hello, mine["min_interval"])
    except Ended as conflict:
        connection.leave(2, 0, detail=str(conflict))
        raise Ended("rejected") from conflict
    hello["token"] = "(not shown)" if "token" in hello else None
    last = hello.get("last", {})
    hello["last"] = {name: last[key] for key, (name, _, _) in LAST_KEYS.items() if key in last} or None
    say("hello", grease=greased(body), **hello)
    names = [f"{side}_{key}" for side in ("server", "client") for key in ("interval", "timeout", "max_timeout")]
    welcome = {name: ms for name, ms in zip(names, (*to_server, *to_client)) if ms is not None}
    welcome.update(version=VERSION, session=session, min_interval=mine["min_interval"], wake_bytes=args.wake_bytes)
    welcome["epoch"] = session if "name" in hello else 0
    # It answers at once.
    welcome["held"], welcome["max_frame"] = 0, args.max_frame
    connection.write(control(WELCOME, WELCOME_KEYS, **welcome))
    connection.begin(welcome, False)
    connection.run(commands)


def golden(args):
    text = open(args.protocol, encoding="utf-8").read()
    blocks = re.findall(r"```hex\n(.*?)```", text, re.DOTALL)
    hello, welcome, beat, longer, bye, greased_bye, data = (
        bytes.fromhex(" ".join(line[:40] for line in block.splitlines())) for block in blocks
    )
    usual = {"interval": 10_000, "min_interval": 1_000, "want": 10_000, "timeout": 30_000, "max_timeout": MAX_TIMEOUT_MS}
    said = {"versions": [1, 1], "name": "bob", "token": b"\1\2\3\4", "agent": "docs1", **usual}
    said.update(instance=0x0102030405060708, max_frame=65_536, last={0: "reset", 1: 2_500, 2: 98})
    assert hello == control(HELLO, HELLO_KEYS, **said)
    assert read_control(hello[8:], HELLO_KEYS, "") == said
    names = [f"{side}_{key}" for side in ("server", "client") for key in ("interval", "timeout", "max_timeout")]
    agreed = dict(zip(names, agree(said, usual, 1_000) + agree(usual, said, 1_000)))
    agreed.update(version=1, session=99, epoch=7, min_interval=1_000, wake_bytes=161, held=300, max_frame=65_536)
    assert welcome == control(WELCOME, WELCOME_KEYS, **agreed)
    assert read_control(welcome[8:], WELCOME_KEYS, "") == agreed and suits(agreed, said)
    fields = 0x0102030405060708, 0x1112131415161718, 0x21222324, 0x31323334, 10_000, 0x4142, 2, 1
    assert beat == frame(HEART, BEAT.pack(*fields))
    assert longer == frame(HEART, BEAT.pack(*fields) + b"\x99\x99") and BEAT.unpack_from(longer, 8) == fields
    left = {"code": 1, "retry": 2, "earliest": 0, "latest": 5_000, "detail": "nigh"}
    assert bye == control(BYE, BYE_KEYS, **left) and read_bye(bye[8:]) == left
    done = {"code": 0, "retry": 1}
    assert read_bye(greased_bye[8:]) == done and greased(greased_bye[8:]) == 1
    GREASE[BYE] = {1_234: [7, [""]]}
    assert greased_bye == control(BYE, BYE_KEYS, **done)
    assert data == frame(DATA, b"hi") + HEAD.pack(PAD, 161 - 10 - 8)
    say("golden", frames=len(blocks))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ends = parser.add_subparsers(required=True)
    for name, run in ("client", client), ("server", server):
        end = ends.add_parser(name)
        end.set_defaults(run=run)
        if run is client:
            end.add_argument("host")
            end.add_argument("--name")
            end.add_argument("--token-file")
            end.add_argument("--handshake", type=int, default=5_000)
            end.add_argument("--hello")
            end.add_argument("--last", nargs=3, metavar=("REASON", "MS", "SESSION"), help="how its last connection ended")
            end.add_argument("--write-on", action="store_true")
        else:
            end.add_argument("--wake-bytes", type=int, default=1)
            end.add_argument("--ask", action="store_true", help="begin with a HEART of v0")
        end.add_argument("port", type=int)
        end.add_argument("--max-frame", type=int, default=DATA_MAX, help="what it says, whatever it accepts")
        for knob in "interval", "min_interval", "want", "timeout", "max_timeout":
            end.add_argument("--" + knob.replace("_", "-"), type=int, metavar="MS")
    page = ends.add_parser("golden")
    page.add_argument("protocol")
    page.set_defaults(run=golden)
    args = parser.parse_args()
    args.run(args)


main()
