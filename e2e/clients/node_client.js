// A program instrumented by dd-trace. Prints what it sent as one JSON line: {"spans": [ids as text], "counted": n}.
//
//     node_client.js N [MILLISECONDS]    N traces of 3 spans, then the end of the program, or so much later:
//                                        what the tracer counts it sends every 10 s, and not at the end

'use strict'

const tracer = require(`${process.env.E2E_NODE_MODULES}/dd-trace`).init()
const count = Number(process.argv[2])
const spans = []

function traced (name, options, work) {
  return tracer.trace(name, options, span => {
    spans.push(span.context().toSpanId())
    return work && work()
  })
}

for (let number = 0; number < count; number++) {
  const root = { service: 'shop', resource: `GET /orders/${number}`, type: 'web', tags: { 'span.kind': 'server' } }
  traced('web.request', root, () => {
    traced('express.handler', { resource: 'show_order' })
    const resource = `SELECT * FROM orders WHERE id = ${number} AND state = 'open'`
    traced('postgres.query', { service: 'db', resource, type: 'sql', tags: { 'span.kind': 'client' } })
  })
}
// All count: the handler too, whose service is the program's and not the shop's.
console.log(JSON.stringify({ spans, counted: 3 * count }))
if (process.argv[3]) setTimeout(() => {}, Number(process.argv[3]))
