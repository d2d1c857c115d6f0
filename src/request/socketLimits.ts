/** Sockets of this process; more are refused with 503. */
export const socketsMax = 20_000
/** Operations in progress on one socket, subscriptions included. */
export const operationsPerSocketMax = 100
/** A longer message closes its socket (1009). */
export const messageBytesMax = 131_072
/** What waits for a slow reader. Above the first, its subscriptions wait; above the second it is cut off. */
export const sendBufferHighBytes = 65_536
export const sendBufferBytesMax = 1_048_576
/** A socket that has not said connection_init by then is closed (4408). */
export const initTimeoutMillis = 3_000
/** How often sessions of open sockets are looked at again once they have run out. */
export const expiryCheckInterval = "30 seconds"

/** Close codes: of graphql-transport-ws, and 1012 and 1013 of WebSocket itself. */
export const closeCodes = {
  badRequest: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  internal: 4500,
  restart: 1012,
  tryLater: 1013
} as const
/** A socket on which nothing moves for this long, pings included, is closed. */
export const idleSeconds = 60

/** How often a stream of events says that it is still there, and how long its reader may take nothing. */
export const pingInterval = "15 seconds"
export const stallMillisMax = 30_000
