"""One signal, every venue: an embeddable trading engine that never doubles an order, loses one or breaks a limit.

    import asyncio, omnivenue

    async def main():
        engine = await omnivenue.Engine.open("omnivenue.toml")
        execution = await engine.execute({
            "id": "tweet-42", "agent": "demo", "asset": "HYPE", "direction": "long", "sizing": {"notional": "500"},
        })
        print(execution["status"], [(leg["venue"], leg["state"]) for leg in execution["legs"]])
        await engine.shutdown()

    asyncio.run(main())

Money is text or ``decimal.Decimal``, never a float. Every error is an ``OmnivenueError`` with a stable ``code``.
"""

from ._omnivenue import ClosedError, ConfigurationError, ConflictError, Engine, Events, InvalidError, OmnivenueError

__all__ = ["ClosedError", "ConfigurationError", "ConflictError", "Engine", "Events", "InvalidError", "OmnivenueError"]
