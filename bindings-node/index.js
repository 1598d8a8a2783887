'use strict'

/**
 * One signal, every venue. Money is text, never a number; every error has a stable `code`.
 *
 *     const { Engine } = require('omnivenue')
 *     const engine = await Engine.open('omnivenue.toml')
 *     const execution = await engine.execute({ id: 'tweet-42', agent: 'demo', asset: 'HYPE', direction: 'long', sizing: { notional: '500' } })
 *     for await (const event of engine.events()) console.log(event.seq, event.event.event)
 */
const { Engine } = require('./omnivenue.node')

/** Durable entries after a number, in order; ends with the engine. */
Engine.prototype.events = async function* (since) {
  const feed = this.feed(since)
  for (let event = await feed.next(); event !== null; event = await feed.next()) yield event
}

module.exports = { Engine }
