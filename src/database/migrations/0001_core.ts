/**
 * The core tables. States are small integers; their names stand in the domain module of the same concern.
 * Runs on PostgreSQL 15 and later, and on PGlite.
 */
export const core = /* sql */ `
create extension if not exists pg_trgm;

create table settings (key text primary key, value text not null);
insert into settings values ('cursor_secret', gen_random_uuid()::text || gen_random_uuid()::text);

create table users (
  id uuid primary key,
  handle text not null unique check (handle ~ '^[a-z0-9_]{3,24}$'),
  display_name text not null,
  bio text,
  interests text[] not null default '{}',
  languages text[] not null default '{en}',
  region text,
  email text,
  password_hash text,
  role smallint not null default 0 check (role between 0 and 2),
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index users_handle_trgm on users using gin (handle gin_trgm_ops);
create index users_display_name_trgm on users using gin (lower(display_name) gin_trgm_ops);
create index users_interests on users using gin (interests);

create table blocks (
  blocker_id uuid not null references users on delete cascade,
  blocked_id uuid not null references users on delete cascade,
  created_at timestamptz not null,
  primary key (blocker_id, blocked_id),
  check (blocker_id <> blocked_id)
);
create index blocks_blocked on blocks (blocked_id);

-- Claims of matches hold this lock shared from before they look at blocks until they commit (src/queuing/Claims.ts), so a
-- pair is either matched before the block is made or not at all.
create function blocks_await_claims() returns trigger language plpgsql as
  $$ begin perform pg_advisory_xact_lock(7301, 1); return null; end $$;
create trigger blocks_await_claims before insert on blocks
  for each statement execute function blocks_await_claims();

-- Only the SHA-256 of a token is kept. A row whose ended_at is null and expires_at lies ahead is a live session.
create table sessions (
  id uuid primary key,
  user_id uuid not null references users on delete cascade,
  token_hash bytea not null unique,
  created_at timestamptz not null,
  last_used_at timestamptz not null,
  expires_at timestamptz not null,
  absolute_expires_at timestamptz not null,
  user_agent text,
  ended_at timestamptz,
  end_reason text
);
create index sessions_live on sessions (user_id, last_used_at) where ended_at is null;

create table interactions (
  id uuid primary key,
  state smallint not null default 0 check (state in (0, 1)),
  last_seq integer not null default 0,
  started_at timestamptz not null,
  ended_at timestamptz,
  end_reason smallint
);

create table participants (
  interaction_id uuid not null references interactions on delete cascade,
  user_id uuid not null references users on delete cascade,
  joined_at timestamptz not null,
  left_at timestamptz,
  last_read_seq integer not null default 0,
  primary key (interaction_id, user_id)
);
create index participants_history on participants (user_id, joined_at desc, interaction_id desc);
create index participants_active on participants (user_id) where left_at is null;

create table tickets (
  id uuid primary key,
  user_id uuid not null references users on delete cascade,
  client_key text not null,
  state smallint not null default 0 check (state between 0 and 3),
  interests text[] not null,
  languages text[] not null,
  region text,
  created_at timestamptz not null,
  ended_at timestamptz,
  unique (user_id, client_key)
);
create unique index tickets_one_waiting on tickets (user_id) where state = 0;
create index tickets_waiting on tickets (created_at, id) where state = 0;
create index tickets_newest on tickets (user_id, created_at desc);

create table matches (
  id uuid primary key,
  interaction_id uuid not null unique references interactions on delete cascade,
  shared_interests text[] not null,
  level smallint not null,
  score double precision not null,
  created_at timestamptz not null
);
create index matches_created on matches (created_at);

-- The primary key makes a second match of a ticket impossible, whatever the nodes believe.
create table match_tickets (
  ticket_id uuid primary key references tickets on delete cascade,
  match_id uuid not null references matches on delete cascade
);
create index match_tickets_match on match_tickets (match_id);

create table messages (
  id uuid primary key,
  interaction_id uuid not null references interactions on delete cascade,
  seq integer not null,
  sender_id uuid references users on delete set null,
  client_key text not null,
  body text,
  body_hash bytea not null,
  state smallint not null default 0 check (state between 0 and 2),
  created_at timestamptz not null,
  -- Split at the separators of src/history/Words.ts first: the parser keeps URLs, hyphenated words and the like whole.
  search tsvector generated always as (to_tsvector('simple', regexp_replace(coalesce(body, ''),
    '[\\u0001-\\u002F\\u003A-\\u0040\\u005B-\\u0060\\u007B-\\u00A9\\u00AB-\\u00B1\\u00B4\\u00B6-\\u00B8\\u00BB\\u00BF\\u00D7\\u00F7\\u055A-\\u055F\\u0589\\u058A\\u05BE\\u05C0\\u05C3\\u05F3\\u05F4\\u060C\\u061B\\u061F\\u066A-\\u066D\\u06D4\\u0964\\u0965\\u2000-\\u206F\\u20A0-\\u20CF\\u2122\\u2190-\\u2BFF\\u3000-\\u3003\\u3008-\\u301F\\u3030\\u303D\\uFE00-\\uFE1F\\uFE30-\\uFE6F\\uFF01-\\uFF0F\\uFF1A-\\uFF20\\uFF3B-\\uFF40\\uFF5B-\\uFF65\\uFFFC\\uFFFD\\U0001F000-\\U0001FAFF\\U000E0000-\\U000E007F]+', ' ', 'g'))) stored,
  unique (interaction_id, seq),
  unique (interaction_id, sender_id, client_key)
);
create index messages_search on messages using gin (search);
create index messages_sender on messages (sender_id);

-- Every numbered event of an interaction, 1 to interactions.last_seq without gaps.
create table events (
  interaction_id uuid not null references interactions on delete cascade,
  seq integer not null,
  kind smallint not null check (kind between 1 and 4),
  message_id uuid references messages on delete cascade,
  user_id uuid references users on delete set null,
  created_at timestamptz not null,
  primary key (interaction_id, seq)
);

create table reports (
  id uuid primary key,
  reporter_id uuid references users on delete set null,
  subject_id uuid not null references users on delete cascade,
  message_id uuid references messages on delete set null,
  interaction_id uuid references interactions on delete set null,
  client_key text not null,
  reason text not null,
  details text,
  evidence text,
  state smallint not null default 0 check (state between 0 and 3),
  priority integer not null default 0,
  claimed_by uuid references users on delete set null,
  claimed_at timestamptz,
  created_at timestamptz not null,
  unique (reporter_id, client_key)
);
create unique index reports_once on reports
  (reporter_id, subject_id, coalesce(message_id, '00000000-0000-0000-0000-000000000000'::uuid),
   coalesce(interaction_id, '00000000-0000-0000-0000-000000000000'::uuid)) where state in (0, 1);
create index reports_queue on reports (state, priority desc, created_at, id);
create index reports_subject on reports (subject_id);

create table moderation_actions (
  id uuid primary key,
  actor_id uuid references users on delete set null,
  subject_id uuid not null references users on delete cascade,
  kind text not null,
  reason text not null,
  message_id uuid references messages on delete set null,
  interaction_id uuid references interactions on delete set null,
  report_id uuid references reports on delete set null,
  client_key text not null,
  starts_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  unique (actor_id, client_key)
);
create index moderation_actions_in_force on moderation_actions (subject_id, starts_at) where revoked_at is null;

-- Append only. hash = sha256(previous hash || the row's text); verifying the chain locates tampering.
create table audit_log (
  position bigint generated always as identity primary key,
  id uuid not null unique,
  actor_id uuid,
  verb text not null,
  target text not null,
  details jsonb not null default '{}',
  at timestamptz not null,
  hash text not null
);
create index audit_log_target on audit_log (target, position desc);
`
