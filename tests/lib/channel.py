"""A channel with real releases, to move between: `trixie`, the same with its security updates, and these with the first one's
kernel. Composed and published as an ordinary user; kept in the cache, so that only what changed is made again."""

import shutil

import slipway
from releases import Release, run_slipway, take_kernel

CHANNEL = "stable"
FIRST, SECOND = "1.0.0", "1.0.1"


class Channel:
    """site: the directory to serve; key: the public key's text; builds: output directories by name."""

    def __init__(self, names=("first", "updated"), changes=None):
        """changes: name → function of the Release, before it is composed."""
        self.work = slipway.work_dir() / "channel"
        self.site = self.work / "site"
        for name in ("first", "updated", "userland", "site", "keys"):
            shutil.rmtree(self.work / name, ignore_errors=True)
        slipway.give_to_user(self.work)
        first = Release(self.work, "first", FIRST, False).lock()
        self.releases = {"first": first}
        for name in names:
            if name != "first":
                self.releases[name] = Release(self.work, name, SECOND, True).lock()
        if "userland" in names:
            take_kernel(self.releases["userland"], first)
        for name, change in (changes or {}).items():
            change(self.releases[name])
        self.place = first.place
        slipway.give_to_user(self.work / "keys")
        run_slipway(self.place, "keygen", self.work / "keys/release")
        self.key = (self.work / "keys/release.ed25519").read_text()
        self.builds = {name: self.releases[name].build(self.work / f"out-{name}") for name in names}

    def publish(self, name, *options, site=None):
        """To the channel; returns what slipway said."""
        return run_slipway(self.place, "publish", self.builds[name].output, "--site", site or self.site, "--channel", CHANNEL,
                           "--key", self.work / "keys/release.secret", "--cache", slipway.work_dir() / "cache", *options)

