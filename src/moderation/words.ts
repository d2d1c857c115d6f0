/**
 * What the text rules look for, each as it is spelled without disguise: `Rules` finds every spelling with other letters,
 * digits, repeats, gaps or masks by itself. Words stand for their plural too. Vile on purpose: it is what people
 * are to be spared.
 */

const words = (list: string): ReadonlyArray<string> => list.split(/\s+/).filter((word) => word !== "")
const phrases = (list: string): ReadonlyArray<string> =>
  list
    .split(/[,\n]/)
    .map((phrase) => phrase.trim())
    .filter((phrase) => phrase !== "")

/** Words with no use but to degrade people for what they are. */
export const slurs = words(`
  nigger niggerish niglet nigg3r niggeroid sandnigger sandniggers timbernigger jigaboo jiggaboo pickaninny porchmonkey
  junglebunny kike kyke sheeny heeb wetback beaner spic spick towelhead raghead cameljockey sandmonkey
  muzzie muzrat gook zipperhead slanteye chinaman chingchong faggot fagot faggit faggy fagtard shemale
  carpetmuncher poofter prairienigger gyppo pikey dothead curryeater mudshark coonass groid shitskin mongoloid
  kanake judensau untermensch bougnoule youpin maricon sudaca tarlouze schwuchtel
`)

/** Degrading in one mouth, harmless in another: they count against a text only together with what is around them. */
export const ambiguous = words(`
  nigga nigguh niggah coon chink dyke fag jap paki negro darkie homo queer cripple retard retarded spaz tranny trannie injun
  gypo honky whitey whitetrash cholo halfbreed
`)

/** Coarse, and nobody's business but the two who talk. */
export const profanity = words(`
  fuck fucker fucked fucking fuckin fuk fck fkn motherfucker motherfuckin motherfucking shit shitty shitting bullshit
  bitch bitchy bitches cunt whore slut slutty twat pussy pussies cock cocksucker dickhead prick asshole arsehole
  ass arse bastard wanker bollocks jackass dumbass hoe thot skank tits dick puta puto pendejo cabron merde putain
  salope scheisse arschloch hurensohn caralho porra
`)

/** Before a slur they make it an attack on someone. */
export const attacks = phrases(`
  you, u, ur a, you a, you are a, you are such a, youre a, youre such a, you re a, you re such a, you little, fucking, fuckin, fukin, damn,
  goddamn, stupid, dumb, dirty, filthy, ugly, disgusting, worthless, nasty, lazy, greedy, bloody, kill, hate, i hate,
  i hate all, all you, all these, these, those, fuck, fuck you, fuck all, stfu, shut up, die, go die, burn, hang, lynch,
  little, fat, smelly, ass, bitch ass, lil
`)

/** What one would do to people, … */
export const violence = phrases(`
  kill, killing, gas, hang, lynch, shoot, burn, exterminate, murder, behead, slaughter, nuke, execute, deport and kill,
  get rid of, wipe out, genocide, rape, stone, bomb, castrate, sterilize, enslave
`)

/** … to how many of them, … */
export const everyone = phrases("all, the, these, those, every, all the, all of the, all these, all those, more")

/** … and to whom. Plain names of groups: harmless alone. */
export const groups = phrases(`
  jews, jew, blacks, black people, whites, white people, muslims, muslim, arabs, mexicans, immigrants, migrants, refugees,
  asians, chinese, indians, gays, gay people, homosexuals, lesbians, trans people, transgenders, trannies, queers, homos,
  christians, catholics, hindus, sikhs, gypsies, roma, latinos, hispanics, africans, women, feminists, disabled people,
  foreigners, infidels, negroes
`)

/** Contempt for a whole group. */
export const contempt = phrases(`
  i hate, i hate all, i hate the, i hate these, i hate those, i fucking hate, fuck the, fuck all, fuck all the, fuck these, fuck those, death to, death to all, death to the,
  no more, down with the
`)

/** Telling someone to die. */
export const selfHarm = phrases(`
  kys, go kill yourself, go kill urself, just kill yourself, please kill yourself, you should kill yourself,
  u should kill yourself, you need to kill yourself, go hang yourself, go die in a fire, kill yourself faggot,
  end your life already, nobody would miss you if you died, drink bleach and die, slit your wrists
`)

/** Slogans that call for it. */
export const slogans = phrases(`
  heil hitler, sieg heil, hitler was right, hitler did nothing wrong, gas the jews, white power, white pride worldwide,
  race war now, blood and soil, jews will not replace us, death to jews, death to israel, death to america,
  the final solution was right, kkk forever, join the kkk, subhuman scum
`)

/** What holds a listed word and means something else: a match inside one of these does not count. */
export const harmless = phrases(`
  dick van dyke, van dyke, van dyck, dick cheney, dick clark, dick tracy, dick grayson, dick wolf, moby dick, philip k dick,
  andy dick, dick butkus, dick vitale, dick sporting, dicks sporting, dick s sporting, spic and span, spick and span, maine coon, maine coons, gobbledy gook, gobbledygook, coon hound, coon dog, coon hounds,
  chink in the armor, chink in the armour, chinks in the armor, chink in his armor, chink in her armor, chink in their armor, chinks in their armor,
  negro league, negro leagues, united negro college fund, rio negro, cerro negro, montenegro, homo sapiens, homo erectus, homo habilis,
  queer eye, queer studies, queer theory, 
  pussy riot, pussy cat, pussycat, pussy willow, pussy willows, cock and bull, cock a doodle, scunthorpe, dyke march,
  mongoloid idiot, fag end, fag ends, cripple creek, kick ass, kickass, half assed, bad ass, badass, smart ass, jack ass, ass hat, flame retard, fire retard,
  hoe down, back hoe, garden hoe, grand slam, fuck yeah, shit creek, schitts creek, oh shit, holy shit,
  faggots and peas, white power supply, white power supplies, white power cable, white power cord, white power bank, white power strip,
  white power adapter, white power button, white power washer,
  kys og kram, kys og knus, knus og kys, kys mig, kys dig, kys ham, kys hende, kys til, kys fra, kys på, et kys, mange kys, store kys, stort kys
`)
