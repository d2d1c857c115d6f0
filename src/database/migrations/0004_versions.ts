/** The schema version of a durable message or a reminder, so that a later program can bring its payload forward. */
export const versions = /* sql */ `
alter table actor_messages add column schema_version integer not null default 1;
alter table actor_reminders add column schema_version integer not null default 1;
`
