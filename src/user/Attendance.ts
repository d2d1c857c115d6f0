import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Field, Part, RequestContext, SubscriptionField } from "../graphql/Part.ts"
import { Presence } from "./Presence.ts"

const mapValues = <A>(record: Readonly<Record<string, A>>, change: (value: A) => A): Readonly<Record<string, A>> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))

/**
 * Makes a part count who is there: the viewer is connected while one of its subscriptions lasts, and each of its
 * mutations is a sign of life.
 */
export const counted: Effect.Effect<(part: Part) => Part, never, Presence> = Effect.map(Presence, (presence) => {
  const viewerId = (request: RequestContext) => Option.map(request.session, ({ userId }) => userId)

  const subscription = (field: SubscriptionField): SubscriptionField => ({
    ...field,
    subscribe: (args, request, wake) =>
      Effect.tap(field.subscribe(args, request, wake), () =>
        Option.match(viewerId(request), { onNone: () => Effect.void, onSome: presence.connected })
      )
  })

  const mutation = (field: Field): Field => ({
    ...field,
    resolve: (parent, args, request) => {
      const value = field.resolve(parent, args, request)
      return Option.match(viewerId(request), {
        onNone: () => value,
        onSome: (userId) =>
          Effect.zipRight(presence.touch(userId), Effect.isEffect(value) ? value : Effect.succeed(value))
      }) as ReturnType<Field["resolve"]>
    }
  })

  return (part) => ({
    ...part,
    ...(part.Subscription && { Subscription: mapValues(part.Subscription, subscription) }),
    ...(part.Mutation && { Mutation: mapValues(part.Mutation, mutation) })
  })
})
