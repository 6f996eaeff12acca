#!/usr/bin/env python3
"""each fault of Azure's services passes, or ends before its deadline with the report that says why"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import azure
import machine
import servers
import slipway

AGENT = slipway.LIBEXEC / "slipway-azure"
VM = "0f8fad5b-d9cb-469f-a165-70867728950e"
CONFIG = '{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/from-azure"}]}}'
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample azure"
USER_DATA = "imds /metadata/instance/compute/userData"
GOAL, HEALTH = "wire /machine/?comp=goalstate", "wire /machine/?comp=health"
# The report of a failure has a minute of its own, after whatever deadline it is that passed.
REPORT_S = 60
# A loaded machine is slower than the programs' own clocks.
SLACK_S = 30
# Five minutes for user data, and a boot.
MACHINE_S = 900
AT_A_TIME = 16  # nearly all of a case is waiting


@dataclasses.dataclass
class Case:
    """fetch: the fetch stage of ignition; else slipway-azure. Passes when `report` is Ready (or, for the stage, when there
    is a configuration); else fails, `says` why in the report and where the report cannot be made in its own words."""
    name: str
    faults: list
    within: float  # seconds
    fetch: bool = False
    passes: bool = True
    says: str = ""
    told: bool = True  # the platform gets the report
    protocol: str = "xml"
    least: float = 0  # seconds: the fault did meet it
    options: tuple = ()
    more: dict = dataclasses.field(default_factory=dict)  # of the description


def fault(at, **more):
    return {"at": at, **more}


def fetch(name, faults, within, **more):
    return Case(f"user data: {name}", faults, within, fetch=True, **more)


def agent(name, faults, within, **more):
    return Case(f"agent: {name}", faults, within, **more)


CASES = [
    fetch("nothing is wrong", [], 10),
    fetch("410 for 70 s", [fault(USER_DATA, status=410, seconds=70)], 90, least=70),
    fetch("404, then there", [fault(USER_DATA, status=404, times=4)], 15),
    fetch("429 twenty times", [fault(USER_DATA, status=429, headers={"Retry-After": "1"}, times=20)], 60, least=20),
    fetch("500 five times", [fault(USER_DATA, status=500, times=5)], 20),
    fetch("503 in between", [fault(USER_DATA, status=503, times=2)], 15),
    fetch("a slow body", [fault(USER_DATA, rate=10)], 30, least=5),
    fetch("cut off twice", [fault(USER_DATA, cut=20, times=2)], 15),
    fetch("reset three times", [fault(USER_DATA, reset=True, times=3)], 15),
    fetch("no answer once", [fault(USER_DATA, stall=True, times=1)], 80, least=5),
    fetch("refused for 10 s", [fault("imds", listen="refused", seconds=10)], 25, least=5),
    fetch("nobody there for 10 s", [fault("imds", listen="deaf", seconds=10)], 50, least=5),
    fetch("refused for ever", [fault("imds", listen="refused")], 15 + REPORT_S, passes=False, says="user data.*connect",
          options=("--deadline=15s",)),
    fetch("410 for ever", [fault(USER_DATA, status=410)], 15 + REPORT_S, passes=False, says="user data.*410",
          options=("--deadline=15s",)),
    fetch("never an answer", [fault("imds", stall=True)], 15 + REPORT_S, passes=False, says="user data",
          options=("--deadline=15s",)),
    fetch("forbidden", [fault(USER_DATA, status=403)], 10, passes=False, says="user data.*403"),
    fetch("not base64", [fault(USER_DATA, body="{no base64}")], 10, passes=False, says="base64"),
    fetch("no configuration", [], 10, passes=False, says="config is not valid", more={"userData": "{"}),
    fetch("neither user data nor a CD", [], 15 + REPORT_S, passes=False, says="the CD with custom data did not appear",
          more={"userData": ""}, options=("--fetch-timeout=10s",)),
    fetch("nothing at all", [fault("imds", listen="deaf"), fault("wire", listen="deaf")], 15 + REPORT_S, passes=False,
          says="user data", told=False, options=("--deadline=15s",)),
    fetch("the report meets 429", [fault(USER_DATA, status=403), fault(HEALTH, status=429, times=3)], 30, passes=False,
          says="user data.*403"),
    agent("nothing is wrong", [], 10),
    agent("IMDS: 410 for 70 s", [fault("imds", status=410, seconds=70)], 90, least=70),
    agent("IMDS: 429 twenty times", [fault("imds", status=429, headers={"Retry-After": "1"}, times=20)], 60, least=20),
    agent("IMDS: broken JSON twice", [fault("imds", body='{"compute":{"name":"v', times=2)], 15),
    agent("IMDS: cut off twice", [fault("imds", cut=200, times=2)], 15),
    agent("IMDS: a slow body", [fault("imds", rate=400)], 30, least=3),
    agent("IMDS: no answer once", [fault("imds", stall=True, times=1)], 80, least=5),
    agent("IMDS: refused for 10 s", [fault("imds", listen="refused", seconds=10)], 30, least=5),
    agent("IMDS: 410 for ever", [fault("imds", status=410)], 15 + REPORT_S, passes=False, says="instance metadata.*410",
          options=("--deadline=15",)),
    agent("IMDS: forbidden", [fault("imds", status=403)], 15, passes=False, says="instance metadata.*403"),
    agent("IMDS: a machine for a pool", [], 15, passes=False, says="pre-provisioning, type Running",
          more={"preprovisioned": "Running"}),
    agent("WireServer: 500 in between", [fault(GOAL, status=500, times=3), fault("wire /?comp=versions", status=500, times=2)],
          20),
    agent("WireServer: 429 ten times", [fault(HEALTH, status=429, headers={"Retry-After": "1"}, times=10)], 40, least=10),
    agent("WireServer: broken XML twice", [fault(GOAL, body="<GoalState><Incarnation>1</Inc", times=2)], 15),
    agent("WireServer: cut off twice", [fault(GOAL, cut=300, times=2)], 15),
    agent("WireServer: a slow body", [fault(GOAL, rate=400)], 30, least=2),
    agent("WireServer: wrong incarnation twice", [fault(GOAL, incarnation=7, times=2)], 30),
    agent("WireServer: reset three times", [fault("wire", reset=True, times=3)], 15),
    agent("WireServer: no answer once", [fault(GOAL, stall=True, times=1)], 80, least=5),
    agent("WireServer: refused for 10 s", [fault("wire", listen="refused", seconds=10)], 30, least=5),
    agent("WireServer: nobody there for 10 s", [fault("wire", listen="deaf", seconds=10)], 50, least=5),
    agent("WireServer: only JSON", [fault("wire /?comp=versions", status=404)], 15, protocol="json"),
    agent("WireServer: wrong incarnation for ever", [fault(GOAL, incarnation=7)], 30 + REPORT_S, passes=False, told=False,
          says="410", options=("--deadline=20",)),
    agent("WireServer: 429 for ever", [fault(HEALTH, status=429)], 15 + REPORT_S, passes=False, told=False, says="429",
          options=("--deadline=15",)),
    agent("WireServer: nobody there", [fault("wire", listen="deaf")], 15 + REPORT_S, passes=False, told=False,
          says="WireServer", options=("--deadline=15",)),
    agent("nothing at all", [fault("imds", listen="deaf"), fault("wire", listen="deaf")], 15 + REPORT_S, passes=False,
          told=False, says="instance metadata", options=("--deadline=15",)),
]


# ---- one case, in namespaces of its own ----

def write(root, path, text):
    path = pathlib.Path(root, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_system(root):
    """What slipway-azure changes."""
    for directory in ("home", "var/lib", "sys/firmware/efi"):
        pathlib.Path(root, directory).mkdir(parents=True)
    write(root, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    write(root, "etc/group", "root:x:0:\nsudo:x:27:\n")
    write(root, "etc/shadow", "root:*:1::::::\n")
    write(root, "etc/login.defs", "USERGROUPS_ENAB yes\nUID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n")
    write(root, "sys/class/dmi/id/product_uuid", f"{VM}\n")


def make_machine(directory):
    """This machine's firmware says, to who looks from this namespace, that it is the virtual machine."""
    for covered in ("/sys/class", "/sys/firmware", "/run"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", covered], check=True)
    pathlib.Path("/sys/firmware/efi").mkdir()
    write("/sys/class/dmi/id", "product_uuid", f"{VM}\n")
    write(directory, "root/etc/os-release", "ID=none\n")


def command(case, directory):
    if not case.fetch:
        return [str(AGENT), f"--root={directory}/root", *(case.options or ("--deadline=600",))]
    return [str(slipway.IGNITION), "--platform=azure", "--stage=fetch", f"--root={directory}/root", "--log-to-stdout",
            f"--config-cache={directory}/config", f"--state-file={directory}/state", f"--neednet={directory}/neednet",
            *case.options]


def check(case, directory, done, seconds, lines):
    """What is wrong with the outcome, in words; none: it is as it must be."""
    text, reports = done.stdout, azure.reports(lines)
    if (done.returncode == 0) != case.passes:
        yield f"exit {done.returncode}"
    if not case.least <= seconds <= case.within + SLACK_S:
        yield f"took {seconds:.1f} s, not {case.least} to {case.within}"
    if case.fetch and case.passes != (directory / "config").exists():
        yield "no configuration was kept" if case.passes else "a configuration was kept"
    expected = [] if not case.told or case.fetch and case.passes else ["Ready" if case.passes else "NotReady"]
    if [state for _, state, _ in reports] != expected:
        yield f"reports {reports}, not {expected}"
    for protocol, _, description in reports:
        if protocol != case.protocol:
            yield f"reported in {protocol}"
        if not case.passes and (not re.search(case.says, description) or VM not in description):
            yield f"reported {description!r}, not {case.says!r} of {VM}"
    if not case.passes and not re.search(case.says, text):
        yield f"does not say {case.says!r}"
    complaints = [line["complaint"] for line in lines if "complaint" in line and "older" not in line["complaint"]]
    if complaints:
        yield f"asked what Azure would refuse: {complaints}"
    if not case.fetch and case.passes:
        yield from check_agent(directory, lines)


def check_agent(directory, lines):
    """The order; and once is enough."""
    met = [azure.short(line) for line in lines if line["service"] == "wire" and line["status"] in (200, 201)]
    if met[-2:] != ["goalstate", "health"] and met != ["health"]:
        yield f"WireServer was asked for {met}"
    if met.count("health") != 1:
        yield f"{met.count('health')} reports were taken"
    kept = [path.read_text() for path in (directory / "root/home/azureuser/.ssh").rglob("*") if path.is_file()]
    if KEY not in "".join(kept):
        yield "the administrator has not got the key"


def enter_namespaces():
    """With the ids of ordinary users: one is made."""
    if os.environ.get("SLIPWAY_NAMESPACE") != "1":
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
        os.execvpe("unshare", ["unshare", *user, "--net", "--mount", sys.executable, *sys.argv],
                   {**os.environ, "SLIPWAY_NAMESPACE": "1"})
    servers.enter_namespace()


def run_case(case):
    enter_namespaces()
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        make_system(directory / "root")
        make_machine(directory)
        description = {"vmId": VM, "name": "node", "adminUsername": "azureuser", "publicKeys": [KEY], "userData": CONFIG}
        with azure.Box(directory, **(description | case.more), faults=case.faults) as box:
            started = time.monotonic()
            argv = command(case, directory)
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
            seconds = time.monotonic() - started
            lines = box.lines()
            wrong = list(check(case, directory, done, seconds, lines))
            if not case.fetch and case.passes:
                subprocess.run(argv, check=True, capture_output=True)
                if len(box.lines()) != len(lines):
                    wrong.append("asked again although all is done")
        print(json.dumps({"seconds": seconds, "wrong": wrong, "log": done.stdout[-3000:] if wrong else ""}))


# ---- all of them ----

def start(index):
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True,
                          env={**os.environ, "SLIPWAY_FAULT_CASE": str(index)})
    if done.returncode != 0:
        return {"seconds": 0, "wrong": [done.stderr], "log": done.stdout}
    return json.loads(done.stdout)


