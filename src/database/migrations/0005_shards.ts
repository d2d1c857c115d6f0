/**
 * The shard of a durable message's actor, so that each node of a cluster takes its own: FNV-1a of the id, as
 * src/actor/Shard.ts has it. What is done already is not looked for any more and stays without.
 */
export const shards = /* sql */ `
alter table actor_messages add column shard smallint not null default 0;

do $$
declare
  message record;
  hash bigint;
begin
  for message in select position, id from actor_messages where state <> 1 loop
    hash := 2166136261;
    for i in 1..length(message.id) loop
      hash := ((hash # ascii(substr(message.id, i, 1))) * 16777619) & 4294967295;
    end loop;
    update actor_messages set shard = hash % 300 + 1 where position = message.position;
  end loop;
end $$;
`
