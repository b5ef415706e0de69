#!/usr/bin/env python3
"""A second implementation of protocol v1, a client and a server for one client at a time.

It is written from PROTOCOL.md alone and shares no code with the first one, so that the page is known to
say enough. It needs nothing but Python 3. It prints what happens as one JSON object a line, and takes
commands from standard input:

`data TEXT`, `promise MS`, `health N`, `end` (its half of a session);
`bye CODE RETRY [EARLIEST LATEST] [TEXT]` (the times with RETRY 2), `close` (without a BYE);
`pause` and `resume` (reading), `peek` (how many messages were not read), `hold` and `take` (what the application takes over of a session), `echo` (send that back);
`cut [JSON]`: resets the link, and a client connects again at once; with `keep` it leaves the older link open,
with `waits` it waits for another line before; its next HELLO says what the JSON says: `link`, `received`, `server`,
`session`, `only`, a wrong `proof` (true); with `before_welcome` it cuts that link as well, when the WELCOME
comes, and with `again` it goes on when it is rejected. The next WELCOME of a server says a wrong `proof` or
what was `received`; with `over` it has ended the session;
`forget`: cuts, and a server forgets its sessions, as if it had restarted.

Others break rules: `notice BITS`, `tail N` (append so many bytes to each beat), `mute` (write nothing any
more), `deaf` (say in beats that nothing is heard), `raw HEX` (write these bytes), `flood N` (write so many
of the longest data frames). So do options: `--hello HEX` (the body of its HELLO), `--write-on` (go on
writing after a BYE, for a moment).

    heartwire_v1.py client HOST PORT --name bob --interval 1000 --timeout 3000
    heartwire_v1.py server PORT --interval 1000 --timeout 3000
    heartwire_v1.py golden PROTOCOL.md
"""

import argparse
import re
import sys

sys.dont_write_bytecode = True

from connection import BEAT, DATA_MAX, say  # noqa: E402
from ends import MAX_TIMEOUT_MS, Client, Server  # noqa: E402
from frames import (  # noqa: E402
    ACK,
    BYE,
    BYE_KEYS,
    DATA,
    END,
    GREASE,
    HEAD,
    HEART,
    HELLO,
    HELLO_KEYS,
    PAD,
    WELCOME,
    WELCOME_KEYS,
    agree,
    control,
    frame,
    greased,
    read_bye,
    read_control,
    read_hello,
    suits,
)
from session import CLIENT, POSITION, SERVER, Session  # noqa: E402


def hex_of(block):
    """The bytes of a block, without what the page says of them."""
    columns = [line.strip().split("   ")[0] for line in block.splitlines()]
    some = " ".join(column for column in columns if re.fullmatch("[0-9a-f …]+", column))
    return bytes.fromhex(some.replace("00 01 02 … 1e 1f", bytes(range(32)).hex()))


def golden(args):
    text = open(args.protocol, encoding="utf-8").read()
    blocks = re.findall(r"```hex\n(.*?)```", text, re.DOTALL)
    hello, welcome, beat, longer, bye, *of_sessions, greased_bye, data = map(hex_of, blocks)
    usual = {"interval": 10_000, "min_interval": 1_000, "want": 10_000, "timeout": 30_000, "max_timeout": MAX_TIMEOUT_MS}
    said = {"versions": [1, 1], "name": "bob", "token": b"\1\2\3\4", "agent": "docs1", **usual}
    said.update(instance=0x0102030405060708, max_frame=65_536)
    said["last"] = {"reason": "reset", "ago": 2_500, "session": 98}
    assert hello == control(HELLO, HELLO_KEYS, **said)
    assert read_hello(hello[8:]) == said
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
    golden_sessions(said, agreed, *of_sessions)
    say("golden", frames=len(blocks))


def golden_sessions(hello, welcome, offered, granted, resuming, resumed, ack_and_end):
    def ends_with(made, end, keys, **values):
        return made.endswith(end) and read_control(made[8:], keys, "") == values

    numbers = {"to_server": 262_144, "to_client": 65_536, "grace": 120_000}
    hello = hello | {"resume": numbers}
    assert ends_with(control(HELLO, HELLO_KEYS, **hello), offered, HELLO_KEYS, **hello)
    agreed = {"server": 0x0102030405060708, "key": bytes(range(32)), **numbers}
    new = welcome | {"resume": agreed}
    assert ends_with(control(WELCOME, WELCOME_KEYS, **new), granted, WELCOME_KEYS, **new)
    assert suits(new, hello) and not suits(new, {name: hello[name] for name in hello if name != "resume"})

    session = Session(agreed, welcome["session"], welcome["epoch"], hello["name"], True)
    session.link, received = 4, [812, 901_224]
    own = {"server": session.server, "session": session.session, "link": session.link, "received": received}
    again = hello | {"resuming": {**own, "proof": session.proof(CLIENT, received), "only": True}}
    assert ends_with(control(HELLO, HELLO_KEYS, **again), resuming, HELLO_KEYS, **again)
    assert read_hello(control(HELLO, HELLO_KEYS, **again)[8:]) == again
    received = [640, 77_310]
    back = welcome | {"resumed": {"received": received, "proof": session.proof(SERVER, received)}}
    assert ends_with(control(WELCOME, WELCOME_KEYS, **back), resumed, WELCOME_KEYS, **back)
    assert suits(back, again) and not suits(back, hello) and not suits(welcome, again)
    assert not session.is_proof(session.proof(CLIENT, received), SERVER, received)
    position = POSITION.pack(0x0102030405060708, 0x1112131415161718)
    assert ack_and_end == frame(ACK, position) + frame(END, b"")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ends = parser.add_subparsers(required=True)
    for name, run in ("client", Client), ("server", Server):
        end = ends.add_parser(name)
        end.set_defaults(run=lambda args, run=run: run(args).run())
        if run is Client:
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
        end.add_argument("--resume", type=int, nargs=3, metavar=("TO_SERVER", "TO_CLIENT", "GRACE_MS"))
        end.add_argument("--max-frame", type=int, default=DATA_MAX, help="what it says, whatever it accepts")
        for knob in "interval", "min_interval", "want", "timeout", "max_timeout":
            end.add_argument("--" + knob.replace("_", "-"), type=int, metavar="MS")
    page = ends.add_parser("golden")
    page.add_argument("protocol")
    page.set_defaults(run=golden)
    args = parser.parse_args()
    args.run(args)


main()
