"""Open, execute, events, shutdown: what a program does with the engine, and what happens when it does it wrong."""

import asyncio
import os
import sys
from decimal import Decimal

import omnivenue


def signal(id="one", **more):
    return {"id": id, "agent": "demo", "asset": "HYPE", "direction": "long", "sizing": {"notional": Decimal("500.00")}} | more


async def refused(kind, code, awaitable):
    """The call is refused with this kind of error and this code."""
    try:
        await awaitable
    except omnivenue.OmnivenueError as error:
        assert type(error) is kind and error.code == code, repr(error)
        return str(error)
    raise AssertionError(f"{code} was not refused")


async def works():
    engine = await omnivenue.Engine.open()
    execution = await engine.execute(signal(), wait="settled")
    assert [leg["outcome"] for leg in execution["legs"]] == ["filled", "filled"], execution
    assert all(isinstance(leg["filled_quantity"], str) for leg in execution["legs"]), "money is text"
    assert (await engine.execute(signal()))["legs"] == execution["legs"], "the same id is the same execution"

    # Canceling the waiting abandons the waiting, never the execution.
    waiting = asyncio.ensure_future(engine.execute(signal("two"), wait="settled"))
    await asyncio.sleep(0)
    waiting.cancel()
    again = await engine.execute(signal("two"), wait="settled")
    assert [leg["outcome"] for leg in again["legs"]] == ["filled", "filled"], again

    await refused(omnivenue.ConflictError, "conflict", engine.execute(signal(asset="BTC")))
    for wrong, named in [({"sizing": {"notional": 500.0}}, "notional"), ({"colour": "red"}, "colour"), ({"agent": "nobody"}, "nobody")]:
        try:
            words = await refused(omnivenue.InvalidError, "invalid", engine.execute(signal("wrong", **wrong)))
        except omnivenue.InvalidError as error:
            words = str(error)
        assert named in words, words

    seen = []
    async for event in engine.events():
        seen.append(event)
        if event["event"].get("event") == "admitted" and event["event"]["number"] == execution_number(seen):
            break
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1)), "numbered from 1, without a gap"
    last = asyncio.ensure_future(anext(engine.events(since=10_000_000)))
    await engine.shutdown()
    try:
        await last
        raise AssertionError("a feed of a closed engine ends")
    except StopAsyncIteration:
        pass
    await refused(omnivenue.ClosedError, "closed", engine.execute(signal("late")))


def execution_number(seen):
    return max(event["event"].get("number", 0) for event in seen)


async def leaves_it_open():
    engine = await omnivenue.Engine.open()
    asyncio.ensure_future(engine.execute(signal("left"), wait="settled"))
    await asyncio.sleep(0)


async def forked():
    engine = await omnivenue.Engine.open()
    child = os.fork()
    if child == 0:
        try:
            engine.execute(signal("child"))
        except omnivenue.ClosedError as error:
            os._exit(0 if error.code == "forked" else 2)
        os._exit(3)
    assert os.waitpid(child, 0)[1] == 0, "a call in a forked child is a clear error"
    await engine.shutdown()


asyncio.run({"works": works, "leaves_it_open": leaves_it_open, "forked": forked}[sys.argv[1]]())
