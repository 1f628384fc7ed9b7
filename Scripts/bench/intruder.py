#!/usr/bin/env python3
"""Somebody who should not be in a run with keys, again and again at a modest rate.

    intruder.py KIND --ports PORT,PORT... [--keys DIR] [--rate N] [--attempts N]

KIND is what comes to the ports of 127.0.0.1 in turn, the coordinator's first:

    scan      a port scanner: connects and closes, or sends bytes that are not ZeroMQ's
    plain     a ZeroMQ peer without a key
    unlisted  a peer with a key of its own, that is on no list, and the coordinator's right key
    old       a peer with a key of the list, whose hello has protocol version 0; the first port alone
    huge      a peer with a key of the list, that announces a frame of 1 GB

--keys is a directory of `convoy keygen`, for the last three. Tries --rate times a second (10), until
there were --attempts (0: until SIGTERM), and prints one line of JSON: how often it tried and was turned
away, what else came of it, and its own processor time. Ends with 1 when it was not turned away always.
Uses libzmq as it is installed, nothing else.
"""

import argparse
import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time

DEADLINE = 3.0
GREETING_SIZE = 64
GIGABYTE = 1 << 30


class Trouble(Exception):
    """What should not have happened, in a few words."""


# MARK: libzmq

DEALER, PAIR = 5, 0
ROUTING_ID, LINGER, RECONNECT_IVL, RCVTIMEO = 5, 17, 18, 27
CURVE_PUBLICKEY, CURVE_SECRETKEY, CURVE_SERVERKEY = 48, 49, 50
EVENT_SUCCEEDED, EVENT_NO_DETAIL, EVENT_PROTOCOL, EVENT_REFUSED = 0x1000, 0x0800, 0x2000, 0x4000


class Library:
    """The few calls that are needed, and one context."""

    def __init__(self):
        self.calls = ctypes.CDLL("libzmq.so.5", use_errno=True)
        for name in ("zmq_ctx_new", "zmq_socket"):
            getattr(self.calls, name).restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.calls.zmq_ctx_new())

    def socket(self, kind):
        handle = self.calls.zmq_socket(self.context, kind)
        if not handle:
            raise Trouble("no socket")
        return Peer(self.calls, ctypes.c_void_p(handle))


class Peer:
    def __init__(self, calls, handle):
        self.calls, self.handle, self.monitor = calls, handle, None
        self.set(LINGER, 0)
        self.set(RECONNECT_IVL, -1)

    def set(self, option, value):
        if isinstance(value, int):
            value = struct.pack("i", value)
        if self.calls.zmq_setsockopt(self.handle, option, value, len(value)) != 0:
            raise Trouble(f"option {option}")

    def connect(self, endpoint):
        if self.calls.zmq_connect(self.handle, endpoint.encode()) != 0:
            raise Trouble(f"cannot connect to {endpoint}")

    def send(self, data):
        self.calls.zmq_send(self.handle, data, len(data), 1)

    def receive(self, seconds):
        self.set(RCVTIMEO, int(seconds * 1000))
        buffer = ctypes.create_string_buffer(1 << 16)
        count = self.calls.zmq_recv(self.handle, buffer, len(buffer), 0)
        return None if count < 0 else buffer.raw[: min(count, len(buffer))]

    def watch(self, library):
        """Events of handshakes; to be called before `connect`."""
        name = f"inproc://monitor-{self.handle.value:x}"
        events = EVENT_SUCCEEDED | EVENT_NO_DETAIL | EVENT_PROTOCOL | EVENT_REFUSED
        if self.calls.zmq_socket_monitor(self.handle, name.encode(), events) != 0:
            raise Trouble("no monitor")
        self.monitor = library.socket(PAIR)
        self.monitor.connect(name)

    def handshake(self):
        """The event that ended the handshake; None when there was none in time."""
        event = self.monitor.receive(DEADLINE)
        if event is None:
            return None
        self.monitor.receive(DEADLINE)
        return struct.unpack("<H", event[:2])[0]

    def close(self):
        if self.monitor:
            self.calls.zmq_socket_monitor(self.handle, None, 0)
            self.monitor.close()
        self.calls.zmq_close(self.handle)


# MARK: Attempts: each returns when it was turned away, and raises Trouble when it was not.


def connection(port):
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def require_end(stream, after=b""):
    """Reads until the other side closes."""
    data = after
    try:
        while True:
            piece = stream.recv(1 << 16)
            if not piece:
                return data
            data += piece
    except ConnectionResetError:
        return data
    except TimeoutError:
        raise Trouble("the connection stays open") from None


SCANS = (b"", b"GET / HTTP/1.1\r\nHost: head\r\n\r\n", bytes(range(7, 207)), b"\xff" + b"\x55" * 100)


def scan(_, port, number):
    data = SCANS[number % len(SCANS)]
    with connection(port) as stream:
        if data:
            stream.sendall(data)
            require_end(stream)


