"""The venue's own Python SDK trades on the testnet, unchanged.

    python hyperliquid_sdk.py BASE_URL ADMIN_URL PRIVATE_KEY [ACCOUNT_ADDRESS]

Exits with 1 and one clear sentence at the first thing that is not as it must be.
"""

from __future__ import annotations

import sys
import time
from decimal import Decimal

import eth_account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.error import ClientError
from hyperliquid.utils.signing import get_timestamp_ms, sign_l1_action
from hyperliquid.utils.types import Cloid

from world import Different, Steps, Testnet, holds, same, wait_until

COIN = "HYPE"


class Program:
    def __init__(self, base: str, admin: str, key: str, address: str | None):
        self.base = base
        self.wallet = eth_account.Account.from_key(key)
        self.address = (address or self.wallet.address).lower()
        self.testnet = Testnet(admin, "hyperliquid", self.address)
        self.testnet.hold_price(COIN, "40")
        self.before = self.testnet.account()
        self.updates: list[dict] = []
        self.fills: list[dict] = []
        self.cloids = 0x0A110C8E << 96 | time.time_ns() & (1 << 64) - 1

    def cloid(self) -> Cloid:
        self.cloids += 1
        return Cloid.from_int(self.cloids)

    # connect, instruments, price, balance

    def connect(self) -> str:
        self.info = Info(self.base)
        self.info.subscribe({"type": "orderUpdates", "user": self.address}, lambda message: self.updates.extend(message["data"]))
        self.info.subscribe({"type": "userFills", "user": self.address}, self.on_fills)
        self.exchange = Exchange(self.wallet, self.base, account_address=self.address)
        wait_until("the stream's snapshot of fills", lambda: self.snapshot is not None)
        same("fills of the snapshot", len(self.snapshot), min(len(self.before["fills"]), 2000))
        return self.base

    snapshot: list | None = None

    def on_fills(self, message: dict) -> None:
        if message["data"].get("isSnapshot"):
            self.snapshot = message["data"]["fills"]
        else:
            self.fills.extend(message["data"]["fills"])

    def instruments(self) -> str:
        meta = self.info.meta()
        names = [coin["name"] for coin in meta["universe"]]
        holds("BTC and ETH come first", names[:2] == ["BTC", "ETH"], names)
        self.asset = self.info.name_to_asset(COIN)
        same("the asset id is the place in the list", names[self.asset], COIN)
        same("HYPE/USDC spot is 10107", self.info.name_to_asset("@107"), 10107)
        meta, contexts = self.info.meta_and_asset_ctxs()
        same("a context for each coin", len(contexts), len(names))
        same("the mark", Decimal(contexts[self.asset]["markPx"]), Decimal(40))
        return f"{len(names)} perpetuals, {COIN} is {self.asset}"

    def price(self) -> str:
        book = self.info.l2_snapshot(COIN)
        bid, ask = (Decimal(side[0]["px"]) for side in book["levels"])
        middle = Decimal(self.info.all_mids()[COIN])
        same("the middle of the book", middle, (bid + ask) / 2)
        holds("the market is around the price it is held at", bid < 40 < ask, (bid, ask))
        now = get_timestamp_ms()
        candles = self.info.candles_snapshot(COIN, "1m", now - 600_000, now)
        holds("ten minutes of candles", 10 <= len(candles) <= 11, len(candles))
        holds("each candle contains its ends", all(Decimal(c["l"]) <= min(Decimal(c["o"]), Decimal(c["c"])) for c in candles))
        same("the last price of the candles", Decimal(candles[-1]["c"]), Decimal(40))
        return f"{bid} / {ask}"

    def balance(self) -> str:
        state = self.info.user_state(self.address)
        truth = self.testnet.account()
        same("the account's value", Decimal(state["marginSummary"]["accountValue"]), round(Decimal(truth["equity"]), 6))
        spot = {row["coin"]: Decimal(row["total"]) for row in self.info.spot_user_state(self.address)["balances"]}
        same("spot balances", spot, {coin: Decimal(total) for coin, total in truth["balances"]["spot"].items()})
        same("the role", self.info.user_role(self.address)["role"], "user")
        return f"{state['marginSummary']['accountValue']} USDC"

    # one order: place, query, cancel

    def place(self) -> str:
        self.resting_cloid = self.cloid()
        answer = self.exchange.order(COIN, True, 1.5, 30.0, {"limit": {"tif": "Gtc"}}, cloid=self.resting_cloid)
        resting = status(answer)["resting"]
        same("the client's id in the answer", resting["cloid"], self.resting_cloid.to_raw())
        self.resting = resting["oid"]
        order = self.testnet.order(self.resting)
        for key, expected in {
            "symbol": COIN, "side": "buy", "quantity": "1.5", "price": "30", "filled": "0", "status": "open",
            "cloid": self.resting_cloid.to_raw(), "reduce_only": False, "time_in_force": "Gtc", "signer": self.wallet.address.lower(),
        }.items():
            same(f"the venue's {key}", order[key], expected)
        return f"oid {self.resting}"

    def query(self) -> None:
        by_oid = self.info.query_order_by_oid(self.address, self.resting)
        by_cloid = self.info.query_order_by_cloid(self.address, self.resting_cloid)
        same("the order by number and by the client's id", by_oid, by_cloid)
        same("its status", by_oid["order"]["status"], "open")
        same("its number among the open ones", [order["oid"] for order in self.open()], [self.resting])
        same("its type", self.info.frontend_open_orders(self.address)[0]["orderType"], "Limit")
        same("an order that is not there", self.info.query_order_by_oid(self.address, 1), {"status": "unknownOid"})

    def open(self) -> list[dict]:
        return self.info.open_orders(self.address)

    def cancel(self) -> None:
        same("the answer", status(self.exchange.cancel(COIN, self.resting)), "success")
        same("the venue's status", self.testnet.order(self.resting)["status"], "canceled")
        same("the venue's answer", self.info.query_order_by_oid(self.address, self.resting)["order"]["status"], "canceled")
        again = status(self.exchange.cancel(COIN, self.resting))["error"]
        same("canceling twice", again, f"Order was never placed, already canceled, or filled. asset={self.asset}")

    # market in and out

    def market_open(self) -> str:
        same("leverage", self.exchange.update_leverage(5, COIN)["status"], "ok")
        filled = status(self.exchange.market_open(COIN, True, 2.0, cloid=self.cloid()))["filled"]
        same("all of it", Decimal(filled["totalSz"]), Decimal(2))
        return self.check_fill(filled, "2", "buy", "Open Long")

    def check_fill(self, filled: dict, quantity: str, side: str, direction: str) -> str:
        (fill,) = self.testnet.fills(filled["oid"])
        order = self.testnet.order(filled["oid"])
        same("the venue's status", order["status"], "filled")
        same("the venue's quantity", (order["filled"], order["side"]), (quantity, side))
        same("the price", Decimal(filled["avgPx"]), Decimal(fill["px"]))
        same("what it was to the position", fill["dir"], direction)
        same("the fee", Decimal(fill["fee"]), Decimal(fill["px"]) * Decimal(quantity) * Decimal("0.00045"))
        return f"{quantity} at {fill['px']}, fee {fill['fee']}"

    def positions(self) -> str:
        (row,) = self.info.user_state(self.address)["assetPositions"]
        position = row["position"]
        truth = self.testnet.account()["positions"][COIN]
        same("the size", Decimal(position["szi"]), Decimal(truth["quantity"]))
        same("the entry", Decimal(position["entryPx"]) * 2, Decimal(truth["cost"]))
        same("the leverage", position["leverage"], {"type": "cross", "value": 5})
        same("the margin", Decimal(position["marginUsed"]), Decimal(80) / 5)
        return f"{position['szi']} {COIN} at {position['entryPx']}"

    def close(self) -> str:
        return self.check_fill(status(self.exchange.market_close(COIN))["filled"], "2", "sell", "Close Long")

    def flat(self) -> None:
        same("positions", self.info.user_state(self.address)["assetPositions"], [])
        same("the venue's positions", self.testnet.account()["positions"], {})
        self.testnet.money_adds_up(self.before)

    def fill_history(self) -> str:
        known = {fill["tid"] for fill in self.before["fills"]}
        told = [fill for fill in self.info.user_fills(self.address) if fill["tid"] not in known]
        true = [fill for fill in self.testnet.account()["fills"] if fill["tid"] not in known]
        same("fills, newest first", told, true[::-1])
        since = self.info.user_fills_by_time(self.address, true[0]["time"])
        same("fills by time, oldest first", [fill for fill in since if fill["tid"] not in known], true)
        return f"{len(told)} fills"

    # triggers and brackets

    def stop_loss(self) -> str:
        status(self.exchange.market_open(COIN, True, 1.0))
        stop = {"trigger": {"isMarket": True, "triggerPx": 38.0, "tpsl": "sl"}}
        wrong = {"trigger": {"isMarket": True, "triggerPx": 42.0, "tpsl": "sl"}}
        error = status(self.exchange.order(COIN, False, 1.0, 39.0, wrong, reduce_only=True))["error"]
        same("a stop above the market", error, f"Invalid TP/SL price. asset={self.asset}")
        oid = status(self.exchange.order(COIN, False, 1.0, 35.0, stop, reduce_only=True))["resting"]["oid"]
        shown = {order["oid"]: order for order in self.info.frontend_open_orders(self.address)}[oid]
        same("how it is told", (shown["orderType"], shown["isTrigger"], shown["triggerPx"]), ("Stop Market", True, "38.0"))
        self.testnet.hold_price(COIN, "39")
        same("above its trigger", self.testnet.order(oid)["status"], "open")
        self.testnet.hold_price(COIN, "37.5")
        same("below its trigger", self.testnet.order(oid)["status"], "filled")
        (fill,) = self.testnet.fills(oid)
        holds("it sold where the market was", Decimal(37) < Decimal(fill["px"]) < Decimal("37.5"), fill["px"])
        same("flat again", self.testnet.account()["positions"], {})
        self.testnet.hold_price(COIN, "40")
        return f"sold at {fill['px']}"

    def bracket(self) -> str:
        def child(price: float, trigger: float, tpsl: str) -> dict:
            kind = {"trigger": {"isMarket": True, "triggerPx": trigger, "tpsl": tpsl}}
            return {"coin": COIN, "is_buy": False, "sz": 1.0, "limit_px": price, "order_type": kind, "reduce_only": True, "cloid": self.cloid()}

        entry = {
            "coin": COIN, "is_buy": True, "sz": 1.0, "limit_px": 39.0, "order_type": {"limit": {"tif": "Gtc"}}, "reduce_only": False,
            "cloid": self.cloid(),
        }
        profit, stop = child(41.0, 42.0, "tp"), child(36.0, 37.0, "sl")
        answer = self.exchange.bulk_orders([entry, profit, stop], grouping="normalTpsl")
        statuses = answer["response"]["data"]["statuses"]
        same("children wait for the entry", statuses[1:], ["waitingForFill", "waitingForFill"])
        same("only the entry is open", [order["oid"] for order in self.open()], [statuses[0]["resting"]["oid"]])
        self.testnet.hold_price(COIN, "38.9")
        oid = {name: self.info.query_order_by_cloid(self.address, order["cloid"])["order"]["order"]["oid"]
               for name, order in (("entry", entry), ("profit", profit), ("stop", stop))}
        same("the entry", self.testnet.order(oid["entry"])["status"], "filled")
        same("both children are armed", {order["oid"] for order in self.open()}, {oid["profit"], oid["stop"]})
        self.testnet.hold_price(COIN, "42.1")
        same("the profit", self.testnet.order(oid["profit"])["status"], "filled")
        same("the stop", self.testnet.order(oid["stop"])["status"], "siblingFilledCanceled")
        same("flat again", self.testnet.account()["positions"], {})
        self.testnet.hold_price(COIN, "40")
        return f"bought at {self.testnet.fills(oid['entry'])[0]['px']}, sold at {self.testnet.fills(oid['profit'])[0]['px']}"

    # batches, changes

    def batch(self) -> None:
        self.batch_cloids = [self.cloid() for _ in range(3)]
        orders = [
            {"coin": COIN, "is_buy": True, "sz": 1.0, "limit_px": 30.0 + index, "order_type": {"limit": {"tif": "Alo"}}, "reduce_only": False,
             "cloid": cloid}
            for index, cloid in enumerate(self.batch_cloids)
        ]
        # The last one would take what is offered: it alone is refused.
        orders.append({**orders[0], "limit_px": 41.0, "cloid": self.cloid()})
        statuses = self.exchange.bulk_orders(orders)["response"]["data"]["statuses"]
        same("three of four rest", [next(iter(one)) for one in statuses], ["resting"] * 3 + ["error"])
        holds("why not the fourth", statuses[3]["error"].startswith("Post only order would have immediately matched, bbo was "), statuses[3])
        rejected = self.info.historical_orders(self.address)[0]
        same("the fourth in history", rejected["status"], "badAloPxRejected")
        self.batch_oids = [one["resting"]["oid"] for one in statuses[:3]]
        same("the venue's prices", [self.testnet.order(oid)["price"] for oid in self.batch_oids], ["30", "31", "32"])

    def modify(self) -> None:
        old, cloid = self.batch_oids[0], self.batch_cloids[0]
        answer = self.exchange.modify_order(cloid, COIN, True, 2.0, 33.0, {"limit": {"tif": "Gtc"}}, cloid=cloid)
        new = status(answer)["resting"]["oid"]
        holds("another number", new != old, new)
        same("the old one", self.testnet.order(old)["status"], "canceled")
        order = self.testnet.order(new)
        same("the new one", (order["quantity"], order["price"], order["status"], order["cloid"]), ("2", "33", "open", cloid.to_raw()))
        self.batch_oids[0] = new
        error = status(self.exchange.modify_order(old, COIN, True, 2.0, 33.0, {"limit": {"tif": "Gtc"}}))["error"]
        same("modifying what is gone", error, "Cannot modify canceled or filled order")

    def cancel_by_cloid(self) -> None:
        same("one by the client's id", status(self.exchange.cancel_by_cloid(COIN, self.batch_cloids[1])), "success")
        rest = [{"coin": COIN, "oid": oid} for oid in (self.batch_oids[0], self.batch_oids[2])]
        same("two by number", self.exchange.bulk_cancel(rest)["response"]["data"]["statuses"], ["success", "success"])
        same("nothing is open", self.open(), [])
        same("nor at the venue", [order for order in self.testnet.account()["orders"] if order["status"] == "open"], [])

    # agents

    def agent(self) -> str:
        answer, key = self.exchange.approve_agent("clients")
        same("the approval", answer["status"], "ok")
        agent = eth_account.Account.from_key(key)
        listed = {one["name"]: one["address"] for one in self.info.extra_agents(self.address)}
        same("the agent is listed", listed.get("clients"), agent.address.lower())
        same("its role", self.info.user_role(agent.address.lower())["role"], "agent")
        trading = Exchange(agent, self.base, account_address=self.address)
        filled = status(trading.market_open(COIN, False, 0.5))["filled"]
        text = self.check_fill(filled, "0.5", "sell", "Open Short")
        same("who signed", self.testnet.order(filled["oid"])["signer"], agent.address.lower())
        status(trading.market_close(COIN))
        refused = Exchange(eth_account.Account.create(), self.base, account_address=self.address)
        words = refused.order(COIN, True, 1.0, 30.0, {"limit": {"tif": "Gtc"}})
        holds("a stranger", words["status"] == "err" and words["response"].startswith("User or API Wallet 0x"), words)
        return text

    def transfer(self) -> str:
        before = self.testnet.account()["balances"]
        same("to the perpetuals' side", self.exchange.usd_class_transfer(12.5, True)["status"], "ok")
        after = self.testnet.account()["balances"]
        moved = [Decimal(after[side]["USDC"]) - Decimal(before[side]["USDC"]) for side in ("perp", "spot")]
        same("what moved", moved, [Decimal("12.5"), Decimal("-12.5")])
        same("and back", self.exchange.usd_class_transfer(12.5, False)["status"], "ok")
        same("as before", self.testnet.account()["balances"], before)
        too_much = self.exchange.usd_class_transfer(1_000_000.0, True)
        same("more than there is", too_much["status"], "err")
        return "12.5 USDC there and back"

    def sub_account(self) -> str:
        (sub,) = self.info.query_sub_accounts(self.address)
        address = sub["subAccountUser"]
        client = Exchange(self.wallet, self.base, vault_address=address)
        oid = status(client.order(COIN, True, 1.0, 30.0, {"limit": {"tif": "Gtc"}}))["resting"]["oid"]
        held = Testnet(self.testnet.url, "hyperliquid", address)
        same("the sub-account's order", held.order(oid)["status"], "open")
        same("which is not the master's", self.open(), [])
        same("canceled for it", status(client.cancel(COIN, oid)), "success")
        return address

    def spot(self) -> str:
        before = self.testnet.account()["balances"]["spot"]
        filled = status(self.exchange.market_open("@107", True, 1.0))["filled"]
        (fill,) = self.testnet.fills(filled["oid"])
        after = self.testnet.account()["balances"]["spot"]
        same("the fee is in what was bought", fill["feeToken"], "HYPE")
        same("what was bought", Decimal(after["HYPE"]) - Decimal(before["HYPE"]), 1 - Decimal(fill["fee"]))
        same("what was paid", Decimal(before["USDC"]) - Decimal(after["USDC"]), Decimal(fill["px"]))
        return f"1 at {fill['px']}, fee {fill['fee']} HYPE"

    # what the venue refuses

    def post(self, action: dict, nonce: int, signed_nonce: int | None = None, expires: int | None = None) -> dict:
        signature = sign_l1_action(self.wallet, action, None, nonce if signed_nonce is None else signed_nonce, expires, False)
        body = {"action": action, "nonce": nonce, "signature": signature, "vaultAddress": None, "expiresAfter": expires}
        return self.exchange.post("/exchange", body)

    def wrong_signature(self) -> str:
        nonce = get_timestamp_ms()
        answer = self.post({"type": "noop"}, nonce, signed_nonce=nonce + 1)
        holds("the venue's words", answer["status"] == "err", answer)
        words = answer["response"]
        holds("names a stranger", words.startswith("User or API Wallet 0x") and words.endswith(" does not exist."), words)
        holds("which is not us", self.wallet.address.lower() not in words.lower(), words)
        return words

    def reused_nonce(self) -> str:
        nonce, cloid = get_timestamp_ms(), self.cloid().to_raw()
        order = {"a": self.asset, "b": True, "p": "31", "s": "1", "r": False, "t": {"limit": {"tif": "Gtc"}}, "c": cloid}
        action = {"type": "order", "orders": [order], "grouping": "na"}
        oid = status(self.post(action, nonce))["resting"]["oid"]
        again = self.post(action, nonce)
        same("the same envelope again", again, {"status": "err", "response": f"Invalid nonce: duplicate nonce {nonce}"})
        burnt = self.post({"type": "noop"}, nonce)
        same("burning a used nonce", burnt, {"status": "err", "response": f"Invalid nonce: duplicate nonce {nonce}"})
        same("orders of that id", [o["oid"] for o in self.testnet.account()["orders"] if o["cloid"] == cloid], [oid])
        status(self.exchange.cancel(COIN, oid))
        free = get_timestamp_ms()
        same("burning a free nonce", self.exchange.noop(free)["status"], "ok")
        same("it is used now", self.post(action, free)["response"], f"Invalid nonce: duplicate nonce {free}")
        old = nonce - 3 * 86_400_000
        holds("an old nonce", self.post(action, old)["response"].startswith(f"Invalid nonce: nonce too low {old} < "))
        return again["response"]

    def expired(self) -> str:
        now = get_timestamp_ms()
        answer = self.post({"type": "noop"}, now, expires=now - 5_000)
        same("an expired action", answer["status"], "err")
        same("the same in time", self.post({"type": "noop"}, now, expires=now + 60_000)["status"], "ok")
        return answer["response"]

    def bad_orders(self) -> str:
        gtc, ioc = {"limit": {"tif": "Gtc"}}, {"limit": {"tif": "Ioc"}}
        end = f" asset={self.asset}"
        cases = [
            (True, 1.0, 31.00001, gtc, False, "Price must be divisible by tick size." + end),
            (True, 0.001, 31.0, gtc, False, "Order has invalid size."),
            (True, 0.1, 31.0, gtc, False, "Order must have minimum value of $10." + end),
            (True, 10_000.0, 39.0, gtc, False, "Insufficient margin to place order." + end),
            (True, 1.0, 31.0, ioc, False, "Order could not immediately match against any resting orders." + end),
            (True, 1.0, 39.0, gtc, True, "Reduce only order would increase position." + end),
            (True, 10.0, 1.0, gtc, False, "Order price cannot be more than 80% away from the reference price" + end),
        ]
        for buy, size, price, kind, reduce_only, words in cases:
            same(f"{size} at {price}", status(self.exchange.order(COIN, buy, size, price, kind, reduce_only=reduce_only)), {"error": words})
            same("and the venue knows", self.testnet.all()["refused"][-1]["reason"], words)
        try:
            self.exchange.post("/exchange", {"action": {"type": "order"}})
            raise Different("an unreadable request was answered")
        except ClientError as error:
            same("an unreadable request", error.status_code, 422)
        return f"{len(cases)} orders"

    # streams

    def streams(self) -> str:
        account = self.testnet.account()
        known = {order["oid"] for order in self.before["orders"]}
        final = {order["oid"]: order["status"] for order in account["orders"] if order["oid"] not in known}
        last = lambda: {update["order"]["oid"]: update["status"] for update in self.updates if update["order"]["oid"] in final}
        wait_until("the stream's last word on every order", lambda: last() == final)
        old = {fill["tid"] for fill in self.before["fills"]}
        true = [fill for fill in account["fills"] if fill["tid"] not in old]
        wait_until("every fill on the stream", lambda: len(self.fills) >= len(true))
        same("fills on the stream", self.fills, true)
        return f"{len(self.updates)} updates of {len(final)} orders, {len(true)} fills"

    def end(self) -> None:
        self.testnet.money_adds_up(self.before)
        self.testnet.free_price(COIN)
        self.info.disconnect_websocket()


def status(answer: dict):
    """The one status of an answer."""
    if answer["status"] != "ok":
        raise Different(f"refused: {answer['response']}")
    (one,) = answer["response"]["data"]["statuses"]
    return one


def main() -> None:
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    step = Steps("hyperliquid-python-sdk")
    program = Program(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) == 5 else None)
    for name in (
        "connect", "instruments", "price", "balance", "place", "query", "cancel", "market_open", "positions", "close", "flat", "fill_history",
        "stop_loss", "bracket", "batch", "modify", "cancel_by_cloid", "agent", "transfer",
        "sub_account", "spot", "wrong_signature", "reused_nonce", "expired", "bad_orders",
        "streams", "end",
    ):
        step(name.replace("_", " "), getattr(program, name))
    step.done()


if __name__ == "__main__":
    main()
