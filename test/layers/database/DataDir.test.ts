import { expect } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as DataDir from "../../../layers/database/DataDir.ts"
import { it } from "../../kit/effect.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "connect-lock-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** A process that has ended: its number is nobody's, or somebody else's who started later. */
const dead: DataDir.Holder = {
  pid: process.pid,
  startedAt: "1",
  host: hostname(),
  socketFolder: join(tmpdir(), "rtc-gone")
}

const leave = (path: string, text: string) => Effect.sync(() => writeFileSync(join(path, "lock.json"), text))

const acquire = (path: string) => Effect.scoped(Effect.either(DataDir.acquire(path)))

it.live("the lock is this process's while the scope lives", () =>
  Effect.gen(function* () {
    const path = join(yield* folder, "made", "on the way")
    yield* Effect.scoped(
      Effect.gen(function* () {
        const dataDir = yield* DataDir.acquire(path)
        yield* dataDir.publish(join(tmpdir(), "rtc-here"))
        expect(DataDir.holderOf(path)).toMatchObject({ pid: process.pid, socketFolder: join(tmpdir(), "rtc-here") })
        const second = yield* acquire(path)
        expect(second._tag).toBe("Left")
      })
    )
    expect(DataDir.holderOf(path)).toBeUndefined()
    expect(readdirSync(path)).toEqual([])
  })
)

it.live("a dead process's lock is taken over, and what it left is known", () =>
  Effect.gen(function* () {
    const path = yield* folder
    yield* leave(path, JSON.stringify(dead))
    expect(DataDir.holderOf(path)).toBeUndefined()
    expect((yield* Effect.scoped(DataDir.acquire(path))).leftSocketFolder).toBe(join(tmpdir(), "rtc-gone"))
  })
)

it.live("a lock that cannot be read is taken over", () =>
  Effect.gen(function* () {
    const path = yield* folder
    yield* leave(path, '{"pid":')
    expect((yield* acquire(path))._tag).toBe("Right")
  })
)

it.live("a lock of another machine is left alone, and the way out is named", () =>
  Effect.gen(function* () {
    const path = yield* folder
    yield* leave(path, JSON.stringify({ ...dead, host: "elsewhere" }))
    const error = yield* Effect.flip(Effect.scoped(DataDir.acquire(path)))
    expect(error.message).toContain("elsewhere")
    expect(error.message).toContain(join(path, "lock.json"))
    expect(existsSync(join(path, "lock.json"))).toBe(true)
  })
)

it.live("a folder that cannot be made says so", () =>
  Effect.gen(function* () {
    const path = join(yield* folder, "file")
    writeFileSync(path, "")
    const error = yield* Effect.flip(Effect.scoped(DataDir.acquire(join(path, "data"))))
    expect(error.message).toContain("cannot be written")
    expect(error.message).toContain("DATA_DIR")
  })
)

it.live("of processes that start at once on a dead one's folder exactly one has it", () =>
  Effect.gen(function* () {
    const path = yield* folder
    mkdirSync(path, { recursive: true })
    yield* leave(path, JSON.stringify(dead))
    const children = Array.from({ length: 3 }, () =>
      Bun.spawn(["bun", join(import.meta.dir, "locker.ts"), path], { stdin: "pipe", stdout: "pipe", stderr: "inherit" })
    )
    const readers = children.map(({ stdout }) => stdout.getReader())
    const words = yield* Effect.promise(() => Promise.all(readers.map((reader) => reader.read())))
    const said = words.map(({ value }) => new TextDecoder().decode(value).trim())
    expect(said.filter((word) => word === "mine").length).toBe(1)
    const winner = (JSON.parse(readFileSync(join(path, "lock.json"), "utf8")) as DataDir.Holder).pid
    expect(said.filter((word) => word.includes(`process ${winner}`)).length).toBe(2)
    for (const child of children) child.stdin.end()
    yield* Effect.promise(() => Promise.all(children.map(({ exited }) => exited)))
    expect(readdirSync(path)).toEqual([])
  })
)
