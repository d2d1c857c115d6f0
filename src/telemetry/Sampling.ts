import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/**
 * The tracer, for this share of the traces (0 to 1). A root is decided by its trace id, so that every program of the
 * same trace decides alike; a child follows its parent. A span that is not sampled costs no more than its ids.
 */
export const sampled = (tracer: Tracer.Tracer, rate: number): Tracer.Tracer =>
  Tracer.make({
    context: tracer.context,
    span: (name, parent, context, links, startTime, kind, options) => {
      if (Option.isSome(parent) && !parent.value.sampled) {
        return new Unsampled(name, parent, context, kind, startTime, parent.value.traceId, parent.value.spanId)
      }
      const span = tracer.span(name, parent, context, links, startTime, kind, options)
      return Option.isSome(parent) || chosen(span.traceId, rate)
        ? span
        : new Unsampled(name, parent, context, kind, startTime, span.traceId, span.spanId)
    }
  })

/** The last 32 bits of the id, which are random in every scheme of trace ids, against the rate. */
const chosen = (traceId: string, rate: number): boolean => Number.parseInt(traceId.slice(-8), 16) < rate * 2 ** 32

/** A span nobody will see. It keeps the ids of what it stands in for, so that logs and headers still name the trace. */
class Unsampled implements Tracer.Span {
  readonly _tag = "Span"
  readonly sampled = false
  readonly attributes: ReadonlyMap<string, unknown> = none
  readonly links: ReadonlyArray<Tracer.SpanLink> = []
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Tracer.Span["context"]
  readonly kind: Tracer.SpanKind
  readonly traceId: string
  readonly spanId: string
  status: Tracer.SpanStatus

  constructor(
    name: string,
    parent: Option.Option<Tracer.AnySpan>,
    context: Tracer.Span["context"],
    kind: Tracer.SpanKind,
    startTime: bigint,
    traceId: string,
    spanId: string
  ) {
    this.name = name
    this.parent = parent
    this.context = context
    this.kind = kind
    this.traceId = traceId
    this.spanId = spanId
    this.status = { _tag: "Started", startTime }
  }

  end(endTime: bigint, exit: Parameters<Tracer.Span["end"]>[1]): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
  attribute(): void {}
  event(): void {}
  addLinks(): void {}
}

const none: ReadonlyMap<string, unknown> = new Map()
