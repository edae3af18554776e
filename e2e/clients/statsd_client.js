// A program with the DogStatsD client hot-shots, which reads where to send from DD_DOGSTATSD_URL, or with the one
// of dd-trace (`tracer`), which sends over HTTP. Prints as one JSON line what it sent; what a sample rate left out
// is not in it.
//
//     statsd_client.js hot-shots|buffered|tracer ROUNDS

'use strict'

const modules = process.env.E2E_NODE_MODULES
const [, , mode, rounds] = process.argv
const samples = []
const minuteAgo = Math.floor(Date.now() / 1000) - 60
let dropped = 0

function noted (type, name, value, tags = [], rate = 1, time = null) {
  samples.push({ type, name, value, tags, rate, time })
}

function rest () {
  return new Promise(resolve => setTimeout(resolve, 1))
}

async function hotShots () {
  // Every second sample of those with a rate.
  let draws = 0
  Math.random = () => draws++ % 2 === 0 ? 0.25 : 0.75
  const StatsD = require(`${modules}/hot-shots`)
  const client = new StatsD({
    maxBufferSize: mode === 'buffered' ? 8000 : 0,
    includeDatadogTelemetry: true,
    telemetryFlushInterval: 100,
    globalTags: { region: 'north' },
    errorHandler: error => { dropped++; console.error(error) }
  })
  const send = (method, type, name, value, tags, rate = 1) => {
    client[method](name, value, rate, tags)
    noted(type, name, value, tags, rate)
  }
  for (let number = 0; number < rounds; number++) {
    const shop = [`shop:${number % 3}`, 'plain']
    send('increment', 'c', 'shop.orders', 1, shop)
    send('increment', 'c', 'shop.items', number)
    client.decrement('shop.returns', 1)
    noted('c', 'shop.returns', -1)
    send('gauge', 'g', 'shop.stock', number * 0.5, shop)
    send('histogram', 'h', 'shop.basket', number % 100 + 0.25, shop)
    send('timing', 'ms', 'shop.wait', number % 50)
    send('distribution', 'd', 'shop.size', number * 0.25 - 10, shop)
    send('set', 's', 'shop.users', `user-${number % 17}`)
    for (const [method, type, name] of [['increment', 'c', 'shop.clicks'], ['histogram', 'h', 'shop.hovers'],
      ['distribution', 'd', 'shop.scrolls']]) {
      const before = draws
      send(method, type, name, 3, undefined, 0.5)
      if (before % 2 === 1) samples.pop()
    }
    if (number % 4 === 3) await rest()
  }
  client.increment('shop.late', 20, { timestamp: minuteAgo, tags: ['plain'] })
  noted('c', 'shop.late', 20, ['plain'], 1, minuteAgo)
  client.gauge('shop.late.level', 21.5, { timestamp: minuteAgo, tags: ['plain'] })
  noted('g', 'shop.late.level', 21.5, ['plain'], 1, minuteAgo)
  const at = new Date(minuteAgo * 1000)
  // Plain letters: hot-shots counts UTF-16 units where the protocol has bytes.
  client.event('Sold out: here', 'first line\nsecond | line', {
    alert_type: 'warning', aggregation_key: 'sales', source_type_name: 'shop', priority: 'low', date_happened: at, hostname: 'till'
  }, ['kind:sale'])
  client.event('Plain', 'text')
  client.check('shop.open', client.CHECKS.OK, { message: 'all: well' }, ['door:front'])
  client.check('shop.till', client.CHECKS.CRITICAL, { date_happened: at, hostname: 'till' })
  await new Promise(resolve => client.close(resolve))
  const events = [
    { title: 'Sold out: here', text: 'first line\nsecond | line', alert_type: 'warning', aggregation_key: 'sales',
      source_type_name: 'shop', priority: 'low', timestamp: minuteAgo, host: 'till', tags: ['kind:sale'] },
    { title: 'Plain', text: 'text', tags: [] }
  ]
  const checks = [
    { check: 'shop.open', status: 0, message: 'all: well', tags: ['door:front'] },
    { check: 'shop.till', status: 2, timestamp: minuteAgo, host_name: 'till', tags: [] }
  ]
  console.log(JSON.stringify({ samples, events, checks, dropped, client_metrics: rounds * 11 + 2 }))
}

function tracer () {
  const { dogstatsd } = require(`${modules}/dd-trace`).init()
  for (let number = 0; number < rounds; number++) {
    const shop = [`shop:${number % 3}`, 'plain']
    dogstatsd.increment('shop.orders', 1, shop)
    noted('c', 'shop.orders', 1, shop)
    dogstatsd.decrement('shop.returns', 1)
    noted('c', 'shop.returns', -1)
    dogstatsd.gauge('shop.stock', number * 0.5, shop)
    noted('g', 'shop.stock', number * 0.5, shop)
    dogstatsd.distribution('shop.size', number * 0.25 - 10, shop)
    noted('d', 'shop.size', number * 0.25 - 10, shop)
  }
  // The client adds up in itself, and sends when it is told to, or every 10 s.
  dogstatsd.flush(() => console.log(JSON.stringify({ samples, events: [], checks: [], dropped, adds_up: true })))
}

if (mode === 'tracer') tracer()
else hotShots()
