-- What "@." stands for is the schema: see migrate.go.
--
-- Names are bytea, because they are any bytes, and so that they sort by them. What
-- changes often is apart from what is written once, and is not indexed where it lies:
-- an update of a head touches no index.

CREATE TABLE @.heads (
	id          uuid PRIMARY KEY,
	version     bigint NOT NULL,
	seq         bigint NOT NULL,
	state       bytea NOT NULL,
	class       smallint NOT NULL, -- 0 queued, 1 working, 2 ended
	owner       bytea NOT NULL,
	lane        bytea NOT NULL,
	kind        bytea NOT NULL,
	labels      bytea NOT NULL,
	rank        integer NOT NULL, -- the complement of the priority, so that higher ones sort first
	turn        bigint NOT NULL,
	ready       boolean NOT NULL, -- has a row in ready
	attempt     bigint NOT NULL,
	worker      bytea NOT NULL,
	created     timestamptz,
	run_at      timestamptz,
	started     timestamptz,
	finished    timestamptz,
	expires     timestamptz,
	deadline    timestamptz,
	key         bytea,
	fingerprint bytea,
	note        bytea
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);
CREATE UNIQUE INDEX heads_key ON @.heads (owner, key) WHERE key IS NOT NULL;

CREATE TABLE @.specs (id uuid PRIMARY KEY, data bytea NOT NULL);
CREATE TABLE @.outcomes (id uuid PRIMARY KEY, data bytea NOT NULL);

CREATE TABLE @.events (
	pos   bigint PRIMARY KEY,
	id    uuid NOT NULL,
	seq   bigint NOT NULL,
	owner bytea NOT NULL,
	data  bytea NOT NULL
);
CREATE INDEX events_record ON @.events (id, seq);

