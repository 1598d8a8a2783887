#!/usr/bin/env python3
"""Keeps the README and the pages of docs/ true: the README's Rust program is the example's, line by line. `readme.py config N` prints the Nth
configuration of them all, whole, to be tried: one that shows a part gets the accounts, agents and deployments that it lacks."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def blocks(language):
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [block for page in pages for block in re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)]
    if not found:
        sys.exit(f"the pages have no block of {language}")
    return found


def ids(text, table):
    return re.findall(rf'^\[\[{table}\]\]\nid = "(.+?)"', text, re.M)


def config(number):
    text = blocks("toml")[number]
    if not ids(text, "account"):
        text += '\n[[account]]\nid = "practice"\nvenue = "hyperliquid"\npaper = { preset = "hyperliquid" }\n'
    if not ids(text, "agent"):
        text += '\n[[agent]]\nid = "demo"\n'
    if not ids(text, "deployment"):
        accounts = ", ".join(f'{{ account = "{name}" }}' for name in ids(text, "account"))
        for agent in ids(text, "agent"):
            text += f'\n[[deployment]]\nid = "{agent}"\nagent = "{agent}"\naccounts = [{accounts}]\n'
    return text


def main():
    if sys.argv[1:] == ["configs"]:
        print(*range(len(blocks("toml"))))
    elif len(sys.argv) == 3 and sys.argv[1] == "config":
        print(config(int(sys.argv[2])), end="")
    elif blocks("rust")[0] not in (ROOT / "examples/fan_out.rs").read_text():
        sys.exit("the README's Rust program is no longer the one in examples/fan_out.rs")


if __name__ == "__main__":
    main()
