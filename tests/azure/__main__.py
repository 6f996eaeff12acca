"""Azure in a box: what a virtual machine meets on Azure, on one machine and for tests.

    azure-box serve [--description FILE] [--record FILE] …     IMDS and WireServer at their addresses, which must be (or
                                                               are made, on the loopback) in this network namespace
    azure-box disc OUT [--description FILE] …                  the CD-ROM alone
    azure-box machine --nic FD --net FD --disc-fd FD …         for `slipway run --platform azure`: see network.py

Python 3 standard library only. Nothing leaves this machine.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys

import description
import disc
import imds
import network
import record
import web
import wireserver
from faults import Mistake, Script

IMDS, WIRE = "169.254.169.254", "168.63.129.16"


class Box:
    """Both services, on addresses of choice."""

    def __init__(self, d, record_path=None, script=None, imds_at=(IMDS, 80), wire_at=(WIRE, 80)):
        self.description = d
        self.record = record.Record(record_path)
        script = Script(d.faults if script is None else script)
        self.wire = wireserver.WireServer(d)
        self.imds_web = web.Web(imds.Imds(d), script, self.record, *imds_at)
        self.wire_web = web.Web(self.wire, script, self.record, *wire_at)

    def stop(self):
        self.imds_web.stop()
        self.wire_web.stop()


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def describe(options):
    d = description.load(options.description, getattr(options, "identity", None))
    if options.user_data:
        d.set_user_data(read_file(options.user_data))
    if options.custom_data:
        d.set_custom_data(read_file(options.custom_data))
    return d


def add_addresses():
    for address in (IMDS, WIRE):
        subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)


def serve(options):
    d = describe(options)
    add_addresses()
    box = Box(d, options.record)
    print(d.vmId, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    box.stop()


def write_disc(options):
    with open(options.out, "wb") as f:
        f.write(disc.image(describe(options)))


def machine(options):
    """Says on stdout which machine it is once QEMU may start."""
    d = describe(options)
    os.pwrite(options.disc_fd, disc.image(d), 0)
    loopback = ("127.0.0.1", 0)
    box = Box(d, options.record, imds_at=loopback, wire_at=loopback)
    ports = {IMDS: box.imds_web.port, WIRE: box.wire_web.port}
    print(f"{d.vmId}\n{d.mac}", flush=True)
    os.close(sys.stdout.fileno())
    network.Link(d, box.record, ports, options.nic, options.net).run()


def main():
    parser = argparse.ArgumentParser(prog="azure-box", description="Azure in a box")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--description", metavar="FILE", help="what the machine is: JSON")
    common.add_argument("--user-data", metavar="FILE")
    common.add_argument("--custom-data", metavar="FILE")
    common.add_argument("--record", metavar="FILE", help="JSON lines of what was asked")
    verbs = parser.add_subparsers(required=True)
    verbs.add_parser("serve", parents=[common]).set_defaults(run=serve)
    verb = verbs.add_parser("disc", parents=[common])
    verb.add_argument("out")
    verb.set_defaults(run=write_disc)
    verb = verbs.add_parser("machine", parents=[common])
    verb.add_argument("--identity", metavar="DISK", help="the machine is a new one with each disk")
    for name in ("nic", "net", "disc-fd"):
        verb.add_argument(f"--{name}", type=int, required=True)
    verb.set_defaults(run=machine)
    options = parser.parse_args()
    try:
        options.run(options)
    except (Mistake, OSError) as e:
        sys.exit(f"azure-box: {e}")


if __name__ == "__main__":
    main()
