"""ccxt trades on the testnet, with nothing changed but where it sends its requests.

    python ccxt_hyperliquid.py BASE_URL ADMIN_URL PRIVATE_KEY [ACCOUNT_ADDRESS]

Exits with 1 and one clear sentence at the first thing that is not as it must be.
"""

from __future__ import annotations

import asyncio
import sys
import time
from decimal import Decimal

import ccxt
import ccxt.pro
import eth_account

from world import Different, Steps, Testnet, holds, same

SYMBOL, COIN = "HYPE/USDC:USDC", "HYPE"


def exact(number) -> Decimal:
    """The shortest decimal that a float prints as."""
    return Decimal(str(number)).normalize()


def pointed(client, base: str, sandbox: bool = False):
    """A client that sends its requests to the testnet."""
    if sandbox:
        client.set_sandbox_mode(True)
    client.urls["api"] = {"public": base, "private": base, "ws": {"public": "ws" + base.removeprefix("http") + "/ws"}}
    return client


class Program:
    def __init__(self, base: str, admin: str, key: str, address: str | None):
        self.base = base
        self.wallet = eth_account.Account.from_key(key)
        self.address = (address or self.wallet.address).lower()
        self.login = {"walletAddress": self.address, "privateKey": key, "rateLimit": 10}
        self.testnet = Testnet(admin, "hyperliquid", self.address)
        self.testnet.hold_price(COIN, "40")
        self.before = self.testnet.account()
        self.ids = time.time_ns()

    def cloid(self) -> str:
        self.ids += 1
        return f"0xcc87{self.ids:028x}"

    # connect, instruments, price, balance

    def connect(self) -> str:
        self.exchange = pointed(ccxt.hyperliquid(self.login), self.base)
        requests = self.testnet.all()["requests"]
        self.exchange.load_markets()
        now = self.testnet.all()["requests"]
        for kind in ("metaAndAssetCtxs", "spotMetaAndAssetCtxs", "perpDexs"):
            same(f"requests of {kind}", now[kind] - requests.get(kind, 0), 1)
        return f"{len(self.exchange.markets)} markets"

    def instruments(self) -> str:
        market = self.exchange.market(SYMBOL)
        same("its id", int(market["baseId"]), 3)
        same("its lot", exact(market["precision"]["amount"]), Decimal("0.01"))
        spot = self.exchange.market("HYPE/USDC")
        same("the spot asset", int(spot["baseId"]), 10107)
        return f"{market['symbol']} {market['baseId']}"

    def price(self) -> str:
        book = self.exchange.fetch_order_book(SYMBOL)
        bid, ask = exact(book["bids"][0][0]), exact(book["asks"][0][0])
        holds("the market is around the price it is held at", bid < 40 < ask, (bid, ask))
        ticker = self.exchange.fetch_ticker(SYMBOL)
        same("the mark", exact(ticker["info"]["markPx"]), Decimal("4E+1"))
        candles = self.exchange.fetch_ohlcv(SYMBOL, "1m", limit=10)
        same("the last price of the candles", exact(candles[-1][4]), Decimal("4E+1"))
        skew = abs(self.exchange.fetch_time() - time.time() * 1000)
        holds("the venue's time", skew < 2000, skew)
        return f"{bid} / {ask}, {len(candles)} candles"

    def balance(self) -> str:
        balance = self.exchange.fetch_balance()["USDC"]
        same("what the account is worth", round(exact(balance["total"]), 4), round(Decimal(self.testnet.account()["equity"]), 4))
        return f"{balance['total']} USDC"

    # one order: place, query, cancel

    def place(self) -> str:
        cloid = self.cloid()
        order = self.exchange.create_order(SYMBOL, "limit", "buy", 1.5, 30, {"clientOrderId": cloid})
        self.resting = order["id"]
        true = self.testnet.order(self.resting)
        for key, expected in {
            "symbol": COIN, "side": "buy", "quantity": "1.5", "price": "30", "status": "open", "cloid": cloid, "time_in_force": "Gtc",
            "signer": self.wallet.address.lower(),
        }.items():
            same(f"the venue's {key}", true[key], expected)
        return self.resting

    def query(self) -> None:
        order = self.exchange.fetch_order(self.resting, SYMBOL)
        same("its status", order["status"], "open")
        same("its numbers", (exact(order["price"]), exact(order["amount"]), order["filled"]), (Decimal("3E+1"), Decimal("1.5"), 0))
        same("among the open ones", [one["id"] for one in self.exchange.fetch_open_orders(SYMBOL)], [self.resting])
        raised(ccxt.OrderNotFound, "an order that is not there", lambda: self.exchange.fetch_order("1", SYMBOL))

    def cancel(self) -> None:
        self.exchange.cancel_order(self.resting, SYMBOL)
        same("the venue's status", self.testnet.order(self.resting)["status"], "canceled")
        same("what it tells", self.exchange.fetch_order(self.resting, SYMBOL)["status"], "canceled")
        words = raised(ccxt.OrderNotFound, "canceling twice", lambda: self.exchange.cancel_order(self.resting, SYMBOL))
        holds("in the venue's words", "Order was never placed, already canceled, or filled." in words, words)

    # market in and out

    def market_open(self) -> str:
        self.exchange.set_leverage(5, SYMBOL)
        order = self.exchange.create_order(SYMBOL, "market", "buy", 2, 40)
        return self.check_fill(order, "2", "Open Long")

    def check_fill(self, order: dict, quantity: str, direction: str) -> str:
        true = self.testnet.order(order["id"])
        (fill,) = self.testnet.fills(order["id"])
        same("the venue's status", (true["status"], true["filled"]), ("filled", quantity))
        same("what it was to the position", fill["dir"], direction)
        value = Decimal(fill["px"]) * Decimal(quantity)
        same("the builder's fee, as ccxt approved it", Decimal(fill["builderFee"]), value * Decimal("0.0001"))
        same("the whole fee", Decimal(fill["fee"]), value * Decimal("0.00055"))
        same("the price that was told", exact(order["average"]), Decimal(fill["px"]).normalize())
        return f"{quantity} at {fill['px']}, fee {fill['fee']}"

    def positions(self) -> str:
        (position,) = self.exchange.fetch_positions([SYMBOL])
        true = self.testnet.account()["positions"][COIN]
        same("the size", (exact(position["contracts"]), position["side"]), (Decimal(true["quantity"]), "long"))
        same("the entry", exact(position["entryPrice"]) * 2, Decimal(true["cost"]))
        same("the leverage", (position["leverage"], position["marginMode"]), (5, "cross"))
        return f"{position['contracts']} at {position['entryPrice']}"

    def close(self) -> str:
        order = self.exchange.create_order(SYMBOL, "market", "sell", 2, 40, {"reduceOnly": True})
        holds("it may only reduce", self.testnet.order(order["id"])["reduce_only"])
        return self.check_fill(order, "2", "Close Long")

    def flat(self) -> None:
        same("positions", self.exchange.fetch_positions([SYMBOL]), [])
        same("the venue's positions", self.testnet.account()["positions"], {})
        self.testnet.money_adds_up(self.before)

    def fill_history(self) -> str:
        known = {str(fill["tid"]) for fill in self.before["fills"]}
        told = {trade["id"]: trade for trade in self.exchange.fetch_my_trades(SYMBOL) if trade["id"] not in known}
        true = {str(fill["tid"]): fill for fill in self.testnet.account()["fills"] if str(fill["tid"]) not in known}
        same("which trades", set(told), set(true))
        for tid, fill in true.items():
            trade = told[tid]
            # The venue's documentation has the builder's part within the fee; ccxt adds it once more.
            fee = (Decimal(fill["fee"]) + Decimal(fill["builderFee"])).normalize()
            seen = (exact(trade["price"]), exact(trade["amount"]), exact(trade["fee"]["cost"]), trade["order"])
            same(f"trade {tid}", seen, (Decimal(fill["px"]).normalize(), Decimal(fill["sz"]).normalize(), fee, str(fill["oid"])))
        return f"{len(true)} trades"

    # triggers and brackets

    def stop_loss(self) -> str:
        self.exchange.create_order(SYMBOL, "market", "buy", 1, 40)
        stop = {"stopLossPrice": 38, "reduceOnly": True}
        words = raised(
            ccxt.InvalidOrder, "a stop above the market",
            lambda: self.exchange.create_order(SYMBOL, "market", "sell", 1, 40, {**stop, "stopLossPrice": 42}),
        )
        holds("in the venue's words", "Invalid TP/SL price." in words, words)
        oid = self.exchange.create_order(SYMBOL, "market", "sell", 1, 38, stop)["id"]
        self.testnet.hold_price(COIN, "39")
        same("above its trigger", self.testnet.order(oid)["status"], "open")
        self.testnet.hold_price(COIN, "37.5")
        same("below its trigger", self.testnet.order(oid)["status"], "filled")
        same("as ccxt sees it", self.exchange.fetch_order(oid, SYMBOL)["status"], "closed")
        self.testnet.hold_price(COIN, "40")
        return f"sold at {self.testnet.fills(oid)[0]['px']}"

    def bracket(self) -> str:
        exits = {
            "takeProfit": {"triggerPrice": 42, "type": "market", "price": 42},
            "stopLoss": {"triggerPrice": 37, "type": "market", "price": 37},
        }
        request = {"symbol": SYMBOL, "type": "market", "side": "buy", "amount": 1, "price": 40, "params": exits}
        orders = self.exchange.create_orders([request])
        entry = self.testnet.order(orders[0]["id"])
        same("the entry", entry["status"], "filled")
        waiting = {order["info"]["orderType"]: order["id"] for order in self.exchange.fetch_open_orders(SYMBOL)}
        same("what waits", set(waiting), {"Take Profit Market", "Stop Market"})
        self.testnet.hold_price(COIN, "36.9")
        same("the stop", self.testnet.order(waiting["Stop Market"])["status"], "filled")
        same("the profit", self.testnet.order(waiting["Take Profit Market"])["status"], "siblingFilledCanceled")
        same("flat again", self.testnet.account()["positions"], {})
        self.testnet.hold_price(COIN, "40")
        return f"sold at {self.testnet.fills(waiting['Stop Market'])[0]['px']}"

    # batches, changes

    def batch(self) -> None:
        self.cloids = [self.cloid() for _ in range(3)]
        requests = [
            {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 1, "price": 30 + index, "params": {"clientOrderId": cloid, "postOnly": True}}
            for index, cloid in enumerate(self.cloids)
        ]
        self.batch_ids = [order["id"] for order in self.exchange.create_orders(requests)]
        true = [self.testnet.order(oid) for oid in self.batch_ids]
        same("the venue's prices", [order["price"] for order in true], ["30", "31", "32"])
        same("the venue's ids", [order["cloid"] for order in true], self.cloids)
        same("time in force", {order["time_in_force"] for order in true}, {"Alo"})

    def modify(self) -> None:
        new = self.exchange.edit_order(self.batch_ids[0], SYMBOL, "limit", "buy", 2, 33, {"clientOrderId": self.cloids[0]})
        same("the old one", self.testnet.order(self.batch_ids[0])["status"], "canceled")
        order = self.testnet.order(new["id"])
        same("the new one", (order["price"], order["quantity"], order["status"], order["cloid"]), ("33", "2", "open", self.cloids[0]))
        self.batch_ids[0] = new["id"]

    def cancel_by_cloid(self) -> None:
        self.exchange.cancel_order("", SYMBOL, {"clientOrderId": self.cloids[1]})
        same("by the client's id", self.testnet.order(self.batch_ids[1])["status"], "canceled")
        self.exchange.cancel_orders([self.batch_ids[0], self.batch_ids[2]], SYMBOL)
        same("nothing is open", self.exchange.fetch_open_orders(SYMBOL), [])
        same("nor at the venue", [order for order in self.testnet.account()["orders"] if order["status"] == "open"], [])

    # agents, the sandbox, spot, sub-accounts

    def agent(self) -> str:
        agent = eth_account.Account.create()
        self.testnet._ask("/agents", {"account": self.address, "agent": agent.address, "name": "ccxt"})
        key = "0x" + bytes(agent.key).hex()
        client = pointed(ccxt.hyperliquid({**self.login, "privateKey": key}), self.base)
        # Only the account's own key can approve a builder's fee: ccxt goes on without.
        client.load_markets()
        order = client.create_order(SYMBOL, "limit", "buy", 1, 30)
        same("who signed", self.testnet.order(order["id"])["signer"], agent.address.lower())
        self.testnet._ask("/agents", {"account": self.address, "agent": agent.address, "expired": True})
        words = raised(ccxt.InvalidOrder, "an expired agent", lambda: client.cancel_order(order["id"], SYMBOL))
        holds("in the venue's words", f"User or API Wallet {agent.address.lower()} does not exist." in words, words)
        self.exchange.cancel_order(order["id"], SYMBOL)
        return agent.address.lower()

    def sandbox(self) -> None:
        client = pointed(ccxt.hyperliquid(self.login), self.base, sandbox=True)
        client.load_markets()
        order = client.create_order(SYMBOL, "limit", "buy", 1, 30)
        same("signed for the other network", self.testnet.order(order["id"])["signer"], self.wallet.address.lower())
        client.cancel_order(order["id"], SYMBOL)

    def spot(self) -> str:
        before = self.testnet.account()["balances"]["spot"]
        order = self.exchange.create_order("HYPE/USDC", "market", "buy", 1, self.exchange.fetch_ticker("HYPE/USDC")["last"] or 40)
        (fill,) = self.testnet.fills(order["id"])
        after = self.testnet.account()["balances"]["spot"]
        same("the fee is in what was bought", fill["feeToken"], "HYPE")
        same("what was bought", Decimal(after["HYPE"]) - Decimal(before["HYPE"]), 1 - Decimal(fill["fee"]))
        same("what was paid", Decimal(before["USDC"]) - Decimal(after["USDC"]), Decimal(fill["px"]))
        return f"1 at {fill['px']}, fee {fill['fee']} HYPE"

    def sub_account(self) -> str:
        subs = [address for address, account in self.testnet.all()["accounts"].items() if account["role"] == "sub_account"]
        own = [sub for sub in subs if self.exchange.publicPostInfo({"type": "userRole", "user": sub})["data"]["master"] == self.address]
        # ccxt leaves 0x out of this address.
        order = self.exchange.create_order(SYMBOL, "limit", "buy", 1, 30, {"vaultAddress": own[0]})
        sub = Testnet(self.testnet.url, "hyperliquid", own[0])
        same("the sub-account's order", sub.order(order["id"])["status"], "open")
        self.exchange.cancel_order(order["id"], SYMBOL, {"vaultAddress": own[0]})
        same("canceled for it", sub.order(order["id"])["status"], "canceled")
        return own[0]

    # what the venue refuses

    def wrong_signature(self) -> str:
        nonce = self.exchange.incrementing_nonce()
        action = {"type": "noop"}
        body = {"action": action, "nonce": nonce + 1, "signature": self.exchange.sign_l1_action(action, nonce, None)}
        words = raised(ccxt.InvalidOrder, "signed with another nonce", lambda: self.exchange.privatePostExchange(body))
        holds("in the venue's words", "User or API Wallet 0x" in words and self.address not in words.lower(), words)
        return words

    def reused_nonce(self) -> str:
        nonce = self.exchange.incrementing_nonce()
        action = {"type": "noop"}
        body = {"action": action, "nonce": nonce, "signature": self.exchange.sign_l1_action(action, nonce, None)}
        same("a nonce is burnt once", self.exchange.privatePostExchange(body)["status"], "ok")
        words = raised(ccxt.ExchangeError, "the same envelope again", lambda: self.exchange.privatePostExchange(body))
        holds("in the venue's words", f"Invalid nonce: duplicate nonce {nonce}" in words, words)
        return words

    def bad_orders(self) -> None:
        def place(amount, price, params=None):
            return lambda: self.exchange.create_order(SYMBOL, "limit", "buy", amount, price, params or {})

        cases = [
            (ccxt.InvalidOrder, "Order must have minimum value of $10", place(0.1, 31)),
            (ccxt.InsufficientFunds, "Insufficient margin to place order.", place(10_000, 39)),
            (ccxt.InvalidOrder, "Post only order would have immediately matched,", place(1, 41, {"postOnly": True})),
            (ccxt.InvalidOrder, "Order could not immediately match against any resting orders.", place(1, 31, {"timeInForce": "ioc"})),
            (ccxt.InvalidOrder, "Reduce only order would increase position.", place(1, 39, {"reduceOnly": True})),
            (ccxt.InvalidOrder, "Order price cannot be more than 80% away from the reference price", place(10, 2)),
        ]
        for kind, expected, order in cases:
            words = raised(kind, expected, order)
            holds("in the venue's words", expected in words, words)
        # ccxt rounds prices itself: a wrong one has to be sent by hand.
        nonce = self.exchange.incrementing_nonce()
        wire = {"a": 3, "b": True, "p": "31.00001", "s": "1", "r": False, "t": {"limit": {"tif": "Gtc"}}}
        action = {"type": "order", "orders": [wire], "grouping": "na"}
        body = {"action": action, "nonce": nonce, "signature": self.exchange.sign_l1_action(action, nonce, None)}
        words = raised(ccxt.InvalidOrder, "a price off the rule", lambda: self.exchange.privatePostExchange(body))
        holds("in the venue's words", "Price must be divisible by tick size." in words, words)

    # streams

    def streams(self) -> str:
        return asyncio.run(self.watch())

    async def watch(self) -> str:
        client = pointed(ccxt.pro.hyperliquid(self.login), self.base)
        try:
            await client.load_markets()
            book = await within("a book", client.watch_order_book(SYMBOL))
            holds("the market", book["bids"][0][0] < 40 < book["asks"][0][0], book["bids"][0])
            orders = asyncio.create_task(self.collect(client.watch_orders, 4))
            trades = asyncio.create_task(self.collect(client.watch_my_trades, 1))
            await asyncio.sleep(0.5)
            resting = await within("an order by stream", client.create_order_ws(SYMBOL, "limit", "buy", 1, 30))
            await within("a cancel by stream", client.cancel_order_ws(resting["id"], SYMBOL))
            filled = await within("a market order by stream", client.create_order_ws(SYMBOL, "market", "sell", 1, 40))
            told = await within("four updates of two orders", orders)
            same("the updates", [(o["id"], o["status"]) for o in told], [
                (resting["id"], "open"), (resting["id"], "canceled"), (filled["id"], "open"), (filled["id"], "closed"),
            ])
            (trade,) = await within("the trade", trades)
            (fill,) = self.testnet.fills(filled["id"])
            same("the trade", (trade["id"], exact(trade["price"])), (str(fill["tid"]), Decimal(fill["px"]).normalize()))
            balance = await within("a balance", client.watch_balance())
            holds("what the account is worth", balance["USDC"]["total"] is not None, balance.get("USDC"))
            await within("closing", client.create_order_ws(SYMBOL, "market", "buy", 1, 40, {"reduceOnly": True}))
        finally:
            await client.close()
        return f"{len(told)} updates, trade {trade['id']}"

    @staticmethod
    async def collect(watch, count: int) -> list:
        """The first so many items that a stream tells of, those of its snapshot aside."""
        items: list = []
        start = time.time() * 1000 - 100
        while len(items) < count:
            for item in await watch(SYMBOL):
                if item["timestamp"] >= start:
                    items.append(item.copy())
        return items

    def end(self) -> None:
        same("positions", self.testnet.account()["positions"], {})
        self.testnet.money_adds_up(self.before)
        self.testnet.free_price(COIN)


async def within(what: str, waiting, seconds: float = 10):
    try:
        return await asyncio.wait_for(waiting, seconds)
    except asyncio.TimeoutError:
        raise Different(f"{what}: not within {seconds} s") from None


def raised(kind: type, what: str, act) -> str:
    """The words of the error that this must raise."""
    try:
        answer = act()
    except kind as error:
        same(f"{what}: the kind of error", type(error), kind)
        return str(error)
    except ccxt.BaseError as error:
        raise Different(f"{what}: {type(error).__name__} {error}, expected {kind.__name__}") from None
    raise Different(f"{what}: answered {answer!r}, expected {kind.__name__}")


def main() -> None:
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    step = Steps("ccxt")
    program = Program(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) == 5 else None)
    for name in (
        "connect", "instruments", "price", "balance", "place", "query", "cancel", "market_open", "positions", "close", "flat", "fill_history",
        "stop_loss", "bracket", "batch", "modify", "cancel_by_cloid", "agent", "sandbox", "spot", "sub_account", "wrong_signature",
        "reused_nonce", "bad_orders", "streams", "end",
    ):
        step(name.replace("_", " "), getattr(program, name))
    step.done()


if __name__ == "__main__":
    main()
