#!/usr/bin/env python3
"""Applies the licences, bans and sources of deny.toml to everything Cargo.lock names. Needs python3 and cargo, nothing else."""

import collections
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def listed(text, key):
    """The strings of a list in deny.toml, whatever tables they are in; the file is ours, so this is all the TOML that is needed."""
    found = re.search(rf"^{key} = \[(.*?)^\]", text, re.M | re.S)
    if not found:
        sys.exit(f"deny.toml has no list `{key}`")
    lines = (line.split("#")[0] for line in found.group(1).splitlines())
    return set(re.findall(r'"([^"]+)"', "\n".join(lines)))


def fits(expression, allowed):
    """Whether an SPDX expression can be satisfied with the allowed licences. The old spelling `A/B` means `A OR B`."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = both() or result
        return result

    def both():
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one():
        token = tokens.pop(0)
        if token == "(":
            result = either()
            tokens.pop(0)
            return result
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0)}"
        return token in allowed

    return either()


def main():
    deny = (ROOT / "deny.toml").read_text()
    allowed, banned = listed(deny, "allow"), listed(deny, "deny")
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
    packages = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    problems, versions = [], collections.defaultdict(list)
    for package in packages:
        name, licence = f"{package['name']} {package['version']}", package["license"]
        versions[package["name"]].append(package["version"])
        if not licence:
            problems.append(f"{name} states no licence")
        elif not fits(licence, allowed):
            problems.append(f"{name} is under {licence}, and deny.toml allows {', '.join(sorted(allowed))}")
        if package["name"] in banned:
            problems.append(f"{name} is banned")
        if package["source"] and not package["source"].startswith("registry+"):
            problems.append(f"{name} comes from {package['source']}, which is no registry")
    for name, several in sorted(versions.items()):
        if len(several) > 1:
            print(f"note: {name} is there in {len(several)} versions: {', '.join(sorted(several))}")
    for problem in problems:
        print(f"error: {problem}")
    print(f"{len(packages)} packages, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
