import fc from "fast-check"
import type { VirtualUser } from "./VirtualUser.ts"

/** What a plan knows of its users while it is generated and shrunk: who has signed up, and who has been in the queue. */
export interface Model {
  readonly signedUp: Set<number>
  readonly joined: Set<number>
  ran: number
}

/** The users of a plan, made when they sign up. */
export type World = ReadonlyArray<VirtualUser>

type Command = fc.AsyncCommand<Model, World>

/** A command only adds a step to its user's chain: users work beside each other, each in their own order. */
const command = (
  title: string,
  user: number,
  act: (world: World) => void,
  ready = (model: Model): boolean => model.signedUp.has(user),
  learn: (model: Model) => void = () => undefined
): Command => ({
  check: ready,
  run: async (model, world) => {
    model.ran++
    learn(model)
    act(world)
  },
  toString: () => `user ${user} ${title}`
})

const signUp = (user: number, withPassword: boolean): Command =>
  command(
    withPassword ? "signs up" : "comes in as a guest",
    user,
    (world) => world[user]!.signUp(withPassword),
    (model) => !model.signedUp.has(user),
    (model) => model.signedUp.add(user)
  )

const join = (user: number): Command =>
  command(
    "joins",
    user,
    (world) => world[user]!.join(),
    (model) => model.signedUp.has(user),
    (model) => model.joined.add(user)
  )

/** A command of somebody who has been in the queue. */
const simple = (title: string, act: (user: VirtualUser) => void) => (user: number) =>
  command(
    title,
    user,
    (world) => act(world[user]!),
    (model) => model.joined.has(user)
  )

/** Text as people write it, and as it breaks things: emoji, quotes, percent signs, right-to-left, line ends. */
const bodies = fc.oneof(
  fc.constantFrom("hi", '50% off? "yes"', "it's 🙂 👩‍👩‍👧", "שלום", "a\nb", "<b>&amp;</b>", "\\ ' ; --", "  spaces  "),
  fc.string({ minLength: 1, maxLength: 40, unit: "grapheme" }).filter((text) => text.trim() !== "")
)

/** The commands of a plan over `users` virtual users. */
export const commands = (users: number): Array<fc.Arbitrary<Command>> => {
  const user = fc.nat(users - 1)
  const sends = fc.tuple(user, bodies).map(([by, body]) =>
    command(
      `sends ${JSON.stringify(body)}`,
      by,
      (world) => world[by]!.send(body),
      (model) => model.joined.has(by)
    )
  )
  // A plan shrinks towards guests, who cost no password hash.
  const signUps = fc.tuple(user, fc.boolean()).map(([by, withPassword]) => signUp(by, withPassword))
  const blocks = fc
    .tuple(user, user)
    .filter(([by, whom]) => by !== whom)
    .map(([by, whom]) =>
      command(
        `blocks user ${whom}`,
        by,
        (world) => world[by]!.block(world[whom]!),
        (model) => model.signedUp.has(by) && model.signedUp.has(whom)
      )
    )
  return [
    signUps,
    signUps,
    user.map(join),
    user.map(join),
    user.map(simple("leaves the queue", (each) => each.leave())),
    sends,
    sends,
    sends,
    sends,
    sends,
    user.map(simple("sends the same again", (each) => each.resend())),
    blocks,
    user.map(simple("reads", (each) => each.read())),
    user.map(simple("loses the connection", (each) => each.drop())),
    user.map(simple("ends", (each) => each.end()))
  ]
}
