"""Faults by script: a JSON array of rules, in the order in which they are asked whether they apply.

    {"at": "imds /metadata/instance/compute/userData", "status": 410, "seconds": 70}
    {"at": "wire /machine/?comp=health", "method": "POST", "status": 429, "headers": {"Retry-After": "1"}, "times": 20}
    {"at": "imds", "cut": 40}            the connection ends after 40 bytes of the body
    {"at": "imds", "rate": 100}          bytes a second
    {"at": "wire", "delay": 5}           seconds before the answer
    {"at": "wire", "stall": true}        the connection is taken, and nothing is ever said
    {"at": "wire", "reset": true}        the connection ends without an answer
    {"at": "wire /machine/?comp=goalstate", "incarnation": 7}     a goal state that no longer holds
    {"at": "imds", "listen": "refused"}  no connection at all; "deaf": nobody even refuses it

`times` and `seconds` (from the first request that it met; for `listen`, from the start) are when a rule ends; without
them it never does.
"""

import dataclasses
import threading
import time

SERVICES = ("imds", "wire")
RULES_MAX = 64


class Mistake(Exception):
    """The description or the script is not one."""


@dataclasses.dataclass
class Fault:
    at: str
    method: str = None
    times: int = None
    seconds: float = None
    status: int = None
    headers: dict = dataclasses.field(default_factory=dict)
    body: str = None
    delay: float = 0
    cut: int = None
    rate: float = None
    stall: bool = False
    reset: bool = False
    incarnation: int = None
    listen: str = None
    met: int = 0
    first: float = None

    def __post_init__(self):
        self.service, _, self.path = self.at.partition(" ")
        if self.service not in SERVICES:
            raise Mistake(f"fault at '{self.at}': not one of {', '.join(SERVICES)}")
        if self.listen not in (None, "refused", "deaf"):
            raise Mistake(f"fault: listen: '{self.listen}' is neither refused nor deaf")

    def over(self):
        if self.times is not None and self.met >= self.times:
            return True
        return (self.seconds is not None and self.first is not None
                and time.monotonic() - self.first >= self.seconds)

    def meets(self, service, method, target):
        if self.listen or self.service != service or not target.startswith(self.path):
            return False
        if self.method not in (None, method) or self.over():
            return False
        self.first = self.first or time.monotonic()
        self.met += 1
        return True

    def name(self):
        effects = ("status", "delay", "cut", "rate", "stall", "reset", "incarnation")
        return ", ".join(f"{e} {getattr(self, e)}" for e in effects if getattr(self, e)) or "body"


class Script:
    def __init__(self, rules=()):
        known = {f.name for f in dataclasses.fields(Fault)} - {"met", "first"}
        if len(rules) > RULES_MAX:
            raise Mistake(f"more than {RULES_MAX} faults")
        for rule in rules:
            if not isinstance(rule, dict) or not isinstance(rule.get("at"), str):
                raise Mistake("a fault is an object that says where: \"at\"")
            if set(rule) - known:
                raise Mistake(f"fault: unknown: {', '.join(sorted(set(rule) - known))}")
        self.faults = [Fault(**rule) for rule in rules]
        self.lock = threading.Lock()

    def meet(self, service, method, target):
        """The fault that this request meets, or None."""
        with self.lock:
            return next((f for f in self.faults if f.meets(service, method, target)), None)

    def listening(self, service):
        """(how, seconds or None for ever) when the service starts without taking connections."""
        found = next((f for f in self.faults if f.listen and f.service == service), None)
        return (found.listen, found.seconds) if found else (None, 0)