def machine_without_answers():
    """A whole machine that no metadata service ever answers, and that has no CD: its console says so, and so does the report."""
    machine.enter_namespace()
    scratch = slipway.scratch()
    try:
        faults = [fault("imds", listen="deaf")]
        with azure.Machine(os.environ["SLIPWAY_PROOF_DISK"], scratch, snapshot=True, vmId=VM, disc="none", faults=faults) as vm:
            report, age = vm.wait_report(MACHINE_S)
            vm.wait_for(r"Ignition failed: stage fetch[\s\S]*Reason: +user data: ", MACHINE_S)
            if report[:2] != ("xml", "NotReady") or not re.search("stage fetch: user data", report[2]):
                raise SystemExit(f"azure-faults: the machine reported {report}")
            vm.stop()
            if vm.process.returncode != 1:
                raise SystemExit(f"azure-faults: slipway run ended with {vm.process.returncode}")
        print(f"a machine that nobody answers: NotReady after {age:.0f} s, and its console says why")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    if "SLIPWAY_PROOF_DISK" in os.environ:
        machine_without_answers()
        return
    if "SLIPWAY_FAULT_CASE" in os.environ:
        run_case(CASES[int(os.environ["SLIPWAY_FAULT_CASE"])])
        return
    wanted = [i for i, case in enumerate(CASES) if re.search(" ".join(sys.argv[1:]), case.name)]
    started, failed = time.monotonic(), 0
    # What takes longest comes first.
    order = sorted(wanted, key=lambda i: -max(CASES[i].within, CASES[i].least))
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for i, result in zip(order, pool.map(start, order)):
            ended = "passed" if CASES[i].passes else "failed as it must"
            print(f"{CASES[i].name:45s} {result['seconds']:5.1f} s  {ended if not result['wrong'] else 'WRONG'}", flush=True)
            failed += bool(result["wrong"])
            for reason in result["wrong"]:
                print(f"    {reason}")
            if result["log"]:
                print("    " + result["log"].replace("\n", "\n    "))
    if not slipway.QUICK and not sys.argv[1:]:
        subprocess.run([sys.executable, __file__], check=True,
                       env={**os.environ, "SLIPWAY_PROOF_DISK": str(azure.image())})
    if failed:
        raise SystemExit(f"azure-faults: {failed} of {len(order)} cases went wrong")
    print(f"azure-faults: {len(order)} faults in {time.monotonic() - started:.0f} s: "
          f"{sum(CASES[i].passes for i in order)} passed, {sum(not CASES[i].passes for i in order)} failed before their "
          "deadline, each with its reason")


if __name__ == "__main__":
    main()
