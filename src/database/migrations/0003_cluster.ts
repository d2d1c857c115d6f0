/**
 * The tables of @effect/cluster's runner storage, as it would make them itself: two nodes that do it at the same time kill
 * each other, under the migrations' lock they cannot.
 */
export const cluster = /* sql */ `
create table if not exists cluster_runners (
  machine_id serial primary key,
  address varchar(255) not null,
  runner text not null,
  healthy boolean not null default true,
  last_heartbeat timestamp not null default now(),
  unique (address)
);

create table if not exists cluster_locks (
  shard_id varchar(50) primary key,
  address varchar(255) not null,
  acquired_at timestamp not null
);
`
