import * as Effect from "effect/Effect"

/** Wakes one listener. Rung while nobody listens, it is heard at once by the next who does; twice is once. */
export class Bell {
  private rung = false
  private resume: ((effect: Effect.Effect<void>) => void) | undefined

  ring(): void {
    const resume = this.resume
    if (resume === undefined) {
      this.rung = true
      return
    }
    this.resume = undefined
    resume(Effect.void)
  }

  readonly heard: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.rung) {
      this.rung = false
      return resume(Effect.void)
    }
    this.resume = resume
    return Effect.sync(() => {
      if (this.resume === resume) this.resume = undefined
    })
  })
}
