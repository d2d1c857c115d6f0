/**
 * What actors keep: their last state, the messages that must not be lost, and their reminders. States are small
 * integers: actor_messages.state 0 PENDING 1 DONE 2 QUARANTINED.
 */
export const actors = /* sql */ `
-- owner is the activation that may write: a new one takes the row over, and the writes of the old one change nothing.
create table actor_states (
  actor text not null,
  id text not null,
  owner uuid not null,
  version bigint not null default 0,
  schema_version integer not null,
  state jsonb,
  updated_at timestamptz not null,
  primary key (actor, id)
);

create table actor_messages (
  position bigint generated always as identity primary key,
  actor text not null,
  id text not null,
  key text not null,
  tag text not null,
  payload jsonb not null,
  state smallint not null default 0 check (state between 0 and 2),
  attempts integer not null default 0,
  leased_until timestamptz not null,
  accepted_at timestamptz not null,
  done_at timestamptz,
  reply jsonb,
  failure text,
  unique (actor, id, key)
);
create index actor_messages_pending on actor_messages (leased_until, position) where state = 0;
create index actor_messages_done on actor_messages (done_at) where state = 1;
create index actor_messages_quarantined on actor_messages (position) where state = 2;

create table actor_reminders (
  actor text not null,
  id text not null,
  name text not null,
  tag text not null,
  payload jsonb not null,
  due_at timestamptz not null,
  every_millis double precision,
  attempts integer not null default 0,
  leased_until timestamptz not null default '-infinity',
  primary key (actor, id, name)
);
create index actor_reminders_due on actor_reminders (due_at);
`
