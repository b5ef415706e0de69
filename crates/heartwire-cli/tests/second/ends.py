"""A client, and a server for one client at a time."""

import random
import secrets
import socket
import time

from connection import Connection, finish, say
from frames import (
    BYE,
    HEART,
    HELLO,
    HELLO_KEYS,
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
    read_hello,
    suits,
    window,
)
from session import CLIENT, SERVER, Session

MAX_TIMEOUT_MS = 3_600_000
MIN_INTERVAL_MS = 1_000
LET_IN_WITHIN = 10.0
REDIAL = 0.1
# What ends a link, and not its session.
LOSSES = "reset", "closed_by_peer", "truncated", "dead", "cut", "superseded"
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


def resume_offer(args):
    return args.resume and dict(zip(("to_server", "to_client", "grace"), args.resume))


class Client:
    def __init__(self, args):
        grease()
        self.args, self.session, self.links, self.cut, self.older = args, None, 1, {}, None
        self.hello = offer(args)
        token = args.token_file and open(args.token_file, encoding="ascii").read().strip().encode()
        self.hello |= {"versions": [VERSION, VERSION], "name": args.name, "token": token, "agent": "second"}
        self.hello |= {"instance": random.getrandbits(63) + 1, "max_frame": args.max_frame}
        self.hello["resume"] = resume_offer(args)
        if args.last:
            reason, ago, session = args.last
            self.hello["last"] = {"reason": reason, "ago": int(ago), "session": int(session)}
        self.hello = {name: value for name, value in self.hello.items() if value is not None}

    def run(self):
        connection = Connection(socket.create_connection((self.args.host, self.args.port), timeout=5))
        while connection is not None:
            reason = finish(connection, lambda: self.talk(connection))
            connection = self.dial_again(connection, reason)

    def dial_again(self, connection, reason):
        """The next link of the session, if it has one."""
        is_tried_again = reason == "rejected" and self.cut.get("again")
        if self.session is None or self.session.is_over or not (reason in LOSSES or is_tried_again):
            return None
        self.cut = connection.cut
        self.older = connection.sock if self.cut.get("keep") else None
        say("away", **self.session.positions())
        if self.cut.get("waits"):
            COMMANDS.readline()
        until = time.monotonic() + self.session.grace / 1e3
        while time.monotonic() < until:
            try:
                return Connection(socket.create_connection((self.args.host, self.args.port), timeout=5))
            except OSError:
                time.sleep(REDIAL)
        self.lose(None)
        return None

    def lose(self, taken):
        """The session is gone: what was not taken over is lost, or at most what was not acknowledged."""
        if taken is not None:
            self.session.handle_taken(taken)
        say("lost", exact=taken is not None, undelivered=self.session.unacknowledged())
        self.session = None

    def talk(self, connection):
        hello = dict(self.hello)
        if self.session is not None:
            hello["resuming"] = self.resuming()
        said = control(HELLO, HELLO_KEYS, **hello)
        connection.write_on = self.args.write_on
        connection.write(said if self.args.hello is None else frame(HELLO, bytes.fromhex(self.args.hello)))
        lengths = {HEART: (0, 0), WELCOME: (0, 2048), BYE: (0, 512)}
        kind = HEART
        # A server that also speaks v0 sends HEARTs to a client that is silent. That is no answer.
        while kind == HEART:
            kind, body = connection.wait_for_frame(lengths, connection.start + self.args.handshake / 1e3)
        if self.cut.pop("before_welcome", False):
            connection.reset()
            raise Ended("cut")
        if kind == BYE:
            bye = read_bye(body)
            say("bye", **bye)
            if "resuming" in hello and bye["code"] == 13:
                self.lose(None)
            raise Ended("rejected")
        welcome = read_control(body, WELCOME_KEYS, "bad_welcome")
        if not suits(welcome, hello):
            raise Wrong("bad_welcome")
        say("welcome", grease=greased(body), **welcome)
        self.go_on(welcome, hello)
        connection.begin(welcome, True, self.session)
        connection.run([COMMANDS])

    def resuming(self):
        """What the HELLO of the next link says, with what a test wants to be wrong."""
        session, wrong = self.session, self.cut
        self.links += 1
        session.link = wrong.get("link", self.links)
        received = wrong.get("received", session.received)
        resuming = {"server": session.server, "session": session.session, "link": session.link, "received": received}
        resuming["proof"] = bytes(32) if wrong.get("proof") else session.proof(CLIENT, received)
        resuming["only"] = wrong.get("only")
        return resuming | {name: wrong[name] for name in ("server", "session") if name in wrong}

    def go_on(self, welcome, hello):
        resumed, granted = welcome.get("resumed"), welcome.get("resume")
        if resumed is not None:
            session = self.session
            if not session.is_proof(resumed["proof"], SERVER, resumed["received"]):
                raise Wrong("bad_welcome")
            if welcome["epoch"] != session.epoch:
                raise Wrong("bad_welcome")
            self.cut = {}
            self.hear_older()
            say("back", link=session.link, replayed=session.resume_from(resumed["received"]))
            return
        if self.session is not None:
            self.lose(welcome.get("lost"))
        if granted is not None:
            self.session, self.links = Session(granted, welcome["session"], welcome["epoch"], hello.get("name"), True), 1


    def hear_older(self):
        """Says how the server ended the older link, if that is open."""
        if self.older is None:
            return
        self.older.settimeout(5)
        answer = "closed"
        try:
            while self.older.recv(65_536):
                pass
        except OSError as error:
            answer = type(error).__name__
        self.older.close()
        say("older", answer=answer)


