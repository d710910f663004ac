-- Version 4: a run knows whose run scheduled it, the first of its chain of repeats, and when it was first due.

ALTER TABLE runs ADD COLUMN scheduled_by TEXT NOT NULL DEFAULT '';  -- the task whose run scheduled it, '' for outside
ALTER TABLE runs ADD COLUMN root TEXT;  -- the first run of its chain of repeats, NULL where that is itself
ALTER TABLE runs ADD COLUMN first_due_at INTEGER;  -- set once `due_at` is that of a later attempt

UPDATE runs SET scheduled_by = coalesce(
    (SELECT task FROM runs AS parents WHERE parents.app = runs.app AND parents.id = runs.parent), ''
)
WHERE parent IS NOT NULL;
-- Nobody was told of a root before: that a repeat of a repeat takes the run before it for the first harms nobody.
UPDATE runs SET root = replay_of WHERE replay_of IS NOT NULL;

-- A key counts for each task that schedules, and for all of outside together.
DROP INDEX runs_idempotency;
CREATE UNIQUE INDEX runs_idempotency ON runs (app, task, scheduled_by, idempotency_key)
WHERE idempotency_key IS NOT NULL;
-- To count what one task has waiting.
CREATE INDEX runs_waiting_by ON runs (app, scheduled_by, queue, task) WHERE ready IS NOT NULL AND scheduled_by <> '';
