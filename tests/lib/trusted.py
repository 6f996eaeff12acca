"""Images with a chain of trust: the container host, with what its manifest's "trust" says, and keys of the test's own."""

import fcntl
import json
import shutil
import subprocess

import slipway


def keys():
    """The keys of all tests, which run side by side; made once. They belong to who builds."""
    path, new = slipway.work_dir() / "keys", slipway.work_dir() / "keys.new"
    with open(slipway.work_dir() / "keys.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            shutil.rmtree(new, ignore_errors=True)
            slipway.give_to_user(new)
            place = slipway.reachable_copy(slipway.work_dir() / "place-keys")
            subprocess.run(slipway.as_user([place / "bin/slipway", "keygen", "--secure-boot", new / "keys"]), check=True)
            (new / "keys").rename(path)
            new.rmdir()
    return path


def image(name, trust, layers=(), **more):
    """The container host with this "trust", these layers and keys of the manifest more, built into work_dir()/NAME."""
    place = slipway.reachable_copy(slipway.work_dir() / f"place-{name}")
    manifest = json.loads(slipway.IMAGE.read_text())
    manifest["trust"] = trust
    manifest["layers"] += layers
    manifest["outputs"] = ["raw"]
    manifest |= more
    (place / "layers/images" / f"{name}.json").write_text(json.dumps(manifest))
    return slipway.build(place, slipway.work_dir() / name, slipway.work_dir() / "cache", "--keys", keys(),
                         manifest=name)


def sign(path, data, *options):
    """A PKCS#7 as the kernel wants it for a root hash, by the keys' verity key, at `path`; with "-nodetach" as it wants a policy of IPE."""
    subprocess.run(["openssl", "smime", "-sign", "-nocerts", "-noattr", "-binary", *options, "-outform", "DER", "-inkey",
                    str(keys() / "verity.key"), "-signer", str(keys() / "verity.crt"), "-out", str(path)],
                   input=data.encode(), check=True)


def signed_file_system(directory, tree):
    """An EROFS image of the directory `tree`, its hash tree, root hash and signature: directory/signed.{erofs,verity,hash,p7s}. Before the
    namespace is entered, in which the keys are a stranger's."""
    data, hashes, signature = (directory / f"signed.{suffix}" for suffix in ("erofs", "verity", "p7s"))
    subprocess.run(["mkfs.erofs", "-T0", "--all-root", str(data), str(tree)], check=True, capture_output=True)
    text = subprocess.run(["veritysetup", "format", str(data), str(hashes)], check=True, capture_output=True,
                          text=True).stdout
    root_hash = next(line.split()[-1] for line in text.splitlines() if line.startswith("Root hash"))
    (directory / "signed.hash").write_text(root_hash)
    sign(signature, root_hash)