class Server:
    def __init__(self, args):
        grease()
        self.args, self.commands, self.sessions = args, [COMMANDS], {}
        self.number, self.connections = secrets.randbits(64), 0
        self.current, self.waiting, self.cut = None, None, {}
        self.listener = socket.create_server(("127.0.0.1", args.port))
        say("listening", port=self.listener.getsockname()[1])

    # A newer connection may go on with the session of the current one.

    def fileno(self):
        return self.listener.fileno()

    def is_open(self):
        return self.waiting is None and self.current is not None

    def answer(self):
        """Whether the connection that waits supersedes the current one."""
        connection = Connection(self.listener.accept()[0])

        def look():
            self.waiting = connection, *self.let_in(connection)

        if finish_if_over(connection, look):
            return False
        return self.waiting[2] is not None and self.waiting[2] is self.current

    def run(self):
        while True:
            connection, *let_in = self.waiting or (Connection(self.listener.accept()[0]),)
            self.waiting = None
            reason = finish(connection, lambda: self.serve(connection, *(let_in or self.let_in(connection))))
            session = self.current
            if session is not None:
                if reason not in LOSSES or not session.beaten:
                    session.is_over = True
                session.away_until = time.monotonic() + session.grace / 1e3
                say("away", over=session.is_over, **session.positions())
            if connection.cut.get("forget"):
                # As after a restart.
                self.sessions, self.number = {}, secrets.randbits(64)
            if session is not None and connection.cut.get("over"):
                session.is_over = True
            self.cut = connection.cut
            self.current = None

    def let_in(self, connection):
        """Reads the HELLO. Returns it with the session to go on with, and what was taken over in one that is gone."""
        if self.args.ask:
            connection.write(frame(HEART, b""))
        _, body = connection.wait_for_frame({HELLO: (0, 2048)}, connection.start + LET_IN_WITHIN)
        lowest, highest = offered_versions(body) or (VERSION, VERSION)
        if not lowest <= VERSION <= highest:
            connection.leave(3, 0)
            raise Wrong("no_common_version")
        try:
            hello = read_hello(body)
        except Wrong as wrong:
            connection.leave(9, 0, detail=str(wrong))
            raise
        said = hello | {"token": "(not shown)" if "token" in hello else None}
        say("hello", grease=greased(body), **said)
        return hello, *self.find(connection, hello)

    def find(self, connection, hello):
        resuming = hello.get("resuming")
        if resuming is None:
            return None, None
        session = self.sessions.get(resuming["session"]) if resuming["server"] == self.number else None
        if session is None:
            return self.gone(connection, resuming, None)
        received, ours, session.link = resuming["received"], session.link, resuming["link"]
        is_proof = session.is_proof(resuming["proof"], CLIENT, received)
        # Its own link number stays until a right proof comes with a higher one.
        link, session.link = session.link, ours
        is_late = session.away_until is not None and time.monotonic() > session.away_until
        if (session.is_over or is_late) and not session.is_taken_over:
            session.is_over = True
            return self.gone(connection, resuming, session.taken if is_proof else None)
        if session.name != hello.get("name") or not is_proof:
            self.reject(connection, 4, 0)
        if session.is_taken_over:
            self.reject(connection, 5, 0)
        if link <= ours:
            self.reject(connection, 4, 1)
        try:
            session.replayed = session.resume_from(received)
        except Wrong as wrong:
            session.is_over = True
            self.reject(connection, 9, 1, detail=str(wrong))
        session.link = link
        return session, None

    def gone(self, connection, resuming, taken):
        if resuming.get("only"):
            self.reject(connection, 13, 1)
        return None, taken

    def reject(self, connection, code, retry, **more):
        connection.leave(code, retry, **more)
        say("refused", code=code, retry=retry)
        raise Ended("rejected")

    def serve(self, connection, hello, session, lost):
        mine = offer(self.args)
        try:
            to_server = agree(hello, mine, mine["min_interval"])
            to_client = agree(mine, hello, mine["min_interval"])
        except Ended as conflict:
            connection.leave(2, 0, detail=str(conflict))
            raise Ended("rejected") from conflict
        self.connections += 1
        names = [f"{side}_{key}" for side in ("server", "client") for key in ("interval", "timeout", "max_timeout")]
        welcome = {name: ms for name, ms in zip(names, (*to_server, *to_client)) if ms is not None}
        welcome.update(version=VERSION, min_interval=mine["min_interval"], wake_bytes=self.args.wake_bytes)
        # It answers at once.
        welcome.update(held=0, max_frame=self.args.max_frame, lost=lost)
        if session is None:
            welcome["session"], welcome["epoch"] = self.connections, self.connections if "name" in hello else 0
            session = self.found(welcome, hello)
        else:
            welcome["session"], welcome["epoch"] = session.session, session.epoch
            received = self.cut.get("received", session.received)
            proof = bytes(32) if self.cut.get("proof") else session.proof(SERVER, received)
            welcome["resumed"] = {"received": received, "proof": proof}
            self.cut = {}
            say("back", link=session.link, replayed=session.replayed)
        if session is not None:
            session.away_until = None
        self.current = session
        connection.write(control(WELCOME, WELCOME_KEYS, **welcome))
        connection.begin(welcome, False, session)
        connection.run(self.commands, self)

    def found(self, welcome, hello):
        """A new session, if the client wants one that can be resumed and this end too."""
        for older in self.sessions.values():
            if "name" in hello and older.name == hello["name"] and not older.is_over:
                older.is_over = older.is_taken_over = True
        offered, own = hello.get("resume"), resume_offer(self.args)
        if offered is None or own is None:
            return None
        granted = {name: window(offered[name], own[name]) for name in own}
        granted["grace"] = min(offered["grace"], own["grace"])
        welcome["resume"] = {"server": self.number, "key": secrets.token_bytes(32), **granted}
        session = Session(welcome["resume"], welcome["session"], welcome["epoch"], hello.get("name"), False)
        self.sessions[session.session] = session
        return session


def finish_if_over(connection, outcome):
    """As `finish`, for a connection that usually goes on afterwards. Returns whether it is over."""
    try:
        outcome()
        return False
    except (Ended, Wrong) as error:
        say("end", reason=str(error))
    connection.sock.close()
    return True
