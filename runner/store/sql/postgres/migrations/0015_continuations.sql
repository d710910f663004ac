-- Version 15: a line may be the continuation of the one before it, which was long or slow to end.

ALTER TABLE log_lines ADD COLUMN continuation boolean NOT NULL DEFAULT FALSE;
