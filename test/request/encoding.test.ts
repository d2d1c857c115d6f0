import { expect, test } from "bun:test"
import { negotiate } from "../../src/request/encoding.ts"

test("Accept-Encoding chooses by quality, then zstd before brotli before gzip", () => {
  const cases: ReadonlyArray<readonly [accept: string | undefined, chosen: string | undefined]> = [
    [undefined, undefined],
    ["", undefined],
    ["identity", undefined],
    ["gzip", "gzip"],
    ["gzip, deflate, br, zstd", "zstd"],
    ["gzip, deflate, br", "br"],
    ["gzip;q=1, br;q=0.5", "gzip"],
    ["GZIP;Q=0.5", "gzip"],
    ["zstd;q=0, br;q=0, gzip", "gzip"],
    ["*", "zstd"],
    ["*;q=0", undefined],
    ["*, zstd;q=0", "br"],
    ["gzip;q=0.5, identity;q=0.9", undefined],
    ["deflate", undefined],
    ["br;q=nonsense", undefined]
  ]
  for (const [accept, chosen] of cases) expect([accept, negotiate(accept)]).toEqual([accept, chosen as never])
})
