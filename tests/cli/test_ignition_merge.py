#!/usr/bin/env python3
"""Merging, references and base configurations: the same cache as the original's, and where each setting came from."""

import json
import os
import pathlib
import random
import stat
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import reference
import slipway

AGENT = slipway.IGNITION
SECRET = "$6$salt$hash"


def data_url(config):
    return "data:," + urllib.parse.quote(json.dumps(config))


class Stages:
    """Runs stages of one agent in a directory of its own."""

    def __init__(self, program, directory):
        self.program, self.directory = str(program), pathlib.Path(directory)
        for name in ("root", "system/base.d", "local", "run"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "cmdline").write_text("")

    def path(self, name):
        return self.directory / name

    def run(self, stage, *flags):
        names = {"IGNITION_CONFIG_FILE": "config.ign", "IGNITION_SYSTEM_CONFIG_DIR": "system",
                 "IGNITION_SYSTEM_LOCAL_CONFIG_DIR": "local", "IGNITION_SYSTEM_RUNTIME_CONFIG_DIR": "run",
                 "IGNITION_KERNEL_CMDLINE_PATH": "cmdline"}
        env = {**os.environ, **{key: str(self.path(value)) for key, value in names.items()}}
        return subprocess.run([self.program, "--platform", "file", "--stage", stage, "--root", str(self.path("root")),
                               "--config-cache", str(self.path("cache.json")), "--state-file", str(self.path("state")),
                               "--neednet", str(self.path("neednet")), "--log-to-stdout", *flags],
                              env=env, capture_output=True, text=True, errors="replace", timeout=slipway.PATIENCE)

    def fetch(self, config, stage="fetch"):
        self.path("config.ign").write_text(config if isinstance(config, str) else json.dumps(config))
        self.path("cache.json").unlink(missing_ok=True)
        return self.run(stage)

    def cache(self):
        return json.loads(self.path("cache.json").read_text())

    def state(self):
        return json.loads(self.path("state").read_text())


def normal(value):
    """Without what is empty, and without the version: the original's newest is another."""
    if isinstance(value, dict):
        kept = {key: normal(item) for key, item in value.items() if key != "version"}
        return {key: item for key, item in kept.items() if item not in ({}, [], None)}
    return [normal(item) for item in value] if isinstance(value, list) else value


