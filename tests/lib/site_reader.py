"""An update site as a reader sees it, checked without any code of ours: `openssl` verifies the
signatures over the raw bytes of the files, `ostree` reads the commits, `veritysetup` the images.

    key = keygen(tiny.path / "key")             # the secret one's path
    release(tiny, "1.1", EPOCH + 1)             # a build in tiny.path / "1.1"
    done = publish(tiny, "1.1", site, key)      # a finished `slipway publish`
    Site(site, key.with_suffix(".ed25519")).check("tiny/amd64/stable")
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import slipway

SIGNATURES = b"ostree.sign.ed25519\0"
# The DER of a public key (RFC 8410) is this and 32 bytes; of a secret one the other and the seed.
PUBLIC_DER = bytes.fromhex("302a300506032b6570032100")
SECRET_DER = bytes.fromhex("302e020100300506032b657004220420")


class Broken(AssertionError):
    """What a reader would see is not a release."""


def need(condition, what):
    if not condition:
        raise Broken(what)


def tool(*argv, **how):
    """What another program says; it must succeed."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False,
                          env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}, **how)
    if done.returncode != 0:
        raise AssertionError(f"{argv[0]}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def keygen(path):
    """A key pair; the secret file's path."""
    tool(slipway.SLIPWAY, "keygen", path)
    return pathlib.Path(f"{path}.secret")


def release(tiny, version, epoch, **files):
    """Builds a release with these files of the layer (besides the others) into its own directory."""
    tiny.manifest["version"] = version
    tiny.files.update(files)
    tiny.build(output=tiny.path / version, env={"SOURCE_DATE_EPOCH": str(epoch)})
    return tiny.path / version


def publish_argv(tiny, build, site, key, *options, channel="stable"):
    return tiny.argv("publish", *([tiny.path / build] if build else []), "--site", site, "--key", key,
                     *(["--channel", channel] if build else []), *options)


def publish(tiny, build, site, key, *options, channel="stable", wrapper=()):
    return tiny.run(publish_argv(tiny, build, site, key, *options, channel=channel), wrapper=wrapper)


def listing(directory):
    """Path → what tells a changed file, of all that a reader may see."""
    return {str(p.relative_to(directory)): (p.stat().st_ino, p.stat().st_size, p.stat().st_mtime_ns)
            for p in sorted(pathlib.Path(directory).rglob("*")) if p.is_file()}


def signatures(blob):
    """The signatures in an a{sv}, which ends with them (GVariant: bytes, their ends, type)."""
    at = blob.find(SIGNATURES)
    need(at >= 0, "no ed25519 signatures")
    start = at + len(SIGNATURES)
    start += -start % 8
    size = blob.index(b"\0aay", start) - start
    need(size > 0 and size % 65 == 0, f"signatures of {size} bytes")
    return [blob[start + 64 * i:start + 64 * (i + 1)] for i in range(size // 65)]


def verifies(public, data, signature):
    """Whether it is that key's signature of the data, as openssl sees it."""
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        for name, content in (("key", PUBLIC_DER + public), ("data", data), ("sig", signature)):
            (place / name).write_bytes(content)
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", place / "key",
             "-rawin", "-in", place / "data", "-sigfile", place / "sig"],
            capture_output=True, text=True, check=False)
    return done.returncode == 0


class Site:
    def __init__(self, path, *public_keys):
        self.path = pathlib.Path(path)
        self.repo = self.path / "repo"
        self.keys = [base64.b64decode(pathlib.Path(k).read_text()) for k in public_keys]

    def ostree(self, verb, *arguments):
        return tool("ostree", verb, f"--repo={self.repo}", *arguments)

    def signed(self, data, blob, what):
        """Every key has signed it."""
        found = signatures(blob)
        for key in self.keys:
            need(any(verifies(key, data, s) for s in found), f"{what}: no good signature")

    def object(self, commit, suffix):
        return self.repo / "objects" / commit[:2] / f"{commit[2:]}.{suffix}"

    def refs(self):
        """Those of the summary."""
        refs, name = {}, None
        for line in self.ostree("summary", "-v").splitlines():
            if line.startswith("* "):
                name = line[2:]
            elif len(line.strip()) == 64:
                refs[name] = line.strip()
        return refs

    def release(self, commit):
        text = self.ostree("show", "--print-metadata-key=slipway.release", commit).strip()
        return json.loads(text[1:-1].encode().decode("unicode_escape"))

    def check_images(self, release):
        directory = self.path / "images" / release["rootHash"]
        need(json.loads((directory / "release.json").read_text()) == release, "release.json differs")
        for image, tree, root in (("usr.img", "usr.tree", "rootHash"),
                                  ("uki.efi", "uki.tree", "ukiRootHash")):
            size = release["usrSize" if image == "usr.img" else "ukiSize"]
            need((directory / image).stat().st_size == size, f"size of {image}")
            with tempfile.NamedTemporaryFile() as padded:
                shutil.copyfile(directory / image, padded.name)
                os.truncate(padded.name, -(-size // 4096) * 4096)
                tool("veritysetup", "verify", padded.name, directory / tree, release[root])

    def check(self, ref, images=True):
        """What the channel offers is whole and signed; its release, or None: there is none."""
        summary, signature = self.repo / "summary", self.repo / "summary.sig"
        if not summary.exists():
            return None
        self.signed(summary.read_bytes(), signature.read_bytes(), "summary")
        commit = self.refs().get(ref)
        if not commit:
            return None
        self.signed(self.object(commit, "commit").read_bytes(),
                    self.object(commit, "commitmeta").read_bytes(), "commit")
        found = self.release(commit)
        if images:
            self.check_images(found)
        return found
