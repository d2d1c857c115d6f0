import * as Context from "effect/Context"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** Says of a span that it begins a trace which `takesNext` has chosen. */
class Chosen extends Context.Reference<Chosen>()("@connect/Sampling/Chosen", { defaultValue: () => false }) {}

/** The context of such a span. */
export const chosen = Context.make(Chosen, true)

const samplers = new WeakMap<Tracer.Tracer, () => boolean>()

/** Whether a trace that would begin now with this tracer is taken, before any span of it is made. */
export const takesNext = (tracer: Tracer.Tracer): boolean => samplers.get(tracer)?.() ?? true

/**
 * The tracer, for this share of the traces (0 to 1) by `random` (0 to 1). A child follows its parent, whatever program it
 * came from. A span that is not sampled costs no more than an object.
 */
export const sampled = (tracer: Tracer.Tracer, rate: number, random: () => number): Tracer.Tracer => {
  const takes = (): boolean => random() < rate
  const made = Tracer.make({
    context: tracer.context,
    span: (name, parent, context, links, startTime, kind, options) => {
      const isTaken = Option.isSome(parent) ? parent.value.sampled : Context.get(context, Chosen) || takes()
      return isTaken
        ? tracer.span(name, parent, context, links, startTime, kind, options)
        : new Unsampled(name, parent, context, kind, startTime, random)
    }
  })
  samplers.set(made, takes)
  return made
}

const hex = (random: () => number, digits: number): string => {
  let text = ""
  while (text.length < digits)
    text += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0")
  return text
}

/** A span nobody will see. It has ids where logs or headers ask for them. */
class Unsampled implements Tracer.Span {
  readonly _tag = "Span"
  readonly sampled = false
  readonly attributes: ReadonlyMap<string, unknown> = none
  readonly links: ReadonlyArray<Tracer.SpanLink> = []
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Tracer.Span["context"]
  readonly kind: Tracer.SpanKind
  readonly random: () => number
  private ownTraceId: string | undefined
  private ownSpanId: string | undefined
  status: Tracer.SpanStatus

  constructor(
    name: string,
    parent: Option.Option<Tracer.AnySpan>,
    context: Tracer.Span["context"],
    kind: Tracer.SpanKind,
    startTime: bigint,
    random: () => number
  ) {
    this.name = name
    this.parent = parent
    this.context = context
    this.kind = kind
    this.random = random
    this.status = { _tag: "Started", startTime }
  }

  get traceId(): string {
    return Option.isSome(this.parent) ? this.parent.value.traceId : (this.ownTraceId ??= hex(this.random, 32))
  }

  get spanId(): string {
    return (this.ownSpanId ??= hex(this.random, 16))
  }

  end(endTime: bigint, exit: Parameters<Tracer.Span["end"]>[1]): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
  attribute(): void {}
  event(): void {}
  addLinks(): void {}
}

const none: ReadonlyMap<string, unknown> = new Map()
