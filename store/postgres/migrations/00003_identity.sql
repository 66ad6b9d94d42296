-- What tells this queue from others: see store.Identified.
CREATE TABLE @.identity (id text NOT NULL);
INSERT INTO @.identity VALUES (gen_random_uuid()::text);
