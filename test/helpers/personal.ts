/** A database with people in it, under odd names, with every kind of tie between tables. */
export const PERSONAL = `
create schema "Mixed ""Case"" ünï";
create schema "select";
create type "select"."Größe" as enum ('klein', 'it''s "M"');
create domain "select".mail_address as varchar(80) check (value like '%_@_%');
create table customers (
  id bigint generated always as identity primary key,
  name text not null check (name <> ''),
  email "select".mail_address not null unique,
  phone varchar(20) unique,
  birth_date date,
  address text,
  ssn integer,
  balance numeric(12, 2) not null default 0 check (balance >= 0),
  "taxNumber" numeric(14, 3),
  last_ip inet,
  token uuid unique default gen_random_uuid(),
  password_hash bytea,
  notes jsonb,
  mail_sent_at timestamptz,
  "IBAN" char(22),
  comment "select"."Größe",
  email_length int generated always as (length(email)) stored,
  referred_by bigint references customers deferrable,
  active boolean not null default true
);
create index on customers (lower(name));
insert into customers (name, email, phone, birth_date, address, ssn, "taxNumber", last_ip, password_hash, notes, mail_sent_at, "IBAN", comment)
select 'Erika Personenname' || n, 'erika' || n || '@personal.test', '0171-555' || n, date '1970-01-01' + n, 'Geheimstraße ' || n,
  100000 + n, n * 1000 + 0.125, ('192.168.7.' || n % 250)::inet, decode(md5(n::text), 'hex'), jsonb_build_object('secret', 'Personenname' || n),
  '2026-01-01', 'DE' || lpad(n::text, 20, '7'), 'klein'
from generate_series(1, 5000) n;
update customers set referred_by = id - 7 where id > 7 and id % 4 = 0;
update customers set phone = null, address = '' where id % 10 = 0;

create table "select"."order" (
  tenant int, "no.""1""" int, customer bigint not null references customers, "group" "select"."Größe" not null default 'klein',
  amount int check (amount > 0), primary key (tenant, "no.""1""")
);
insert into "select"."order" select n % 3, n, 1 + n * 7 % 5000, case n % 2 when 0 then 'klein' else 'it''s "M"' end::"select"."Größe", n
from generate_series(1, 6000) n;
create table "Mixed ""Case"" ünï"."lines, of orders" (
  "Id" uuid primary key, tenant int, "order" int, "E-Mail" text references customers (email), what text,
  foreign key (tenant, "order") references "select"."order" match full
);
insert into "Mixed ""Case"" ünï"."lines, of orders"
select md5(n::text)::uuid, n % 3, n, case when n % 5 > 0 then 'erika' || (n % 5000 + 1) || '@personal.test' end, E'a "quoted"\\n, line\\t' || n
from generate_series(1, 6000) n;
insert into "Mixed ""Case"" ünï"."lines, of orders" values (md5('none')::uuid, null, null, null, '');

create table departments (id int primary key, head int, title text);
create table workers (id int primary key, department int not null references departments, first_name text, "lastName" text);
insert into departments select n, n, 'department ' || n from generate_series(1, 2000) n;
insert into workers select n, n + 2 * (n % 2) - 1, 'Erika', 'Personenname' || n from generate_series(1, 2000) n;
alter table departments add foreign key (head) references workers;

create table events (at date, id int, customer bigint references customers, message text, primary key (at, id)) partition by range (at);
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
create table "events 2026" (message text, customer bigint, id int not null, at date not null) ;
alter table events attach partition "events 2026" for values from ('2026-01-01') to ('2027-01-01');
create table events_rest partition of events default;
insert into events select date '2024-12-01' + n % 800, n, n % 5000 + 1, 'Personenname' || n from generate_series(1, 4000) n;
create table event_marks (at date, event int, mark smallint, foreign key (at, event) references events);
insert into event_marks select at, id, id % 9 from events;

create table loose (v int, w text);
insert into loose select n % 50, 'w' || n % 20 from generate_series(1, 3000) n;
create table "nothing at all" ();
insert into "nothing at all" default values;
create table few (id serial primary key, name text, note text);
insert into few (name, note) values ('kept as it is', 'Personenname');
create table broken (id int primary key, customer bigint);
insert into broken values (1, 1), (2, 99999), (3, 99999), (4, null);
alter table broken add foreign key (customer) references customers not valid;
create table inbox (email text not null, n int, primary key (email, n)) partition by hash (email);
create table inbox_0 partition of inbox for values with (modulus 2, remainder 0);
create table inbox_1 partition of inbox for values with (modulus 2, remainder 1);
insert into inbox select 'erika' || n || '@personal.test', n from generate_series(1, 400) n;
create table chain (id int primary key, before int);
insert into chain select n, case when n % 3 = 0 then 99999 when n % 7 > 0 then n - 1 end from generate_series(1, 3000) n;
alter table chain add foreign key (before) references chain not valid;
create extension citext;
create table logins (login citext primary key, mail_type text);
insert into logins select 'erika' || n || '@personal.test', 'work' from generate_series(1, 3000) n;
create table visits (n int primary key, who citext references logins);
insert into visits select n, upper('erika' || n || '@personal.test') from generate_series(1, 3000) n;
create extension postgres_fdw;
create server elsewhere foreign data wrapper postgres_fdw;
create user mapping for current_user server elsewhere options (user 'erika', password 'foreign-secret');
create foreign table afar (id int) server elsewhere;
create publication everything for all tables;
create table guarded (id int primary key, owner name);
insert into guarded values (1, 'a');
alter table guarded enable row level security;
create policy mine on guarded to "role, of personal" using (owner = current_user);
create materialized view totals as select customer, count(*) as orders from "select"."order" group by customer;
create view bare as select * from totals;
create materialized view largest as select max(orders) as orders from bare;
create sequence "odd ""seq" increment 5;
select nextval('"odd ""seq"'), nextval('"odd ""seq"');
select lo_from_bytea(0, 'Personenname');
analyze;
`;

/** None of it may be in a file of a fixture. */
export const NEVER = [
  'foreign-secret',
  'PERSONAL.TEST',
  'personal.test',
  'Personenname',
  '0171-555',
  'Geheim',
  '192.168.7.',
];

export const ROLE = 'role, of personal';
