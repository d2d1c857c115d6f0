import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Redis } from "ioredis"
import type { Change } from "../../src/store/Store.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"

/** Where Redis sends the keys that changed when the connection speaks RESP2. ioredis drops RESP3's own pushes. */
const channel = "__redis__:invalidate"

/** How often the connection that listens is asked whether it lives: a Redis that stands still closes nothing. */
const heartbeatMillis = 500

/** Between two tries to be told of changes, from the first to the longest: a proxy may not know the command at all. */
const retryMillis = { first: 100, longest: 5_000 }

/** Whoever follows waits this long at start to be told of changes; it goes on without when that takes longer. */
const followWaitMillis = 50

/**
 * One server that tells us of changed keys: the commands go through `data`, whose own changes are left out, and the
 * news come on `news`. Each new connection of either begins again with `Lost`.
 */
class TrackedNode {
  private readonly data: Redis
  private readonly news: Redis
  private readonly prefixes: ReadonlySet<string>
  private readonly onState: () => void
  private readonly heartbeat: ReturnType<typeof setInterval>
  private retry: ReturnType<typeof setTimeout> | undefined
  private newsId: string | undefined
  private attempt = 0
  private failures = 0
  following = false

  constructor(
    data: Redis,
    news: Redis,
    prefixes: ReadonlySet<string>,
    onKeys: (keys: ReadonlyArray<string> | undefined) => void,
    onState: () => void
  ) {
    this.data = data
    this.news = news
    this.prefixes = prefixes
    this.onState = onState
    // Without a listener an error event would end the process.
    news.on("error", () => undefined)
    news.on("close", this.onNewsClosed)
    news.on("ready", this.begin)
    news.on("messageBuffer", (_: Buffer, keys: ReadonlyArray<Buffer> | null) =>
      onKeys(keys === null ? undefined : keys.map(String))
    )
    data.on("close", this.lose)
    data.on("ready", this.begin)
    this.heartbeat = setInterval(() => {
      if (news.status === "ready") news.ping().catch(this.onSilence)
    }, heartbeatMillis)
    this.heartbeat.unref()
    // A cluster's client of one server connects at its first command only, which may be long in coming.
    for (const client of [data, news]) if (client.status === "wait") client.connect().catch(() => undefined)
  }

  close(): void {
    clearInterval(this.heartbeat)
    clearTimeout(this.retry)
    this.attempt = -1
    this.data.off("close", this.lose)
    this.data.off("ready", this.begin)
    this.news.off("close", this.onNewsClosed)
    this.news.disconnect()
  }

  /** Also when there is one prefix more: Redis takes prefixes only all at once or with those it has. */
  readonly begin = (): void => void this.track()

  private readonly lose = (): void => {
    if (!this.following) return
    this.following = false
    this.onState()
  }

  /** The connection may take its time to close: nobody at the other end does. */
  private readonly onSilence = (): void => {
    if (this.news.status !== "ready") return
    this.lose()
    this.news.disconnect(true)
  }

  private readonly onNewsClosed = (): void => {
    this.newsId = undefined
    this.lose()
  }

  private async track(): Promise<void> {
    if (this.attempt < 0) return
    const attempt = ++this.attempt
    this.lose()
    if (this.data.status !== "ready" || this.news.status !== "ready" || this.prefixes.size === 0) return
    try {
      // Its number must be asked before it listens: after that a RESP2 connection takes nothing else.
      this.newsId ??= await this.listen()
      const prefixes = [...this.prefixes].flatMap((prefix) => ["PREFIX", prefix])
      await this.data.call("CLIENT", "TRACKING", "OFF")
      await this.data.call("CLIENT", "TRACKING", "ON", "REDIRECT", this.newsId, "BCAST", "NOLOOP", ...prefixes)
      if (attempt !== this.attempt) return
      this.failures = 0
      this.following = true
      this.onState()
    } catch {
      if (attempt !== this.attempt) return
      // It may listen already, though the answer came too late, and would then not tell its number any more.
      if (this.newsId === undefined && this.news.status === "ready") this.news.disconnect(true)
      clearTimeout(this.retry)
      this.retry = setTimeout(this.begin, Math.min(retryMillis.first * 2 ** this.failures++, retryMillis.longest))
      this.retry.unref()
    }
  }

  private async listen(): Promise<string> {
    const id = String(await this.news.client("ID"))
    await this.news.subscribe(channel)
    return id
  }
}

interface Follower {
  readonly prefix: string
  readonly onChange: (change: Change) => void
}

/** The followers of this process, and every server whose changes they hear of. */
export class RedisTracking {
  private readonly open: (data: Redis) => Redis
  private readonly nodes = new Map<Redis, TrackedNode>()
  private readonly followers = new Set<Follower>()
  private readonly prefixes = new Set<string>()
  private readonly waiting = new Set<() => void>()
  private following = false

  /** `open` makes the connection on which news of the server behind `data` come. */
  constructor(open: (data: Redis) => Redis) {
    this.open = open
  }

  add(data: Redis): void {
    if (this.nodes.has(data)) return
    const node = new TrackedNode(data, this.open(data), this.prefixes, this.tell, this.update)
    this.nodes.set(data, node)
    this.update()
  }

  /** Forgets the servers that are not among these. */
  retain(all: ReadonlyArray<Redis>): void {
    const gone = [...this.nodes.keys()].filter((data) => !all.includes(data))
    for (const data of gone) {
      this.nodes.get(data)?.close()
      this.nodes.delete(data)
    }
    if (gone.length > 0) this.update(true)
  }

  close(): void {
    for (const node of this.nodes.values()) node.close()
    this.nodes.clear()
  }

  follow(prefix: string, onChange: (change: Change) => void): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        const follower = { prefix, onChange }
        this.followers.add(follower)
        const known = this.prefixes.has(prefix)
        this.prefixes.add(prefix)
        if (!known) for (const node of this.nodes.values()) node.begin()
        else if (this.following) onChange({ _tag: "Following" })
        return Effect.as(this.followed, follower)
      }),
      (follower) => Effect.sync(() => this.followers.delete(follower))
    )
  }

  /** Inside an acquisition nothing can be interrupted, so the wait ends itself. */
  private readonly followed: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.following) return resume(Effect.void)
    const done = () => {
      clearTimeout(timer)
      this.waiting.delete(done)
      resume(Effect.void)
    }
    const timer = setTimeout(done, followWaitMillis)
    this.waiting.add(done)
  })

  private readonly tell = (keys: ReadonlyArray<string> | undefined): void => {
    if (keys === undefined) return this.update(true)
    for (const { onChange, prefix } of this.followers) {
      const theirs = keys.filter((key) => key.startsWith(prefix))
      if (theirs.length > 0) onChange({ _tag: "Changed", keys: theirs })
    }
  }

  /** Followers hear of all servers or are told that they do not. `missed`: something went by unseen. */
  private readonly update = (missed: boolean = false): void => {
    const before = this.following
    this.following = this.nodes.size > 0 && [...this.nodes.values()].every(({ following }) => following)
    Metrics.storeFollowing.unsafeUpdate(this.following ? 1 : 0, [])
    const all = [...this.followers]
    if (before && (missed || !this.following)) for (const { onChange } of all) onChange({ _tag: "Lost" })
    if (this.following && (missed || !before)) for (const { onChange } of all) onChange({ _tag: "Following" })
    if (this.following) for (const done of this.waiting) done()
  }
}