class Random:
    """Random configurations of few names, so that merging has much to do."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def some(self, *names):
        return self.rng.sample(names, self.rng.randrange(len(names) + 1))

    def maybe(self, **makers):
        return {key: make() for key, make in makers.items() if self.rng.random() < 0.5}

    def text(self):
        return self.rng.choice(("a", "b", "c"))

    def flag(self):
        return self.rng.random() < 0.5

    def source(self):
        return "data:," + self.text()

    def resource(self):
        return {"source": self.source(), **self.maybe(compression=lambda: self.rng.choice(("", "gzip")))}

    def header(self, name):
        return {"name": name, **self.rng.choice(({}, {"value": None}, {"value": self.text()}, {"value": self.text()}))}

    def remote(self):
        return {"source": f"http://127.0.0.1/{self.text()}",
                **self.maybe(httpHeaders=lambda: [self.header(name) for name in self.some("X-A", "X-B", "X-C")])}

    def owner(self):
        return self.rng.choice(({"id": self.rng.randrange(3)}, {"id": None}, {}))

    def node(self, path):
        return {"path": path, **self.maybe(user=self.owner, group=self.owner)}

    def file(self, path):
        return {**self.node(path), **self.maybe(mode=lambda: self.rng.randrange(512), contents=self.remote,
                                                append=lambda: [self.resource() for _ in range(self.rng.randrange(3))])}

    def storage(self):
        paths = self.some("/p", "/q", "/r", "/s", "/t")
        kinds = {path: self.rng.choice(("files", "directories", "links")) for path in paths}
        storage = {"files": [self.file(path) for path in paths if kinds[path] == "files"],
                   "directories": [{**self.node(path), **self.maybe(mode=lambda: 0o700)}
                                   for path in paths if kinds[path] == "directories"],
                   "links": [{**self.node(path), "target": self.text(), **self.maybe(hard=self.flag)}
                             for path in paths if kinds[path] == "links"]}
        storage["disks"] = [{"device": device, **self.maybe(wipeTable=self.flag, partitions=self.partitions)}
                            for device in self.some("/dev/x", "/dev/y")]
        storage["raid"] = [{"name": name, "level": "raid1", "devices": self.some("/dev/1", "/dev/2") or ["/dev/3"],
                            **self.maybe(options=lambda: self.some("-a", "-b"))} for name in self.some("m", "n")]
        storage["filesystems"] = [{"device": device, "format": "ext4",
                                   **self.maybe(path=lambda: "/m", options=lambda: self.some("-a", "-b"),
                                                mountOptions=lambda: self.some("ro", "rw"), wipeFilesystem=self.flag)}
                                  for device in self.some("/dev/1", "/dev/2")]
        storage["luks"] = [{"name": name, "device": "/dev/z",
                            **self.maybe(keyFile=self.resource, options=lambda: self.some("-a", "-b"),
                                         clevis=lambda: {"tpm2": self.flag(), "threshold": 1})}
                           for name in self.some("l", "k")]
        return storage

    def partitions(self):
        return [self.rng.choice(({"number": 1}, {"number": 1, "label": "one"})),
                *({"label": label, **self.maybe(guid=lambda: "01234567-89AB-CDEF-EDCB-A98765432101")}
                  for label in self.some("two", "three"))]

    def units(self):
        return [{"name": f"{name}.service", **self.maybe(enabled=self.flag, mask=self.flag, contents=lambda: "[Unit]\n"),
                 "dropins": [{"name": f"{drop}.conf", **self.maybe(contents=lambda: f"[Unit]\nDescription={self.text()}\n")}
                             for drop in self.some("d", "e")]} for name in self.some("a", "b", "c")]

    def passwd(self):
        return {"users": [{"name": name, **self.maybe(uid=lambda: self.rng.randrange(9), gecos=self.text,
                                                      groups=lambda: self.some("g", "h", "i"), system=self.flag,
                                                      sshAuthorizedKeys=lambda: self.some("k1", "k2", "k3"))}
                          for name in self.some("u", "v", "w")],
                "groups": [{"name": name, **self.maybe(gid=lambda: self.rng.randrange(9))} for name in self.some("g", "h")]}

    def arguments(self):
        chosen = self.some("quiet", "debug", "a=1", "a=2")
        cut = self.rng.randrange(len(chosen) + 1)
        return {"shouldExist": chosen[:cut], "shouldNotExist": chosen[cut:]}

    def config(self, depth):
        ignition = {"version": "3.3.0", **self.maybe(timeouts=lambda: self.maybe(httpTotal=lambda: 5, httpResponseHeaders=lambda: 7),
                                                     proxy=lambda: {"noProxy": self.some("x", "y")})}
        if depth > 0 and self.rng.random() < 0.7:
            children = [data_url(self.config(depth - 1)) for _ in range(self.rng.randrange(3))]
            ignition["config"] = {"merge": [{"source": url} for url in dict.fromkeys(children)]}
        elif depth > 0 and self.rng.random() < 0.3:
            ignition["config"] = {"replace": {"source": data_url(self.config(depth - 1))}}
        return {"ignition": ignition,
                **self.maybe(storage=self.storage, systemd=lambda: {"units": self.units()}, passwd=self.passwd,
                             kernelArguments=self.arguments)}


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.ours = Stages(AGENT, self.directory / "ours")

    def passes(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Differential(Case):
    def test_random_merges(self):
        theirs = Stages(reference.program("ignition"), self.directory / "theirs")
        accepted = 0
        for seed in range(int(os.environ.get("MERGES", "60"))):
            config = Random(f"{os.environ.get('SEED', '1')}-{seed}").config(2)
            with self.subTest(seed=seed):
                expected, got = theirs.fetch(config), self.ours.fetch(config)
                self.assertEqual(got.returncode, expected.returncode,
                                 json.dumps(config) + got.stdout + got.stderr + expected.stdout)
                if expected.returncode == 0:
                    accepted += 1
                    self.assertEqual(normal(self.ours.cache()), normal(theirs.cache()), json.dumps(config))
        self.assertGreater(accepted, 20)

    def test_state_and_offline(self):
        theirs = Stages(reference.program("ignition"), self.directory / "theirs")
        child = {"ignition": {"version": "3.1.0"}, "passwd": {"users": [{"name": "x"}]}}
        for merge in ([{"source": data_url(child)}], [{"source": "http://127.0.0.1:1/x"}], []):
            config = {"ignition": {"version": "3.3.0", "config": {"merge": merge}}}
            for agent in (self.ours, theirs):
                agent.path("neednet").unlink(missing_ok=True)
                agent.path("state").unlink(missing_ok=True)
                self.passes(agent.fetch(config, "fetch-offline"))
            self.assertEqual(self.ours.path("neednet").exists(), theirs.path("neednet").exists(), merge)
            self.assertEqual(self.ours.path("cache.json").exists(), theirs.path("cache.json").exists(), merge)
            if theirs.path("cache.json").exists():
                self.assertEqual(self.ours.state()["fetchedConfigs"], theirs.state()["fetchedConfigs"])


class References(Case):
    def child(self, **sections):
        return {"ignition": {"version": "3.3.0"}, **sections}

    def test_cache_is_private(self):
        self.passes(self.ours.fetch(self.child()))
        self.assertEqual(stat.S_IMODE(self.ours.path("cache.json").stat().st_mode), 0o640)
        self.assertEqual(stat.S_IMODE(self.ours.path("state").stat().st_mode), 0o600)

    def test_merged_result_is_validated(self):
        child = self.child(storage={"links": [{"path": "/a", "target": "/b"}]})
        done = self.ours.fetch({"ignition": {"version": "3.3.0", "config": {"merge": [{"source": data_url(child)}]}},
                                "storage": {"files": [{"path": "/a/x"}]}})
        self.assertEqual(done.returncode, 1)
        self.assertIn("merging configs resulted in an invalid config: file path includes link in config",
                      done.stdout + done.stderr)
        self.assertIn("$.storage.files.0, line 1 col ", done.stderr)

    def test_a_bad_child_is_named(self):
        done = self.ours.fetch({"ignition": {"version": "3.3.0", "config": {"merge": [{"source": "data:,zz"}]}}})
        self.assertEqual(done.returncode, 1)
        self.assertIn("data:: ", done.stderr)

    def test_depth_is_limited(self):
        config = self.child()
        for _ in range(40):
            config = {"ignition": {"version": "3.3.0", "config": {"replace": {"source": "data:;base64," + base64_of(config)}}}}
            if len(json.dumps(config)) > 4 << 20:
                break
        done = self.ours.fetch(config)
        self.assertEqual(done.returncode, 1)
        self.assertIn("configurations refer to each other over more than 32 steps", done.stderr)

    def test_later_stages_know_where_a_setting_was_written(self):
        child = '{"ignition":{"version":"3.3.0"},\n "storage":{"files":[\n  {"path":"/f","contents":{"source":"data:,x","verification":{"hash":"sha512-%s"}}}]}}' % ("0" * 128)
        self.passes(self.ours.fetch({"ignition": {"version": "3.3.0", "config": {"merge": [
            {"source": "data:," + urllib.parse.quote(child)}]}}}))
        done = self.ours.run("files")
        self.assertEqual(done.returncode, 1)
        self.assertIn("$.storage.files.0.contents", done.stderr)
        self.assertIn("line 3 col ", done.stderr)
        self.assertIn(" of data:", done.stderr)

    def test_experimental_needs_the_flag(self):
        config = {"ignition": {"version": "3.7.0-experimental"}}
        done = self.ours.fetch(config)
        self.assertEqual(done.returncode, 1)
        self.assertIn("needs --experimental", done.stderr)
        self.passes(self.ours.run("fetch", "--experimental"))
        self.ours.path("cmdline").write_text("quiet ignition.experimental=1\n")
        self.passes(self.ours.fetch(config))


def base64_of(config):
    import base64
    return base64.b64encode(json.dumps(config).encode()).decode()


class Base(Case):
    def base(self, path, **sections):
        path = self.ours.path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"ignition": {"version": "3.3.0"}, **sections}))

    def user(self, gecos):
        return {"users": [{"name": "u", "gecos": gecos}]}

    def merged(self, config):
        self.passes(self.ours.fetch(config))
        return self.ours.cache()["passwd"]["users"][0]["gecos"]

    def test_order(self):
        bare = {"ignition": {"version": "3.3.0"}}
        self.base("system/base.d/10-a.ign", passwd=self.user("a"))
        self.assertEqual(self.merged(bare), "a")
        self.base("system/base.d/20-b.ign", passwd=self.user("b"))
        self.base("local/base.d/15-c.ign", passwd=self.user("c"))
        self.assertEqual(self.merged(bare), "b")
        self.base("run/base.d/20-b.ign", passwd=self.user("r"))
        self.assertEqual(self.merged(bare), "r")
        self.base("system/base.platform.d/file/00-p.ign", passwd=self.user("p"))
        self.base("system/base.platform.d/metal/99-m.ign", passwd=self.user("m"))
        self.assertEqual(self.merged(bare), "p")
        self.assertEqual(self.merged({**bare, "passwd": self.user("user")}), "user")

    def test_base_alone(self):
        self.base("system/base.d/a.ign", passwd=self.user("a"))
        self.passes(self.ours.fetch(""))
        self.assertEqual(self.ours.cache()["passwd"]["users"][0]["gecos"], "a")
        self.assertEqual([c["kind"] for c in self.ours.state()["fetchedConfigs"]], ["base"])

    def test_a_bad_base_config_is_named(self):
        self.base("system/base.d/a.ign", storage={"files": [{"path": "x"}]})
        done = self.ours.fetch({"ignition": {"version": "3.3.0"}})
        self.assertEqual(done.returncode, 1)
        self.assertIn("base.d/a.ign", done.stderr)


class Secrets(Case):
    CONFIG = {"ignition": {"version": "3.3.0", "proxy": {"noProxy": ["internal"]}},
              "passwd": {"groups": [{"name": "g", "passwordHash": SECRET}]},
              "storage": {"files": [{"path": "/s", "overwrite": True, "contents": {"source": "data:,TOPSECRET"},
                                     "append": [{"source": "data:,MORE"}]}]}}

    def test_wiped_after_files(self):
        self.passes(self.ours.fetch(self.CONFIG))
        self.passes(self.ours.run("files"))
        self.assertEqual((self.ours.path("root") / "s").read_text(), "TOPSECRETMORE")
        for name in ("cache.json", "state"):
            text = self.ours.path(name).read_text()
            for secret in ("TOPSECRET", "MORE", SECRET, "internal"):
                self.assertNotIn(secret, text)
        self.assertEqual(self.ours.cache()["storage"]["files"][0]["path"], "/s")

    def test_afterwards_only_umount_runs(self):
        self.passes(self.ours.fetch(self.CONFIG))
        self.passes(self.ours.run("files"))
        done = self.ours.run("files")
        self.assertEqual(done.returncode, 1)
        self.assertIn("it has to be fetched again first", done.stderr)
        self.assertEqual((self.ours.path("root") / "s").read_text(), "TOPSECRETMORE")
        self.passes(self.ours.run("umount"))
        self.passes(self.ours.fetch(self.CONFIG))
        self.passes(self.ours.run("files"))


class Verbs(Case):
    def verb(self, *argv):
        return subprocess.run([str(AGENT), *map(str, argv)], capture_output=True, text=True, timeout=slipway.PATIENCE)

    def test_explain(self):
        child = '{"ignition":{"version":"3.1.0"},\n"passwd":{"users":[{"name":"u","uid":7}]}}'
        path = self.directory / "c.ign"
        path.write_text('{"ignition":{"version":"3.3.0","config":{"merge":[{"source":"data:,%s"}]}},\n'
                        '  "passwd":{"users":[{"name":"u","gecos":"x"}]}}' % urllib.parse.quote(child))
        done = self.verb("explain", path)
        self.passes(done)
        self.assertIn(f'$.passwd.users.0.gecos = "x"  # {path}:2:42\n', done.stdout)
        self.assertIn("$.passwd.users.0.uid = 7  # data::2:38\n", done.stdout)
        rows = {row["setting"]: row for row in json.loads(self.verb("explain", "--json", path).stdout)}
        self.assertEqual(rows["$.passwd.users.0.uid"],
                         {"setting": "$.passwd.users.0.uid", "value": 7, "source": "data:", "line": 2, "column": 38})
        self.assertEqual(self.verb("explain", "/nonexistent").returncode, 1)
        self.assertEqual(self.verb("explain", path, path).returncode, 2)

    def test_schema(self):
        for minor in range(8):
            version = f"3.{minor}.0" + ("-experimental" if minor == 7 else "")
            schema = json.loads(self.verb("schema", version).stdout)
            self.assertEqual(schema["properties"]["ignition"]["properties"]["version"], {"const": version})
            self.assertEqual("kernelArguments" in schema["properties"], minor >= 3)
        self.assertEqual(json.loads(self.verb("schema").stdout)["properties"]["ignition"]["properties"]["version"]["const"], "3.6.0")
        self.assertEqual(self.verb("schema", "2.0.0").returncode, 1)

    def test_schema_agrees_with_the_parser(self):
        corpus = slipway.PROJECT / "tests" / "data" / "ignition"
        wrong = ("string-for-int", "int-for-string", "list-for-object", "object-for-list", "string-for-bool",
                 "bool-for-string", "number-in-string-list", "fraction")
        loose = ("case-insensitive-keys", "unknown-keys", "later-key-is-unknown", "luks-unknown-3.1", "duplicate-key-last-wins")
        seen = 0
        for path in sorted(corpus.glob("should-*.json")):
            name = path.stem.split("-", 2)[2]
            if path.stem.startswith("should-fail") and name not in wrong or name in loose:
                continue
            config = json.loads(path.read_text())
            schema = json.loads(self.verb("schema", config["ignition"]["version"]).stdout)
            with self.subTest(path.name):
                self.assertEqual(conforms(config, schema), path.stem.startswith("should-pass"))
                seen += 1
        self.assertGreater(seen, 30)


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}


def conforms(value, schema):
    """What of JSON Schema these schemas use."""
    if "const" in schema:
        return value == schema["const"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, TYPES[kind]) and not (kind == "integer" and isinstance(value, bool)) for kind in kinds):
        return False
    if isinstance(value, dict):
        return (set(schema.get("required", ())) <= set(value) and
                all(key in schema["properties"] and conforms(item, schema["properties"][key]) for key, item in value.items()))
    return all(conforms(item, schema["items"]) for item in value) if isinstance(value, list) else True


class Programs(Case):
    def program(self, name, *argv, **env):
        path = self.directory / name
        if not path.exists():
            path.symlink_to(AGENT.resolve())
        return subprocess.run([str(path), *map(str, argv)], capture_output=True, text=True, timeout=slipway.PATIENCE,
                              env={**os.environ, **env})

    def apply(self, config, *flags, **env):
        path = self.directory / "c.ign"
        path.write_text(json.dumps(config))
        return self.program("ignition-apply", "--root", self.ours.path("root"), *flags, path, **{"container": "test", **env})

    def test_apply(self):
        config = {"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/x", "contents": {"source": "data:,y"}}]}}
        self.passes(self.apply(config))
        self.assertEqual((self.ours.path("root") / "x").read_text(), "y")

    def test_apply_refuses(self):
        config = {"ignition": {"version": "3.3.0"}, "kernelArguments": {"shouldExist": ["a"]},
                  "storage": {"filesystems": [{"device": "/dev/x", "format": "ext4"}], "directories": [{"path": "/d"}]}}
        done = self.apply(config)
        self.assertEqual(done.returncode, 1)
        self.assertIn("kernelArguments cannot be applied to a container", done.stderr)
        self.passes(self.apply(config, "--ignore-unsupported"))
        self.assertTrue((self.ours.path("root") / "d").is_dir())
        remote = {"ignition": {"version": "3.3.0", "config": {"merge": [{"source": "http://127.0.0.1:1/"}]}}}
        self.assertEqual(self.apply(remote, "--offline").returncode, 1)

    def test_usage(self):
        self.assertEqual(self.program("ignition-apply").returncode, 2)
        self.assertEqual(self.program("ignition-apply", "a", "b").returncode, 2)
        self.assertEqual(self.program("ignition-apply", "--stage", "files", "a").returncode, 2)
        self.assertEqual(self.program("ignition-rmcfg", "--platform", "nonesuch").returncode, 2)
        self.assertEqual(self.program("ignition-rmcfg", "--platform", "file", "--log-to-stdout").returncode, 0)
        self.assertIn("Usage of ignition-apply:", self.program("ignition-apply", "--help").stdout)


if __name__ == "__main__":
    unittest.main()
