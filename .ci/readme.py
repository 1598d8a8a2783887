#!/usr/bin/env python3
"""Keeps the README true: its Rust program is the example's, line by line. `readme.py config` prints its configuration, to be tried."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def block(language):
    found = re.search(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    if not found:
        sys.exit(f"the README has no block of {language}")
    return found.group(1)


def main():
    if sys.argv[1:] == ["config"]:
        print(block("toml"), end="")
    elif block("rust") not in (ROOT / "examples/fan_out.rs").read_text():
        sys.exit("the README's Rust program is no longer the one in examples/fan_out.rs")


if __name__ == "__main__":
    main()
