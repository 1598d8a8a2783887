#!/usr/bin/env python3
"""Trades on a testnet on this machine as the README says: its configuration, its key, its commands, an answer that is lost. Takes the
`omnivenue` command and an empty folder; compares what it was told with what the venue recorded."""

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

sys.dont_write_bytecode = True  # nothing is left beside the sources

import readme  # noqa: E402

LONGEST = 120


def ask(url, body=None):
    data = None if body is None else body.encode()
    with urllib.request.urlopen(url, data, timeout=LONGEST) as answer:
        return json.load(answer)


def told(pattern):
    found = re.search(pattern, (readme.ROOT / "README.md").read_text(), re.M)
    if not found:
        sys.exit(f"the README no longer has a line like {pattern}")
    return found


def configuration(venue):
    """The README's configuration of a testnet, with the ports of this one."""
    for text in readme.blocks("toml"):
        if "http://127.0.0.1" in text:
            text = re.sub(r'"http://127.0.0.1:\d+"', f'"{venue["rest"]}"', text)
            return re.sub(r'"ws://127.0.0.1:\d+/ws"', f'"{venue["stream"]}"', text)
    sys.exit("the README has no configuration of a testnet")


def main():
    omnivenue, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    testnet = subprocess.Popen([omnivenue, "testnet", "--venues", "hyperliquid", "--json"], stdout=subprocess.PIPE, cwd=folder)
    try:
        urls = json.loads(testnet.stdout.readline())
        trade(omnivenue, folder, urls["venues"]["hyperliquid"], urls["admin"])
    finally:
        testnet.terminate()
        testnet.wait(LONGEST)


def trade(omnivenue, folder, venue, admin):
    text = configuration(venue)
    (folder / "omnivenue.toml").write_text(text)
    name, key = told(r"^export (\w+)=(0x[0-9a-f]{64})$").groups()
    environment = os.environ | {name: key}

    def run(*arguments):
        print("$ omnivenue", *arguments, flush=True)
        shown = subprocess.run([omnivenue, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, timeout=LONGEST)
        print(shown.stdout, flush=True)
        if shown.returncode:
            sys.exit(f"omnivenue {arguments[0]} ended with {shown.returncode}")

    def truth():
        return ask(f"{admin}/truth")["venues"]["hyperliquid"]

    def account():
        return truth()["accounts"][re.search(r'^address = "(.+)"$', text, re.M)[1]]

    run("doctor", "--first-order")
    first = account()["orders"]
    assert [order["status"] for order in first] == ["canceled"] and not account()["fills"], first
    ask(f"{admin}/faults", told(r"/faults -d '(.+)'$")[1])
    run(*told(r"^omnivenue (signal .+)$")[1].split())
    entries = account()["orders"][1:]
    assert [(order["symbol"], order["status"]) for order in entries] == [("HYPE", "filled")], entries
    faults = truth()["faults"]
    assert [(fault["fault"], fault["count"]) for fault in faults] == [("cut_after", 1)], faults
    held = account()["positions"]
    assert list(held) == ["HYPE"], held
    run("close", "--all")
    assert not account()["positions"], account()["positions"]


if __name__ == "__main__":
    main()
