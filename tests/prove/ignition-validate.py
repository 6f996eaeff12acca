#!/usr/bin/env python3
"""ignition-validate gives the verdicts and findings of the original: corpus, examples, and random configurations

SEED, COUNT: the random ones. What differs on purpose is in docs/ignition.md."""

import concurrent.futures
import os
import pathlib
import random
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import slipway
import validate_cases
import validators

SEED = int(os.environ.get("SEED", "0"))
COUNT = int(os.environ.get("COUNT", "400" if slipway.QUICK else "3000"))
SHOWN = 10


def written():
    """The corpus, and every configuration that the documentation shows."""
    for place in ("tests/data/ignition/*.json", "docs/**/*.ign.json", "docs/**/*.ign", "layers/**/*.ign"):
        for path in sorted(slipway.PROJECT.glob(place)):
            yield str(path.relative_to(slipway.PROJECT)), path.read_bytes()
    for path in sorted(slipway.PROJECT.glob("docs/**/*.md")):
        for number, block in enumerate(re.findall(rb"```json\n(.*?)```", path.read_bytes(), re.S)):
            if b'"ignition"' in block:
                yield f"{path.name} {number}", block


def generated():
    for seed in range(SEED, SEED + COUNT):
        rng = random.Random(seed)
        tree = validate_cases.random_tree(rng)
        yield f"seed {seed}", validate_cases.around(rng, validate_cases.encode(tree, rng))


def smallest(seed):
    """A generated tree that differs, as small as leaving things out makes it."""
    tree = validate_cases.random_tree(random.Random(seed))
    while True:
        for less in validate_cases.smaller(tree):
            if validators.difference(validate_cases.encode(less)):
                tree = less
                break
        else:
            return validate_cases.encode(tree)


def show(name, config, difference):
    print(f"{name}: {difference}")
    if name.startswith("seed "):
        config = smallest(int(name.removeprefix("seed ")))
        print(f"    smallest: {validators.difference(config)}")
    print(f"    {config[:2000]!r}")


def main():
    cases = [(name, config) for name, config in [*written(), *generated()] if validators.comparable(config)]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        differences = list(pool.map(lambda case: validators.difference(case[1]), cases))
    failed = [(*case, difference) for case, difference in zip(cases, differences) if difference]
    for case in failed[:SHOWN]:
        show(*case)
    verdicts = f"same verdict for {'all' if not failed else len(cases) - len(failed)}"
    print(f"seeds {SEED} to {SEED + COUNT - 1}")
    print(f"ignition-validate: {len(cases)} configs, {verdicts}")
    raise SystemExit(1 if failed else 0)


main()
