import * as runner from "node:test"

/** What the tests use of bun:test, on the runner that Node and Deno have: test/actor/Runtimes.test.ts puts it there. */
export { expect } from "expect"

type Body = () => unknown

const optionsOf = (timeout: number | undefined) => (timeout === undefined ? {} : { timeout })

export const test = (name: string, body: Body, timeout?: number): void => {
  void runner.test(name, optionsOf(timeout), async () => {
    await body()
  })
}

export const describe = (name: string, body: Body): void => {
  void runner.describe(name, () => {
    body()
  })
}

export const beforeAll = (body: Body, timeout?: number): void =>
  runner.before(async () => {
    await body()
  }, optionsOf(timeout))

export const afterAll = (body: Body, timeout?: number): void =>
  runner.after(async () => {
    await body()
  }, optionsOf(timeout))
