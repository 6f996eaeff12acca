"""A complete tiny image: packages, signed repository, server, layers and manifest, made in a second.

    with Key() as key, Tiny(key) as tiny:
        tiny.build()                          # a raw disk in tiny.output
        tiny.add(make_deb("more", "1.0"))     # published at once
        tiny.layer["packages"].append("more")
        tiny.slipway("plan", tiny.manifest_path)

What the composer parses of a tree (PE files, kernel, module, units, sysusers.d) is there and valid;
nothing of it would boot. manifest, layer and files are written anew before each run.
"""

import contextlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import slipway
from kernel_config import FRAGMENTS, options

sys.path.insert(0, str(slipway.PROJECT / "tests" / "cli"))
from repo import EPOCH, Key, Repository, Server, make_deb  # noqa: F401

KERNEL = "6.1-tiny"
STUB = (slipway.PROJECT / "tests/data/pe/stub-minimal.efi").read_bytes()
OS_RELEASE = b'ID=tiny\nNAME="Tiny"\nVERSION_ID=1\n'
MIB = 1 << 20
# Whatever the builder's apt is told (sources, proxies, expired metadata) is none of the tests'.
APT_CONFIG = """Dir::Etc::main "/nonexistent";
Dir::Etc::parts "/nonexistent";
Dir::Etc::sourcelist "/nonexistent";
Dir::Etc::sourceparts "/nonexistent";
"""


def noise(size, seed=1):
    """Bytes that no compressor shortens, the same ones each time."""
    out, state = bytearray(), seed
    while len(out) < size:
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        out += (state >> 16).to_bytes(6, "little")
    return bytes(out[:size])


def kernel_module(name, exports=(), needs=(), **info):
    """A relocatable ELF file with only what depmod reads: .modinfo (info: firmware=["x.bin"] …), the
    names of symbols that others may use, and a symbol table with those of others."""
    modinfo = "".join(f"{key}={value}\0" for key, values in info.items() for value in values)
    modinfo = f"name={name}\0license=GPL\0vermagic={KERNEL} SMP\0{modinfo}".encode()
    strings = b"\0" + b"".join(symbol.encode() + b"\0" for symbol in needs)
    symbols = bytes(24)
    for symbol in needs:
        symbols += struct.pack("<IBBHQQ", strings.index(symbol.encode() + b"\0"), 0x10, 0, 0, 0, 0)
    exported = b"".join(symbol.encode() + b"\0" for symbol in exports)
    names = b"\0.modinfo\0.symtab\0.strtab\0.shstrtab\0__ksymtab_strings\0"
    bodies = [(1, 1, modinfo, 0, 0), (10, 2, symbols, 3, 24), (18, 3, strings, 0, 0)]
    if exports:
        bodies.append((36, 1, exported, 0, 0))
    bodies.append((26, 3, names, 0, 0))
    offset, rows, data = 64, [bytes(64)], b""
    for label, kind, body, link, entry in bodies:
        rows.append(struct.pack("<IIQQQQIIQQ", label, kind, 0, 0, offset, len(body), link, 1, 8,
                                entry))
        body += bytes(-len(body) % 8)
        data += body
        offset += len(body)
    header = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 1, 62, 1, 0, 0, offset,
                         0, 64, 0, 0, 64, len(rows), len(rows) - 1)
    return header + data + b"".join(rows)


def linux_image(config=None):
    """The kernel's package, with its configuration or without."""
    modules = f"usr/lib/modules/{KERNEL}"
    files = {f"boot/vmlinuz-{KERNEL}": noise(50000, 2), f"{modules}/modules.order": b"kernel/tiny.ko\n",
             f"{modules}/modules.builtin": b"", f"{modules}/kernel/tiny.ko": kernel_module("tiny")}
    if config is not None:
        files[f"boot/config-{KERNEL}"] = config.encode()
    return make_deb("linux-image", "6.1", files)


def packages():
    """The packages of the image."""
    return [
        make_deb("base-files", "13", {"usr/lib/os-release": OS_RELEASE, "usr/bin/sh": b"sh\n",
                                      "bin": "usr/bin", "etc/protocols": b"ip 0 IP\n",
                                      "var/lib/base/state": b"state\n"}),
        make_deb("hello", "1.0", {"usr/bin/hello": noise(300000), "usr/bin/hi": "hello"},
                 depends="base-files (>= 12)", modes={"usr/bin/hello": 0o755}),
        linux_image(),
        make_deb("systemd", "257", {
            "usr/lib/systemd/systemd": b"init\n",
            "usr/lib/systemd/boot/efi/linuxx64.efi.stub": STUB,
            "usr/lib/systemd/boot/efi/systemd-bootx64.efi": STUB,
            "usr/lib/systemd/system/tiny.service":
                b"[Service]\nExecStart=/usr/bin/hello\n[Install]\nWantedBy=multi-user.target\n",
            "usr/lib/systemd/system/multi-user.target": b"[Unit]\nDescription=Up\n",
            "usr/lib/sysusers.d/tiny.conf": b'u tinyd - "Tiny daemon" / -\ng tinies -\n'},
                 depends="base-files", modes={"usr/lib/systemd/systemd": 0o755}),
    ]


