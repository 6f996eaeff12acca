"""Azure in a box for tests: the program of tests/azure as a process, and what it wrote down.

    machine.enter_namespace()
    with azure.Box(directory, userData=text, faults=[…]) as box:
        …                       # 169.254.169.254 and 168.63.129.16 answer in this namespace
        box.lines("wire")       # what was asked, see tests/azure/record.py
        box.reports()           # [("xml", "Ready", None)]
"""

import json
import pathlib
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import machine
import slipway

BOX = pathlib.Path(__file__).resolve().parents[1] / "azure"
# A metadata service and a WireServer that are young, and what the first boot of a machine asks them, in order, each
# answered once.
YOUNG = [{"at": "imds", "status": 410, "times": 3}, {"at": "wire", "status": 429, "times": 2}]
FIRST_BOOT = ["userData", "/metadata/instance?", "versions", "goalstate", "health"]
# Data disks: number → MiB. Azure's NVMe controllers are known by their model, which no emulated one has: the attribute alone
# is put over it. Commands, run in this order, and what they must print.
LUNS = {0: 64, 3: 96}
DISK_CHECKS = [
    ("ls /dev/disk/azure 2>&1", "No such file"),
    ("printf '%s' 'MSFT NVMe Accelerator v1.0' | sudo tee /run/model >/dev/null && "
     "sudo mount --bind /run/model /sys/class/nvme/nvme0/model && sudo udevadm trigger -c add -s block && sudo udevadm settle",
     r"\A\Z"),
    *((f"n=$(readlink -f /dev/disk/azure/data/by-lun/{lun}); lsblk -bdno SIZE $n; cat /sys/class/block/${{n##*/}}/nsid "
       f"/sys/class/block/${{n##*/}}/queue/io_timeout", rf"\A\s*{size << 20}\s+{lun + 2}\s+240000\s*\Z")
      for lun, size in LUNS.items()),
    ("ls /dev/disk/azure/data/by-lun", r"\A0\s+3\s*\Z"),
]
HEALTH = "/machine/?comp=health", "/machine?comp=health", "/provisioning/health"


def read_record(path):
    """Lines of a record, without one that is still being written."""
    path = pathlib.Path(path)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def short(line):
    """One word for a request: what a test of the order speaks of."""
    words = {"/?comp=versions": "versions", "comp=goalstate": "goalstate", "comp=health": "health",
             "/provisioning/health": "health", "compute/userData": "userData", "comp=config": "config"}
    return next((word for part, word in words.items() if part in line["what"]), line["what"])


def report(line):
    """(protocol, state, description) of a health report."""
    if line["what"] == "/provisioning/health":
        body = json.loads(line["body"])
        return "json", body["state"], (body.get("details") or {}).get("description")
    root = ElementTree.fromstring(line["body"].encode())
    health = root.find("Container/RoleInstanceList/Role/Health")
    return "xml", health.findtext("State"), health.findtext("Details/Description")


def reports(lines):
    """The health reports that were taken."""
    return [report(line) for line in lines if line["what"] in HEALTH and 200 <= line["status"] < 300]


class Recorded:
    record = None

    def lines(self, *services):
        return [line for line in read_record(self.record) if not services or line["service"] in services]

    def reports(self):
        return reports(self.lines("wire"))

    def complaints(self):
        return [f"{line['what']}: {line['complaint']}" for line in self.lines() if "complaint" in line]


def image():
    """The VHD of the node's image where there is one, else of the container host with Azure's layer."""
    place = slipway.reachable_copy(slipway.work_dir() / "place")
    node = place / "layers/images/aks-node.json"
    if node.exists():
        return slipway.real_image("aks-node").artifact(".vhd")
    manifest = json.loads(slipway.IMAGE.read_text())
    manifest |= {"name": "azure", "layers": [*manifest["layers"], "azure"], "outputs": ["vhd"]}
    (place / "layers/images/azure.json").write_text(json.dumps(manifest))
    return slipway.build(place, slipway.work_dir() / "image-azure", slipway.work_dir() / "cache",
                         manifest="azure").artifact(".vhd")


def data_disks(directory):
    """QEMU's options for a controller with namespaces as those of Azure are counted: the first two numbers are the system's."""
    argv = ["-device", "nvme,id=nvme,serial=azure"]
    for lun, size in LUNS.items():
        path = pathlib.Path(directory) / f"data{lun}"
        with open(path, "wb") as f:
            f.truncate(size << 20)
        argv += ["-drive", f"if=none,id=data{lun},format=raw,file={path}", "-device",
                 f"nvme-ns,drive=data{lun},bus=nvme,nsid={lun + 2}"]
    return argv


def describe(directory, **description):
    """The description as a file for `azure-box` and for `slipway run --azure`."""
    path = pathlib.Path(directory) / "machine.json"
    path.write_text(json.dumps(description))
    return path


class Box(Recorded):
    """IMDS and WireServer at their addresses, in the namespace that the test is in."""

    def __init__(self, directory, **description):
        self.record = pathlib.Path(directory) / "record.jsonl"
        self.record.unlink(missing_ok=True)
        argv = [sys.executable, str(BOX), "serve", "--record", str(self.record), "--description",
                str(describe(directory, **description))]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.vm_id = self.process.stdout.readline().strip()
        if not re.fullmatch(r"[0-9a-f-]{36}", self.vm_id):
            raise SystemExit("Azure in a box did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.process.stdout.close()


class Machine(machine.Machine, Recorded):
    """`slipway run --platform azure`: a virtual machine, and the box beside it."""

    def __init__(self, disk, directory, *, user_data=None, custom_data=None, snapshot=False, options=(), qemu=(), **description):
        self.record = pathlib.Path(directory) / "record.jsonl"
        self.record.unlink(missing_ok=True)
        argv = ["--platform", "azure", "--record", self.record, "--azure", describe(directory, **description)]
        if custom_data:
            argv += ["--custom-data", custom_data]
        super().__init__(disk, user_data, snapshot, options=[*argv, *options, *(["--", *qemu] if qemu else [])])

    def wait_report(self, deadline=machine.BOOT_DEADLINE):
        """The first health report that was taken; and the machine's age then."""
        while not self.reports():
            if not self.pump() or self.age() > deadline:
                raise SystemExit(f"no report within {self.age():.0f} s; the console ends:\n{self.console[-3000:]}\n"
                                 f"asked: {[(short(line), line.get('status')) for line in self.lines()]}")
        return self.reports()[0], self.age()

    def check_order(self, wanted, protocol):
        """What was asked, in order: the configuration first, the report last, each question answered once. Yields (held, else)."""
        met = [short(line) for line in self.lines("imds", "wire") if "fault" not in line]
        yield len(met) == len(wanted) and all(m.startswith(w) for m, w in zip(met, wanted)), f"asked {met}, not {wanted}"
        yield self.reports() == [(protocol, "Ready", None)], f"reported {self.reports()}"
        yield not self.complaints(), f"asked what Azure would refuse: {self.complaints()}"
        yield [line["what"] for line in self.lines("dhcp")][:2] == ["discover", "request"], "DHCP in another order"
        other = [line["what"] for line in self.lines("other")]
        yield not other, f"packets for Azure's addresses that are nobody's: {other}"
