#!/usr/bin/env python3
"""EROFS images are right: this kernel, fsck.erofs and the image's own kernel read back what went in"""

import base64
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import debian13
import machine
import releases
import slipway
import tree_zoo

TREE_IMAGE = slipway.PROGRAMS / "tests/tools/tree-image"
FORMS = ["none", "lz4", "lz4hc", "zstd", "zstd:1:8192", "zstd:3:65536", "zstd:3:1048576", "lz4hc:12:1048576"]
TREES = 300 if slipway.QUICK else 10_000
BASES = 20 if slipway.QUICK else 1000
# Names, modes, owners, sizes, link targets and contents of all of /usr, in one digest.
SUMMARY = (r"cd {usr} && {{ find . -printf '%P %m %U %G %y %l\n' | LC_ALL=C sort;"
           r" find . -type f -printf '%P %s\n' | LC_ALL=C sort;"
           r" find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; }} | sha256sum")


def can_mount():
    return os.geteuid() == 0 and "erofs" in pathlib.Path("/proc/filesystems").read_text()


def random_trees():
    """The unit tests, with a reader of our own: as many random trees as the issue asks for."""
    for name, trees in (("test-erofs", TREES), ("test-erofs-base", BASES)):
        subprocess.run([slipway.PROGRAMS / "tests" / name], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "SLIPWAY_TEST_TREES": str(trees)})
        print(f"ok  {name}: {trees} random trees")


def write(tree, image, form):
    subprocess.run([TREE_IMAGE, tree, image, "", form], check=True)


def assert_same(expected, found, what):
    lines = tree_zoo.differences(expected, found)
    if lines:
        raise SystemExit(f"{what}:\n  " + "\n  ".join(lines))
    print(f"ok  {what}: {len(found)} files", flush=True)


def check_image(tools, image, work, what, expected, full):
    """dump.erofs and fsck.erofs of Debian 13, the second also as a reader; and this kernel."""
    dump = subprocess.run(debian13.argv(tools, ["dump.erofs", "-s", image]), check=True, text=True,
                          capture_output=True).stdout
    if "0xE0F5E1E2" not in dump:
        raise SystemExit(f"{what}: dump.erofs says:\n{dump}")
    extracted = work / "extracted"
    argv = ["fsck.erofs", *([f"--extract={extracted}", "--xattrs"] if full else []), image]
    subprocess.run(debian13.argv(tools, argv), check=True, stdout=subprocess.DEVNULL)
    if full:
        assert_same(without_links(expected), without_links(tree_zoo.describe(extracted)), f"{what}, fsck.erofs --extract")
        shutil.rmtree(extracted)
    if can_mount():
        with tree_zoo.Mounted(image, work / "mounted") as top:
            assert_same(expected, tree_zoo.describe(top), f"{what}, this kernel ({os.uname().release})")


def without_links(description):
    """fsck.erofs 1.8 extracts hard links as copies in some cases, and no sockets' owners: contents count."""
    return {path: [about[0], *about[3:4], *about[5:6]] if about[0].startswith("0o100") else [about[0]]
            for path, about in description.items()}


def generated_tree(tools, work):
    tree = tree_zoo.make(work / "zoo")
    expected = tree_zoo.describe(tree)
    for form in FORMS:
        write(tree, work / "image", form)
        # A sparse file of gigabytes is extracted as such; once is enough.
        check_image(tools, work / "image", work, f"generated tree, {form}", expected, full=False)
        os.unlink(work / "image")
    shutil.rmtree(tree)
    tree = tree_zoo.make(work / "zoo", sparse=False)
    expected = tree_zoo.describe(tree)
    for form in ("none", "lz4hc", "zstd"):
        write(tree, work / "image", form)
        check_image(tools, work / "image", work, f"generated tree without holes, {form}", expected, full=True)
    shutil.rmtree(tree)


def real_tree(tools, work, result):
    tree = work / "usr"
    releases.checkout(result.report()["commit"], tree)
    expected = tree_zoo.describe(tree)
    for form in ("none", "lz4hc", "zstd"):
        write(tree, work / "image", form)
        check_image(tools, work / "image", work, f"container-host, {form}", expected, full=True)
    summary = subprocess.run(["sh", "-c", SUMMARY.format(usr=tree)], check=True, capture_output=True, text=True)
    shutil.rmtree(tree)
    return summary.stdout.split()[0]


def own_kernel(disk, wanted, work):
    """Boots the image and has its kernel read everything."""
    key, public = machine.ssh_key(work)
    config = machine.Ignition(slipway.PROJECT / "docs/examples/hello.ign.json")
    config.user("core", sshAuthorizedKeys=[public])
    script = base64.b64encode(SUMMARY.format(usr="/usr").encode()).decode()
    with machine.Machine(disk, config.write(work / "erofs.ign")) as vm:
        vm.wait_for("login:")
        found = vm.ssh(key, f"echo {script} | base64 -d | sudo sh", timeout=machine.BOOT_DEADLINE)
        kernel = vm.ssh(key, "uname -r").strip()
        vm.poweroff(key)
    if found.split()[0] != wanted:
        raise SystemExit(f"the image's own kernel reads {found}, not {wanted}")
    print(f"ok  container-host as composed, its own kernel ({kernel}): {wanted}", flush=True)


def boot_apart(disk, wanted, work):
    """The machine is in a network namespace of its own: this program again."""
    subprocess.run([sys.executable, __file__, "boot", disk, wanted, work], check=True)


def main():
    work = slipway.scratch()
    try:
        random_trees()
        result = slipway.real_image()
        tools = debian13.unpack(work)
        generated_tree(tools, work)
        summary = real_tree(tools, work, result)
        boot_apart(result.artifact(".raw"), summary, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"erofs: {TREES} random trees and {BASES} series of changes, {len(FORMS)} forms of the generated tree, "
          "the real tree in 3 and by its own kernel")


if __name__ == "__main__":
    if sys.argv[1:2] == ["boot"]:
        machine.enter_namespace()
        own_kernel(sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4]))
    else:
        main()
