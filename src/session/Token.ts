import { hash as oneShot, randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"

/** 256 random bits of the operating system as 43 characters of base64url: never from Random, which can be predicted. */
export const make: Effect.Effect<string> = Effect.sync(() => randomBytes(32).toString("base64url"))

const form = /^[A-Za-z0-9_-]{43}$/

/** Whether it can be a token at all; one that cannot is refused without a lookup. */
export const wellFormed = (token: string): boolean => form.test(token)

/** SHA-256 of the token's text in base64url: the only trace of a token that is kept. */
export const hash = (token: string): string => oneShot("sha256", token, "base64url")

/** The hash as the database holds it. */
export const bytes = (hashed: string): Uint8Array => Buffer.from(hashed, "base64url")

export const fromBytes = (stored: Uint8Array): string => Buffer.from(stored).toString("base64url")

/** Between the hash's two texts; SQL reads hexadecimal. */
export const toHex = (hashed: string): string => Buffer.from(hashed, "base64url").toString("hex")

export const fromHex = (hex: string): string => Buffer.from(hex, "hex").toString("base64url")
