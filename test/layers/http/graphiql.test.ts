import { expect, test } from "bun:test"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { chromium } from "playwright-core"
import * as Http from "../../../layers/Http.ts"
import { server } from "./fixture.ts"

const executablePath = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome") ?? undefined

const type = (document: string) =>
  `document.querySelector(".graphiql-query-editor .CodeMirror").CodeMirror.setValue(${JSON.stringify(document)})`

const shown = `document.querySelector(".graphiql-response .CodeMirror")?.CodeMirror.getValue() ?? ""`

// Needs a browser on the machine; the rest of the surface is tested without one.
test.skipIf(executablePath === undefined)(
  "GraphiQL signs in and subscribes in a browser, with nothing from elsewhere",
  () =>
    Effect.gen(function* () {
      const { url } = Context.get(yield* Layer.build(server()), Http.Address)
      const browser = yield* Effect.acquireRelease(
        Effect.promise(() => chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] })),
        (launched) => Effect.promise(() => launched.close())
      )
      yield* Effect.promise(async () => {
        const page = await browser.newPage()
        const foreign: Array<string> = []
        const errors: Array<string> = []
        page.on("request", (request) => {
          if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== url) foreign.push(request.url())
        })
        page.on("pageerror", (error) => errors.push(error.message))
        page.on("console", (message) => {
          if (message.text().includes("Content Security Policy")) errors.push(message.text())
        })
        await page.goto(`${url}/graphiql`)
        await page.waitForSelector(".graphiql-query-editor .CodeMirror")
        const answered = async (document: string, says: RegExp) => {
          await page.evaluate(type(document))
          // GraphiQL looks at what was typed a little later, and runs what it knows of.
          await page.waitForTimeout(500)
          await page.click(".graphiql-execute-button")
          while (!says.test(await page.evaluate<string>(shown))) await page.waitForTimeout(20)
        }
        await answered("mutation { signInAsGuest { viewer { user { handle } } } }", /"ada"/)
        await answered("subscription { queueStats(everyMillis: 10) { waiting } }", /"waiting": [3-9]/)
        await page.click(".graphiql-execute-button")
        await answered("subscription { inbox { ... on SessionRevoked { reason } } }", /SESSION_EXPIRED|"first"/)
        expect(foreign).toEqual([])
        expect(errors).toEqual([])
      })
    }).pipe(Effect.scoped, Effect.runPromise),
  60_000
)
