#!/usr/bin/env python3
"""Every verb: --help works, fits 100 columns, and a man page names every option."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway

MAN = slipway.PROJECT / "docs" / "man"


def run(*argv):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=30)


def check(name, argv, page, problems):
    done = run(*argv, "--help")
    if done.returncode != 0 or not done.stdout:
        problems.append(f"{name} --help: exit {done.returncode}")
        return
    for line in done.stdout.splitlines():
        if len(line) > 100:
            problems.append(f"{name} --help: over 100 columns: {line}")
    text = page.read_text() if page.exists() else ""
    if not text:
        problems.append(f"{name}: no man page {page.name}")
    for option in sorted(set(re.findall(r"--[a-z][a-z-]+", done.stdout)) - {"--help", "--usage",
                                                                          "--version"}):
        if option not in text:
            problems.append(f"{name}: {page.name} does not name {option}")


def check_manifest_reference(problems):
    """docs/manifest.md names every key of manifest and layers."""
    text = (slipway.PROJECT / "docs" / "manifest.md").read_text()
    for what in ("manifest", "layer"):
        schema = run(slipway.SLIPWAY, "schema", what).stdout
        for key in keys(json.loads(schema)):
            if not re.search(rf"`(?:\w+\.)?{re.escape(key)}[`.]", text):
                problems.append(f"docs/manifest.md does not name {key} ({what})")


def keys(schema):
    """Names of all properties of a JSON Schema, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from keys(value)


def check_agent(problems):
    """The agent's options have one dash, under each of its names."""
    with tempfile.TemporaryDirectory() as directory:
        for name in ("ignition", "ignition-apply", "ignition-rmcfg"):
            program = pathlib.Path(directory, name)
            program.symlink_to(slipway.IGNITION.resolve())
            page = (MAN / "ignition.8.md").read_text()
            done = run(program, "--help")
            options = re.findall(r"^  -([a-z][a-z-]+)", done.stdout, re.M)
            if done.returncode != 0 or len(options) < 4:
                problems.append(f"{name} --help: exit {done.returncode}, {len(options)} options")
            problems += [f"{name}: ignition.8.md does not name --{option}"
                         for option in options if f"--{option}" not in page]
            if run(program, "--no-such-option").returncode != 2:
                problems.append(f"{name}: an unknown option must exit with 2")
    check("ignition-validate", (slipway.VALIDATE,),
          MAN / "ignition-validate.1.md", problems)


def main():
    problems = []
    check_agent(problems)
    top = run(slipway.SLIPWAY, "--help")
    verbs = re.findall(r"^  ([a-z]+) +\S", top.stdout, re.M)
    if top.returncode != 0 or "build" not in verbs:
        raise SystemExit("slipway --help lists no verbs")
    for verb in verbs:
        check(f"slipway {verb}", (slipway.SLIPWAY, verb), MAN / f"slipway-{verb}.1.md", problems)
    below = re.findall(r"^  ([a-z]+) +\S", run(slipway.SLIPWAY, "kernel", "--help").stdout, re.M)
    if len(below) < 2:
        problems.append("slipway kernel --help lists no verbs")
    for verb in below:
        check(f"slipway kernel {verb}", (slipway.SLIPWAY, "kernel", verb), MAN / "slipway-kernel.1.md",
              problems)
    if run(slipway.SLIPWAY).returncode != 2 or run(slipway.SLIPWAY, "no-such-verb").returncode != 2:
        problems.append("a usage error must exit with 2")
    for verb in verbs:
        if run(slipway.SLIPWAY, verb, "--no-such-option").returncode != 2:
            problems.append(f"slipway {verb}: an unknown option must exit with 2")
    check_manifest_reference(problems)
    for program in ("slipway-azure", "slipway-bless", "slipway-health", "slipway-ipe", "slipway-update", "slipway-usr-signature"):
        check(program, (slipway.LIBEXEC / program,), MAN / f"{program}.8.md", problems)
    print("\n".join(problems) or f"{len(verbs)} verbs, no offence")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
