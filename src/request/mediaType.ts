/** The two media types of GraphQL over HTTP. They differ in the status of an answer that has errors and no data. */
export type MediaType = "application/graphql-response+json" | "application/json"

const json: MediaType = "application/json"
const response: MediaType = "application/graphql-response+json"

interface Range {
  readonly type: string
  readonly quality: number
}

const rangeOf = (text: string): Range => {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase())
  const quality = parameters.find((parameter) => parameter.startsWith("q="))
  return { type, quality: quality === undefined ? 1 : Number(quality.slice(2)) || 0 }
}

const offered = (type: string): MediaType | undefined => {
  if (type === response) return response
  return type === json || type === "*/*" || type === "application/*" ? json : undefined
}

/** What the Accept header likes best of the two; undefined when it takes neither. Without a header, application/json. */
export const negotiate = (accept: string | undefined): MediaType | undefined => {
  if (accept === undefined || accept === "" || accept === "*/*" || accept === json) return json
  if (accept === response) return response
  let best: { readonly mediaType: MediaType; readonly quality: number } | undefined
  for (const range of accept.split(",").map(rangeOf)) {
    const mediaType = offered(range.type)
    if (mediaType !== undefined && range.quality > (best?.quality ?? 0)) best = { mediaType, quality: range.quality }
  }
  return best?.mediaType
}