NULL_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def plain(_, port, number):
    with connection(port) as stream:
        stream.sendall(NULL_GREETING)
        answer = require_end(stream)
        if b"READY" in answer[GREETING_SIZE:]:
            raise Trouble("let in without a key")


def keyed(context, endpoint):
    peer = context.library.socket(DEALER)
    peer.set(CURVE_PUBLICKEY, context.public)
    peer.set(CURVE_SECRETKEY, context.secret)
    peer.set(CURVE_SERVERKEY, context.server)
    peer.set(ROUTING_ID, f"worker-{context.kind}".encode())
    peer.watch(context.library)
    peer.connect(endpoint)
    return peer


def unlisted(context, port, number):
    peer = keyed(context, f"tcp://127.0.0.1:{port}")
    try:
        event = peer.handshake()
        if event == EVENT_SUCCEEDED:
            raise Trouble("let in with a key that is not on the list")
        if event is None:
            raise Trouble("no end of the handshake")
    finally:
        peer.close()


def old(context, port, number):
    peer = keyed(context, f"tcp://127.0.0.1:{port}")
    try:
        peer.send(b'{"version":0,"kind":"hello","body":{}}')
        answer = peer.receive(DEADLINE)
        if answer is None or b'"refused"' not in answer or b"version is 0" not in answer:
            raise Trouble(f"the answer to an old hello is {answer}")
    finally:
        peer.close()


def huge(context, port, number):
    """The handshake is libzmq's; what comes after it is put onto the connection here, so that nobody
    has to have, and seal, a gigabyte."""
    peer = keyed(context, f"tcp://127.0.0.1:{context.door.getsockname()[1]}")
    inner, outer = context.door.accept()[0], None
    try:
        outer = connection(port)
        inner.settimeout(DEADLINE)
        seen = b""
        while b"\x05READY" not in seen:
            ready = select.select([inner, outer], [], [], DEADLINE)[0]
            if not ready:
                raise Trouble("no end of the handshake")
            for source, target in ((inner, outer), (outer, inner)):
                if source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        raise Trouble("turned away, though its key is on the list")
                    if source is outer:
                        seen += data
                    target.sendall(data)
        try:
            outer.sendall(struct.pack(">BQ", 2, GIGABYTE) + bytes(1 << 16))
        except (BrokenPipeError, ConnectionResetError):
            return
        require_end(outer)
    finally:
        inner.close()
        if outer:
            outer.close()
        peer.close()


KINDS = {call.__name__: call for call in (scan, plain, unlisted, old, huge)}


# MARK: All of them


class Context:
    def __init__(self, kind, keys):
        self.kind = kind
        if kind in ("scan", "plain"):
            return
        if not keys:
            sys.exit(f"intruder: error: {kind}: expected --keys DIR")
        self.library = Library()
        self.server = read_key(keys, "coordinator.public")
        self.public, self.secret = read_key(keys, "node.public"), read_key(keys, "node.secret")
        if kind == "unlisted":
            public, secret = ctypes.create_string_buffer(41), ctypes.create_string_buffer(41)
            self.library.calls.zmq_curve_keypair(public, secret)
            self.public, self.secret = public.value, secret.value
        if kind == "huge":
            self.door = socket.create_server(("127.0.0.1", 0))
            self.door.settimeout(DEADLINE)


def read_key(directory, name):
    with open(os.path.join(directory, name), "rb") as file:
        return file.read(40)


def is_over(ports):
    """Whether nobody listens at the first port any more; a run needs a moment to end."""
    time.sleep(1)
    try:
        connection(ports[0]).close()
    except OSError:
        return True
    return False


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--ports", required=True)
    parser.add_argument("--keys")
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--attempts", type=int, default=0)
    options = parser.parse_args()
    ports = [int(port) for port in options.ports.split(",")]
    if options.kind == "old":
        ports = ports[:1]
    attempt, context = KINDS[options.kind], Context(options.kind, options.keys)
    signal.signal(signal.SIGTERM, stop)
    tried, refused, troubles = 0, 0, {}
    begun = time.monotonic()
    try:
        while not options.attempts or tried < options.attempts:
            pause = begun + tried / options.rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            try:
                attempt(context, ports[tried % len(ports)], tried // len(ports))
                refused += 1
            except (OSError, Trouble) as error:
                if is_over(ports):
                    break
                troubles[str(error)] = troubles.get(str(error), 0) + 1
            tried += 1
    except Stop:
        # The unfinished attempt does not count.
        pass
    usage = os.times()
    result = {
        "kind": options.kind, "tried": tried, "refused": refused, "troubles": troubles,
        "seconds": round(time.monotonic() - begun, 2),
        "processor_seconds": round(usage.user + usage.system, 3),
    }
    print(json.dumps(result), flush=True)
    # Ends without the end of the context, which may wait for a connection.
    os._exit(1 if troubles or not tried else 0)


if __name__ == "__main__":
    main()
