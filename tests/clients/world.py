"""What the programs of this folder share: steps that say what they check, and the testnet's own truth to check against."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from decimal import Decimal
from typing import Any, Callable


class Different(Exception):
    """What was seen is not what must be."""


def same(what: str, seen: Any, expected: Any) -> None:
    """Fails unless both are equal."""
    if seen != expected:
        raise Different(f"{what}: seen {seen!r}, expected {expected!r}")


def holds(what: str, condition: Any, seen: Any = "") -> None:
    """Fails unless the condition holds."""
    if not condition:
        raise Different(f"{what}: {seen!r}")


class Testnet:
    """The admin endpoint of a testnet, for one account of one venue."""

    def __init__(self, url: str, venue: str, address: str):
        self.url, self.venue, self.address = url, venue, address.lower()

    def _ask(self, path: str, body: dict | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=30) as answer:
            return json.loads(answer.read())

    def all(self) -> dict:
        """Everything that the venue knows."""
        return self._ask("/truth")["venues"][self.venue]

    def account(self) -> dict:
        """Everything that the venue knows of the account."""
        return self.all()["accounts"][self.address]

    def order(self, oid: int) -> dict:
        """An order as the venue keeps it, taken or rejected."""
        account = self.account()
        for order in account["orders"] + account["rejected_orders"]:
            if order["oid"] == int(oid):
                return order
        raise Different(f"the venue has no order {oid}")

    def fills(self, oid: int) -> list[dict]:
        """The trades of an order."""
        return [fill for fill in self.account()["fills"] if fill["oid"] == int(oid)]

    def hold_price(self, symbol: str, price: str) -> None:
        """Holds a price where it is told; what that fills or fires has happened when this returns."""
        self._ask("/prices", {"venue": self.venue, "symbol": symbol, "price": price})

    def free_price(self, symbol: str) -> None:
        """Lets a price move again."""
        self._ask("/prices", {"venue": self.venue, "symbol": symbol})

    def money_adds_up(self, before: dict) -> None:
        """The balance has changed by what trades gained and cost, and by nothing else."""
        after, known = self.account(), {fill["tid"] for fill in before["fills"]}
        usdc = lambda account: Decimal(account["balances"]["perp"]["USDC"])
        new = [fill for fill in after["fills"] if fill["tid"] not in known and not fill["coin"].startswith("@") and "/" not in fill["coin"]]
        change = sum((Decimal(fill["closedPnl"]) - Decimal(fill["fee"]) for fill in new), Decimal(0))
        same("the change of the balance", usdc(after) - usdc(before), change)


class Steps:
    """Runs steps one by one and stops at the first that is not as it must be."""

    def __init__(self, name: str):
        self.name, self.count = name, 0

    def __call__(self, title: str, step: Callable[[], Any]) -> Any:
        try:
            result = step()
        except Different as difference:
            self._fail(title, str(difference))
        except Exception as error:  # a client that cannot trade is a difference too
            self._fail(title, f"{type(error).__name__}: {error}")
        self.count += 1
        shown = "" if result is None else f": {result}"
        print(f"{self.name} ok {title}{shown}"[:200], flush=True)
        return result

    def _fail(self, title: str, reason: str) -> None:
        print(f"{self.name} FAILED {title}: {reason}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        # Threads of a client's stream must not keep a program alive that has nothing more to say.
        import os

        os._exit(1)

    def done(self) -> None:
        """Says that all went well."""
        print(f"{self.name}: {self.count} steps, all as they must be", flush=True)


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 10) -> None:
    """Waits for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Different(f"{what}: not within {seconds} s")
        time.sleep(0.02)
