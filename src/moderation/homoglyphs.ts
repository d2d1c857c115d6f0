/**
 * Letters of other scripts that look like a Latin one, by that Latin letter. Only what Unicode's compatibility
 * decomposition does not already turn into it (full width, circled, mathematical letters), and with case folded first.
 */
const lookAlikes: Readonly<Record<string, string>> = {
  a: "аɑαᴀ∂ªӕ🅰🅐🄰",
  b: "ьвβʙꮟᖯƀɓ🅱🅑🄱",
  c: "сϲᴄ¢ςƈ🅒🅲🄲",
  d: "ԁđɗᴅժ🅓🅳🄳",
  e: "еҽєεᴇɛ€ǝə🅔🅴🄴",
  f: "ғƒꜰϝք🅕🅵🄵",
  g: "ɡցɢǥɠ🅖🅶🄶",
  h: "һнհʜħ🅗🅷🄷",
  i: "іıɩιɪӏ¡🅘🅸🄸",
  j: "јϳᴊɉ🅙🅹🄹",
  k: "кκᴋƙ🅚🅺🄺",
  l: "ⅼʟłɭ🅛🅻🄻",
  m: "мᴍɱ🅜🅼🄼",
  n: "пηɴոռɲ🅝🅽🄽",
  o: "оοσᴏօøɵ🅞🅾🄾",
  p: "рρᴘƿ🅟🅿🄿",
  q: "ԛզɋ🅠🆀🅀",
  r: "гʀɾɼ🅡🆁🅁",
  s: "ѕꜱʂș🅢🆂🅂",
  t: "тτᴛŧƭ†🅣🆃🅃",
  u: "υսᴜμц🅤🆄🅄",
  v: "ѵνᴠ🅥🆅🅅",
  w: "ѡωԝᴡɯ🅦🆆🅆",
  x: "хχ×ⅹ🅧🆇🅇",
  y: "уүγʏ¥🅨🆈🅈",
  z: "ᴢʐżƶ🅩🆉🅉"
}

const regionalIndicatorA = 0x1f1e6

/** The Latin letter that a glyph is read as. */
export const homoglyphs: ReadonlyMap<string, string> = new Map([
  ...Object.entries(lookAlikes).flatMap(([letter, alike]) => Array.from(alike, (glyph) => [glyph, letter] as const)),
  ...Array.from(
    { length: 26 },
    (_, n) => [String.fromCodePoint(regionalIndicatorA + n), String.fromCharCode(97 + n)] as const
  )
])
