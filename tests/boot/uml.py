"""Runs a command as the only process of User-mode Linux, on this machine's own files.

The guest is a Linux 6.1 whose root is the host's file system (hostfs) and whose disks are image
files: the quick way (a second) to have a kernel mount what we made, device-mapper included, without
being root. The guest has no network. Python 3 standard library only.
"""

import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

MODULES = pathlib.Path("/usr/lib/uml/modules")
DISKS = "abcdefgh"
# For processors with more registers than User-mode Linux knows of.
REGISTERS = slipway.PROGRAMS / "tests" / "tools" / "uml-registers.so"

INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DM_DISABLE_UDEV=1 LC_ALL=C.UTF-8
{{ {load}true; }} >{scratch}/output 2>&1 && {command} >>{scratch}/output 2>&1 </dev/null
echo $? >{scratch}/status
exec {python} -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)'
"""


class Failure(RuntimeError):
    """The guest did not come to its end; the message has what it said."""


def module_files(names):
    """The files to load, in order, for modules and what they need."""
    release = max(MODULES.iterdir())
    needs = {}
    for line in (release / "modules.dep").read_text().splitlines():
        path, rest = line.split(":")
        needs[pathlib.PurePath(path).stem] = (path, rest.split())
    files = []
    for name in names:
        path, before = needs[name]
        for file in [*reversed(before), path]:
            if release / file not in files:
                files.append(release / file)
    return files


def run(argv, disks=(), modules=("dm-verity", "erofs"), memory="256M", timeout=400, arguments=()):
    """Runs argv with the disk images as /dev/ubda, /dev/ubdb …, writable, and more words on the kernel's command line; (exit
    status, output)."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="slipway-uml-"))
    try:
        init = scratch / "init"
        load = "".join(f"insmod {file} && " for file in module_files(modules))
        init.write_text(INIT.format(load=load, scratch=scratch, python=shlex.quote(sys.executable),
                                    command=shlex.join(map(str, argv))))
        init.chmod(0o755)
        console = start(init, scratch, disks, memory, timeout, arguments)
        status, output = scratch / "status", scratch / "output"
        text = output.read_text(errors="replace") if output.exists() else ""
        if not status.exists():
            raise Failure(f"{text}\n{console}")
        return int(status.read_text()), text
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def prove(script, directory, disks, size, modules, timeout):
    """Runs a shell script, with fresh disks of that size in the directory; it must say PROVED and succeed."""
    path, disks = directory / "script", [directory / name for name in disks]
    path.write_text(script)
    for disk in disks:
        with open(disk, "wb") as file:
            file.truncate(size)
    status, said = run(["sh", path], disks, modules, "512M", timeout)
    if status != 0 or "PROVED" not in said:
        raise SystemExit(f"exit status {status}\n{said}")


def start(init, scratch, disks, memory, timeout, arguments=()):
    """Runs the guest until it powers off; what its console said."""
    kernel = scratch / "linux"  # a guest that removes it (uml_dir) ends instead of starting again
    kernel.symlink_to(shutil.which("linux") or "linux")
    command = [str(kernel), f"mem={memory}", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}",
               f"uml_dir={scratch}/", "umid=guest", "con0=null,fd:1", "con=null", "loglevel=1", "panic=1", *arguments]
    command += [f"ubd{letter}={path}" for letter, path in zip(DISKS, disks)]
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=timeout, check=False,
                                env={"PATH": "/usr/bin:/bin", "HOME": str(scratch), "LD_PRELOAD": str(REGISTERS)})
    except subprocess.TimeoutExpired as expired:
        said = (expired.stdout or b"").decode(errors="replace")
        raise Failure(f"no end after {timeout} s\n{said}") from None
    return result.stdout.decode(errors="replace")
