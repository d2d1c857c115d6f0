import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { Handle } from "../domain/Profile.ts"

const words = (list: string): ReadonlyArray<string> => list.split(/\s+/).filter((word) => word !== "")

/** Names that people would take for the house's own voice. With a number behind them they still are. */
const official = new Set(
  words(
    "admin administrator administration moderator moderators moderation official realtimeconnect root staff support sysadmin system"
  )
)

/** Names that read as a placeholder or belong to a role. */
const reserved = new Set([
  ...official,
  ...words(
    `abuse account anonymous api bot connect contact deleted everyone graphql guest help here info legal me mod mods
     nobody noreply null operator owner postmaster privacy safety security service superuser team undefined unknown user
     viewer webmaster`
  )
])

const digits: Readonly<Record<string, string>> = { "0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t" }
const read = (text: string): string => text.replace(/[013457]/g, (digit) => digits[digit]!)

/** Whether a handle reads as a reserved name once underscores and look-alike digits are out of the way. */
export const isReserved = (handle: string): boolean => {
  const bare = handle.replaceAll("_", "")
  return (
    [bare, bare.replaceAll("1", "l")].some((name) => reserved.has(read(name))) ||
    official.has(read(bare.replace(/\d+$/, "")))
  )
}

/** A handle that someone may take. */
export const NewHandle = Handle.pipe(Schema.filter((handle) => !isReserved(handle) || "is reserved"))

const moods =
  words(`amber brave breezy bright calm candid cheery clever cosmic curious daring dreamy eager earnest fuzzy gentle
  golden happy hazel humble jolly keen kind lively lucky mellow merry mighty misty modest nimble noble patient plucky
  polite proud quick quiet rapid rosy rustic shiny silent silver sleepy smart snowy spry steady sunny swift tidy vivid
  warm whimsical wise witty zesty`)

const animals =
  words(`badger beaver bison bobcat camel condor coyote crane dingo dolphin eagle falcon ferret finch fox gazelle
  gecko gibbon goose hare hedgehog heron ibex iguana jackal jaguar kestrel kiwi koala lemur leopard lynx magpie marmot
  marten meerkat mole moose narwhal newt ocelot octopus oriole osprey otter owl panda pelican penguin puffin quail rabbit
  raven robin salmon seal sparrow stork swan tapir tiger toucan turtle walrus weasel whale wombat yak zebra`)

/** A made-up handle such as calm_otter_4821. Some 40 million of them: collisions are rare, and the caller tries again. */
export const made: Effect.Effect<string> = Effect.gen(function* () {
  const mood = moods[yield* Random.nextIntBetween(0, moods.length)]!
  const animal = animals[yield* Random.nextIntBetween(0, animals.length)]!
  const number = yield* Random.nextIntBetween(1_000, 10_000)
  return `${mood}_${animal}_${number}`
})
