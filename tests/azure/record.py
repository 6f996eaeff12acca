"""What was asked of the box, one JSON object a line, for assertions.

Every line has `time` (seconds since the box started), `service` (imds, wire, dhcp; other: a packet for its addresses that
is nobody's) and `what` was asked: of a web request the path and query. That has `method`, `headers`, `body`, the `status`
that it got (0: none), `fault` when a scripted one met it, and `complaint` when it was not as Azure's contract wants it.
"""

import json
import threading
import time

BODY_MAX = 64 * 1024


class Record:
    """Lines in memory and, where a path is given, in a file that grows while the box runs."""

    def __init__(self, path=None):
        self.lines = []
        self.started = time.monotonic()
        self.lock = threading.Lock()
        self.file = open(path, "a", encoding="utf-8") if path else None

    def now(self):
        return round(time.monotonic() - self.started, 3)

    def add(self, service, what, at=None, **more):
        line = {"time": self.now() if at is None else at, "service": service, "what": what, **more}
        if "body" in line:
            line["body"] = line["body"][:BODY_MAX]
        with self.lock:
            self.lines.append(line)
            if self.file:
                self.file.write(json.dumps(line) + "\n")
                self.file.flush()
