/** The least a server can do for a POST: read the body, and answer what it was told to. */
const body = process.argv[2] ?? "{}"
const headers = { "content-type": "application/json; charset=utf-8" }
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    await request.text()
    return new Response(body, { headers })
  }
})
console.log(`http://127.0.0.1:${server.port}`)
