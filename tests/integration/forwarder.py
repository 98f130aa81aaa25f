# SPDX-License-Identifier: Apache-2.0
"""A forwarder on loopback, as `ssh -L` is one: may be cut, and be as slow as a bad line."""
import queue
import socket
import threading
import time

CHUNK = 2048
BUFFER_BYTES = 16384  # a line holds little: what is sent waits with the sender


class Forwarder:
    """Listens on a port of its own and passes everything on to another.

    bytes_per_s   of each direction; 0: as fast as can be
    delay_s       of each direction
    """

    def __init__(self, port, bytes_per_s=0, delay_s=0.0):
        self.target = port
        self.bytes_per_s = bytes_per_s
        self.delay_s = delay_s
        self.n_connections = 0
        self.n_bytes = 0
        self.lock = threading.Lock()
        self.pairs = []
        self.is_open = False
        self.port = 0
        self.listener = None
        self.open()

    @property
    def endpoint(self):
        return f"tcp://127.0.0.1:{self.port}"

    def open(self):
        """Listen, on the same port as before."""
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.is_open = True
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self):
        """End all connections and take no more."""
        self.is_open = False
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()

    def drop(self):
        """End all connections; new ones are welcome."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.n_connections += 1
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()  # as ssh does when nobody listens at the far end
                continue
            with self.lock:
                self.pairs.append((near, far))
            for a, b in ((near, far), (far, near)):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, source, sink):
        """One direction of one connection."""
        line = queue.Queue(max(4, int(self.bytes_per_s * self.delay_s / CHUNK) + 4))
        threading.Thread(target=self._deliver, args=(line, sink), daemon=True).start()
        free = 0.0  # when the line has carried what came before
        try:
            while data := source.recv(CHUNK):
                self.n_bytes += len(data)
                free = max(free, time.monotonic())
                if self.bytes_per_s:
                    free += len(data) / self.bytes_per_s
                    time.sleep(max(0, free - time.monotonic()))
                line.put((free + self.delay_s, data))
        except OSError:
            pass
        line.put((0, None))

    @staticmethod
    def _deliver(line, sink):
        while True:
            due, data = line.get()
            if data is None:
                break
            time.sleep(max(0, due - time.monotonic()))
            try:
                sink.sendall(data)
            except OSError:
                pass
        try:
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