-- The records that can be claimed, in the order in which they are.
CREATE TABLE @.ready (
	lane  bytea NOT NULL,
	rank  integer NOT NULL,
	turn  bigint NOT NULL,
	id    uuid NOT NULL,
	owner bytea NOT NULL,
	since timestamptz,
	PRIMARY KEY (lane, rank, turn, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ready_owner ON @.ready (owner, lane, rank, turn); -- of no use without an owner

-- The last turn of owners who have withdrawn a record that had it, whatever its sign.
CREATE TABLE @.withdrawn (
	lane  bytea NOT NULL,
	rank  integer NOT NULL,
	owner bytea NOT NULL,
	last  bigint NOT NULL,
	PRIMARY KEY (lane, rank, owner)
);

CREATE TABLE @.delayed (
	run_at timestamptz NOT NULL,
	id     uuid NOT NULL,
	PRIMARY KEY (run_at, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE @.deadlines (
	class smallint NOT NULL,
	at    timestamptz NOT NULL,
	id    uuid NOT NULL,
	PRIMARY KEY (class, at, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Numbers that are kept instead of counted: the ready records of each lane (kind 1) and
-- the pending deliveries (kind 2). Each is the sum of its slots; a process writes one slot,
-- so that processes do not wait for each other.
CREATE TABLE @.counts (
	kind smallint NOT NULL,
	name bytea NOT NULL,
	slot smallint NOT NULL,
	n    bigint NOT NULL,
	PRIMARY KEY (kind, name, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE @.paused (
	every boolean NOT NULL, -- all lanes, or the one named
	lane  bytea NOT NULL,
	PRIMARY KEY (every, lane)
);

CREATE TABLE @.deliveries (
	id       uuid NOT NULL,
	seq      bigint NOT NULL,
	endpoint bytea NOT NULL,
	url      bytea NOT NULL,
	state    bytea NOT NULL,
	attempt  bigint NOT NULL,
	due      timestamptz,
	until    timestamptz, -- the end of a lease, while another of the record is in front
	log      bytea,
	PRIMARY KEY (id, seq)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE @.bodies (
	id   uuid NOT NULL,
	seq  bigint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (id, seq)
);

-- The earliest pending delivery of each record. It can be sent now, or not before a time:
-- when it is due, or the lease of whoever is sending it ends.
CREATE TABLE @.fronts (
	id       uuid PRIMARY KEY,
	seq      bigint NOT NULL,
	endpoint bytea NOT NULL,
	at       timestamptz,
	leased   boolean NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX fronts_sendable ON @.fronts (endpoint, id) WHERE at IS NULL;
CREATE INDEX fronts_waiting ON @.fronts (leased, at, id) WHERE at IS NOT NULL;

-- Positions of the feed: see docs/adr/0031. A transaction takes blocks of 4096, after it
-- has announced that it will, and from where on.
CREATE SEQUENCE @.positions INCREMENT BY 4096 MINVALUE 4096 START 4096;
SELECT nextval('@.positions');

CREATE FUNCTION @.take_positions(class integer, blocks integer) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
	last bigint;
	got  bigint[];
BEGIN
	SELECT s.last_value INTO last FROM @.positions s;
	PERFORM pg_advisory_xact_lock_shared(class, ((last / 4096) % 2147483647)::integer);
	FOR i IN 1..blocks LOOP
		got := got || nextval('@.positions');
	END LOOP;
	RETURN got;
END $$;

-- The position below which no event can appear any more.
CREATE FUNCTION @.horizon(class integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	last   bigint;
	oldest bigint;
BEGIN
	SELECT s.last_value / 4096 INTO last FROM @.positions s;
	-- Who has announced later than "last" takes later ones, and does not matter.
	SELECT min(last - CASE WHEN x.ago < 1073741824 THEN x.ago ELSE 0 END) INTO oldest
	FROM pg_locks l, LATERAL (SELECT ((last - l.objid::bigint) % 2147483647 + 2147483647) % 2147483647 AS ago) x
	WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = class::oid AND l.granted
		AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
	RETURN (coalesce(oldest, last) + 1) * 4096;
END $$;

-- Takes deliveries endpoint by endpoint, from the one after "first" round to it again.
-- names are sorted; rooms says how many of each can be taken, others of any other one. What
-- has lost its body comes without one.
CREATE FUNCTION @.claim_deliveries(most integer, others integer, names bytea[], rooms integer[],
	bytes bigint, first bytea, lease interval)
RETURNS TABLE (id uuid, seq bigint, endpoint bytea, url bytea, attempt bigint, due timestamptz, log bytea, body bytea)
LANGUAGE plpgsql AS $$
DECLARE
	name   bytea[] := names;
	room   integer[] := rooms;
	named  integer := coalesce(array_length(names, 1), 0);
	p      integer;
	e      bytea;
	prev   bytea;
	m      integer;
	f      record;
	n      bigint;
	total  bigint := 0;
	ids    uuid[] := '{}';
	pass   integer := 1;
	due_at timestamptz := clock_timestamp();
BEGIN
	FOR i IN 0..1 LOOP
		FOR j IN 1..5 LOOP -- the rest is left to the next claims
			UPDATE @.fronts s SET at = NULL, leased = false
			WHERE s.id = ANY (ARRAY(
				SELECT w.id FROM @.fronts w WHERE w.leased = (i = 1) AND w.at <= due_at
				ORDER BY w.leased, w.at, w.id LIMIT 1000 FOR UPDATE SKIP LOCKED));
			GET DIAGNOSTICS n = ROW_COUNT;
			EXIT WHEN n < 1000;
		END LOOP;
	END LOOP;
	WHILE pass <= 2 LOOP
		p := 1;
		prev := CASE pass WHEN 1 THEN first END;
		LOOP
			EXIT WHEN coalesce(array_length(ids, 1), 0) >= most;
			IF others <= 0 THEN -- only those named can have room
				WHILE p <= named AND (room[p] <= 0 OR prev IS NOT NULL AND name[p] <= prev) LOOP
					p := p + 1;
				END LOOP;
				e := name[p]; -- NULL after the last one
			ELSIF prev IS NULL THEN
				SELECT s.endpoint INTO e FROM @.fronts s WHERE s.at IS NULL ORDER BY s.endpoint, s.id LIMIT 1;
			ELSE
				SELECT s.endpoint INTO e FROM @.fronts s WHERE s.at IS NULL AND s.endpoint > prev
				ORDER BY s.endpoint, s.id LIMIT 1;
			END IF;
			EXIT WHEN e IS NULL OR pass = 2 AND e > first;
			prev := e;
			WHILE p <= named AND name[p] < e LOOP
				p := p + 1;
			END LOOP;
			m := CASE WHEN p <= named AND name[p] = e THEN room[p] ELSE others END;
			CONTINUE WHEN m <= 0;
			FOR f IN
				SELECT s.id, s.seq FROM @.fronts s WHERE s.endpoint = e AND s.at IS NULL
				ORDER BY s.endpoint, s.id LIMIT least(m, most - coalesce(array_length(ids, 1), 0))
				FOR UPDATE SKIP LOCKED
			LOOP
				IF bytes > 0 THEN
					n := coalesce((SELECT octet_length(b.data) FROM @.bodies b WHERE b.id = f.id AND b.seq = f.seq), 0);
					IF array_length(ids, 1) > 0 AND total + n > bytes THEN
						pass := 3;
						EXIT;
					END IF;
					total := total + n;
				END IF;
				ids := ids || f.id;
			END LOOP;
			EXIT WHEN pass = 3;
		END LOOP;
		pass := pass + 1;
	END LOOP;
	IF ids = '{}' THEN
		RETURN;
	END IF;
	UPDATE @.fronts s SET at = clock_timestamp() + lease, leased = true WHERE s.id = ANY (ids);
	RETURN QUERY
		SELECT d.id, d.seq, d.endpoint, d.url, d.attempt, d.due, d.log, b.data
		FROM unnest(ids) WITH ORDINALITY u (id, n),
			LATERAL (SELECT s.seq FROM @.fronts s WHERE s.id = u.id OFFSET 0) s,
			LATERAL (SELECT * FROM @.deliveries d WHERE d.id = u.id AND d.seq = s.seq OFFSET 0) d
			LEFT JOIN LATERAL (SELECT b.data FROM @.bodies b WHERE b.id = u.id AND b.seq = s.seq OFFSET 0) b ON true
		ORDER BY u.n;
END $$;
