-- Version 3: a schedule knows when a node last told that its tasks declare it.

ALTER TABLE schedules ADD COLUMN declared_at INTEGER NOT NULL DEFAULT 0;
