-- What one process at a time does for all: see store.Shared.
CREATE TABLE @.offices (
	name   bytea PRIMARY KEY,
	holder bytea NOT NULL,
	until  timestamptz NOT NULL
) WITH (fillfactor = 50);
