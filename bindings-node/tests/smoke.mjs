// Open, execute, events, shutdown: what a program does with the engine, and what happens when it does it wrong.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const { Engine } = createRequire(import.meta.url)(process.env.OMNIVENUE_PACKAGE)
const signal = (id, more = {}) => ({ id, agent: 'demo', asset: 'HYPE', direction: 'long', sizing: { notional: '500' }, ...more })

const engine = await Engine.open()
if (process.argv[2] === 'leaves_it_open') {
  engine.execute(signal('left'), 'settled')
} else {
  const execution = await engine.execute(signal('one'), 'settled')
  assert.deepEqual(execution.legs.map((leg) => leg.outcome), ['filled', 'filled'])
  assert.ok(execution.legs.every((leg) => typeof leg.filled_quantity === 'string'), 'money is text')
  assert.deepEqual((await engine.execute(signal('one'))).legs, execution.legs, 'the same id is the same execution')

  const refused = (name, code, words, call) => assert.rejects(call, (error) => {
    assert.ok(error instanceof Error)
    assert.deepEqual([error.name, error.code], [name, code])
    assert.match(error.message, words)
    return true
  })
  await refused('ConflictError', 'conflict', /one/, engine.execute(signal('one', { asset: 'BTC' })))
  await refused('InvalidError', 'invalid', /notional/, engine.execute(signal('wrong', { sizing: { notional: 500.0 } })))
  await refused('InvalidError', 'invalid', /colour/, engine.execute(signal('wrong', { colour: 'red' })))
  await refused('InvalidError', 'invalid', /wait/, engine.execute(signal('wrong'), 'forever'))
  await refused('ConfigurationError', 'configuration', /nowhere\.toml/, Engine.open('nowhere.toml'))

  const seen = []
  for await (const event of engine.events()) {
    seen.push(event.seq)
    if (event.event.event === 'admitted') break
  }
  assert.deepEqual(seen, seen.map((_, index) => index + 1), 'numbered from 1, without a gap')

  const last = engine.events(4_000_000_000).next()
  await engine.shutdown()
  assert.equal((await last).done, true, 'a feed of a closed engine ends')
  await refused('ClosedError', 'closed', /closed/, engine.execute(signal('late')))
}