class Tiny:
    def __init__(self, key, parent=None):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="slipway-tiny-", dir=parent))
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self.path, True)
        self.repository = self._stack.enter_context(Repository(key))
        self.server = self._stack.enter_context(Server(self.repository.path))
        self.cache, self.output = self.path / "cache", self.path / "out"
        self.manifest_path = self.path / "images" / "tiny.json"
        self.layer_path = self.path / "base" / "layer.json"
        self.lock_path = self.path / "images" / "tiny.lock.json"
        self.manifest = {
            "name": "tiny", "version": "1.0", "architecture": "amd64",
            "repositories": [{"name": "test", "format": "deb", "suites": ["stable"],
                              "components": ["main"], "keyring": str(key.keyring)}],
            "layers": ["base"],
            "partitions": {"esp": "64M", "usr": "4M", "disk": "128M"},
        }
        self.layer = {
            "name": "base",
            "packages": ["base-files", "hello", "linux-image", "systemd"],
            "units": {"enable": ["tiny.service"]},
            "initrd": {"include": ["/usr/lib/systemd/systemd"], "modules": ["tiny"]},
            "kernel": {"options": ["quiet"]},
        }
        self.files = {"usr/share/tiny/motd": "Welcome\n"}  # of the layer
        apt = self.path / "apt.conf"
        apt.write_text(APT_CONFIG)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.path),
                            "APT_CONFIG": str(apt), "SOURCE_DATE_EPOCH": str(EPOCH)}
        self.add(*packages())

    def add(self, *debs, **publish):
        """Adds packages (instead of those of the same name) and publishes."""
        names = {deb.name for deb in debs}
        self.repository.debs = [d for d in self.repository.debs if d.name not in names]
        self.repository.add(*debs)
        self.repository.publish(**publish)

    def trust(self, trust):
        """The manifest's "trust", and a kernel that is configured for all there is of that."""
        self.manifest["trust"] = trust
        wanted = {o.name: o.value for path in FRAGMENTS if path.stem in ("trust", "ipe", "tpm") for o in options(path)}
        self.add(linux_image("".join(f"# {name} is not set\n" if value == "n" else f"{name}={value}\n"
                                     for name, value in wanted.items())))

    def write(self):
        self.manifest_path.parent.mkdir(exist_ok=True)
        self.manifest_path.write_text(json.dumps(self.manifest, indent=2))
        shutil.rmtree(self.layer_path.parent, ignore_errors=True)
        for name, text in self.files.items():
            path = self.layer_path.parent / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.layer_path.parent.mkdir(exist_ok=True)
        self.layer_path.write_text(json.dumps(self.layer, indent=2))

    def argv(self, verb, *arguments, cache=None):
        return [str(a) for a in (slipway.SLIPWAY, verb, "--cache", cache or self.cache,
                                 "--mirror", f"test={self.server.url}", *arguments)]

    def build_argv(self, *options, output=None, cache=None):
        return self.argv("build", self.manifest_path, "--output", output or self.output, *options,
                         cache=cache)

    def run(self, argv, env=None, wrapper=(), timeout=120):
        """Runs to the end; the result has returncode, stdout and stderr as text."""
        return subprocess.run([*wrapper, *argv], capture_output=True, text=True, timeout=timeout,
                              env=self.environment | (env or {}), cwd=self.path, check=False)

    def slipway(self, verb, *arguments, **how):
        return self.run(self.argv(verb, *arguments), **how)

    def try_build(self, *options, write=True, output=None, cache=None, **how):
        if write:
            self.write()
        return self.run(self.build_argv(*options, output=output, cache=cache), **how)

    def build(self, *options, **how):
        """A build that must succeed; its JSON answer."""
        done = self.try_build("--json", *options, **how)
        if done.returncode != 0:
            raise AssertionError(f"slipway build: exit {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def start_build(self, *options, write=True, **how):
        """A build in the background; the caller waits for it. write=False while another one reads."""
        if write:
            self.write()
        return subprocess.Popen(self.build_argv(*options, **how), env=self.environment,
                                cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def verify(self, output=None, cache=None):
        return self.run(self.argv("verify", output or self.output, cache=cache))

    def report(self, output=None):
        return json.loads(((output or self.output) / "tiny_1.0.report.json").read_text())

    def artifact(self, suffix):
        return self.output / f"tiny_1.0{suffix}"

    def refs(self, cache=None):
        """The OSTree refs: which package or image is imported, and as what."""
        heads = (cache or self.cache) / "repo/refs/heads"
        return {str(p.relative_to(heads)): p.read_text() for p in sorted(heads.rglob("*"))
                if p.is_file()}

    def close(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
