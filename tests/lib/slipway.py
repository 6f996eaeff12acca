"""What tests, proofs and the demo share: where things are, and how to build the real image.

Python 3 standard library only. Real composes run as an ordinary user even when the test runs as
root, because that is a promise of the composer.
"""

import importlib.util
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("SLIPWAY_PROGRAMS", PROJECT / "build" / "release"))
SLIPWAY = PROGRAMS / "composer" / "slipway"
LIBEXEC = PROGRAMS / "libexec"
IGNITION, IGNITION_BOOT = LIBEXEC / "ignition", LIBEXEC / "ignition-boot"
VALIDATE = PROGRAMS / "ignition" / "ignition-validate"
IMAGE = PROJECT / "layers" / "images" / "container-host.json"
ORDINARY_UID = 65534
# The proof `valgrind` runs our programs under it.
WATCHED = os.environ.get("SLIPWAY_VALGRIND") == "1"
# Seconds that a program may take.
PATIENCE = 600 if WATCHED else 60
# And that it may take longer than it would.
SLACK = 60 if WATCHED else 0
# `./dev test` runs shorter versions of the proofs that `./dev prove` runs in full.
QUICK = os.environ.get("SLIPWAY_QUICK") == "1"

sys.path.insert(0, str(PROJECT / "tests" / "lib"))
# Golden files are written instead of compared.
UPDATE_GOLDEN = os.environ.get("UPDATE_GOLDEN") == "1"


def work_dir():
    """A place that outlives one test: packages, the composed image, the demo's disk."""
    base = os.environ.get("SLIPWAY_TEST_CACHE")
    path = pathlib.Path(base) if base else PROJECT / ".cache"
    path.mkdir(parents=True, exist_ok=True)
    return path


def give_to_user(path, uid=ORDINARY_UID):
    """Makes a directory (and what is in it) belong to the ordinary user, when we are root."""
    pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return
    if os.stat(path).st_uid != uid:
        subprocess.run(["chown", "-R", f"{uid}:{uid}", str(path)], check=True)


def as_user(argv, uid=ORDINARY_UID):
    """argv run without any privilege: no capabilities, and no way to gain some."""
    drop = ["setpriv", "--no-new-privs"]
    if os.geteuid() == 0:
        drop += [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all",
                 "--bounding-set=-all"]
    return drop + ["--"] + [str(a) for a in argv]


def reachable_copy(into):
    """Programs and data where an ordinary user can read them: the checkout may be private."""
    into = pathlib.Path(into)
    into.mkdir(parents=True, exist_ok=True)
    os.chmod(into, 0o755)
    for source, name in [(SLIPWAY, "bin/slipway"), *((p, f"libexec/{p.name}")
                                                     for p in sorted(LIBEXEC.iterdir()))]:
        target = into / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(source, target)
        os.chmod(target, 0o755)
    for folder in ("layers", "kernel-config"):
        if (into / folder).exists():
            shutil.rmtree(into / folder)
        shutil.copytree(PROJECT / folder, into / folder, symlinks=True)
    return into


class Result:
    """One run of `slipway build`."""

    def __init__(self, output, answer, seconds, peak_kib):
        self.output = pathlib.Path(output)
        self.answer = answer
        self.seconds = seconds
        self.peak_kib = peak_kib

    def artifact(self, suffix):
        for name in self.answer["artifacts"]:
            if name.endswith(suffix):
                return self.output / name
        raise KeyError(suffix)

    def report(self):
        return json.loads(self.artifact(".report.json").read_text())


def build(place, output, cache, *options, manifest="container-host", uid=ORDINARY_UID, env=None,
          cwd=None, wrapper=(), check=True):
    """Runs `slipway build` from a reachable_copy() as the ordinary user."""
    place, output, cache = pathlib.Path(place), pathlib.Path(output), pathlib.Path(cache)
    for path in (output, cache):
        give_to_user(path, uid)
    argv = [place / "bin/slipway", "build", place / f"layers/images/{manifest}.json",
            "--output", output, "--cache", cache, "--libexec", place / "libexec", "--json",
            *options]
    full_env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    full_env.update({k: v for k, v in os.environ.items() if k.startswith(("SLIPWAY_MIRROR_",
                                                                         "APT_CONFIG"))})
    full_env.update(env or {})
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run([*wrapper, *as_user(argv, uid)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=full_env, cwd=cwd or str(output), text=True)
    seconds = time.monotonic() - start
    peak = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    if check and done.returncode != 0:
        raise SystemExit(f"slipway build failed ({done.returncode}):\n{done.stderr}")
    answer = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}
    return Result(output, answer, seconds, peak)


def real_image(manifest="container-host", layers=None):
    """The composed image; built when it is not there, else a no-op of a second. layers: instead of
    those of the manifest; such an image is called like them."""
    place = reachable_copy(work_dir() / "place")
    output = work_dir() / ("image" if manifest == "container-host" else f"image-{manifest}")
    if layers:
        path = place / f"layers/images/{manifest}.json"
        text = json.loads(path.read_text()) | {"layers": layers, "name": f"{manifest}-{layers[-1]}"}
        manifest = text["name"]
        output = work_dir() / f"image-{manifest}"
        path.with_name(f"{manifest}.json").write_text(json.dumps(text))
    return build(place, output, work_dir() / "cache", manifest=manifest)


def proof(name):
    """A proof of tests/prove as a module; it is short when we are."""
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), PROJECT / f"tests/prove/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scratch(prefix="slipway-"):
    """A temporary directory that an ordinary user may enter; on the disk, not in memory."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("TMPDIR", "/var/tmp")))
    os.chmod(path, 0o755)
    return path


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
