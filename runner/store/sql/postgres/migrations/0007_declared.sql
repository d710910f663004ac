-- Version 7: a schedule knows when a node last told that its tasks declare it.

ALTER TABLE schedules ADD COLUMN declared_at bigint NOT NULL DEFAULT 0;
