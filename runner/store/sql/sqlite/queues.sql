-- Queues, their lanes and what opens and shuts them.

-- name: has_queue
SELECT 1 FROM queues WHERE app = ? AND name = ?;

-- name: insert_queue
INSERT INTO queues (app, name, concurrency, strict, interval_us, rate)
VALUES (:app, :name, :concurrency, :strict, :interval_us, :rate);

-- name: all_queues
SELECT * FROM queues;

-- name: update_queue_rule
UPDATE queues SET concurrency = :concurrency, strict = :strict, interval_us = :interval_us, rate = :rate,
    opens_at = CASE WHEN :interval_us = 0 THEN NULL ELSE opens_at END
WHERE app = :app AND name = :name;

-- name: queue_gate
SELECT concurrency, strict, paused_at IS NULL AND opens_at IS NULL AS admits,
    (SELECT count(*) FROM holders WHERE holders.app = queues.app AND holders.queue = queues.name) AS held
FROM queues WHERE app = ? AND name = ?;

-- name: queue_head
-- The run that goes next: the best of the best of each lane. Only strict order stops at a task that cannot be loaded.
SELECT runs.task FROM lanes JOIN runs ON runs.seq = (
    SELECT seq FROM runs AS best
    WHERE best.app = lanes.app AND best.queue = lanes.queue AND best.task = lanes.task AND best.ready = 1
    ORDER BY priority DESC, seq LIMIT 1
)
WHERE lanes.app = :app AND lanes.queue = :queue AND lanes.ready > 0 AND (lanes.loadable = 1 OR :strict)
ORDER BY runs.priority DESC, runs.seq LIMIT 1;

-- name: ready_holder
-- A run that may start and has its slot already: one that retries in strict order.
SELECT runs.seq, runs.task FROM holders JOIN runs ON runs.seq = holders.run
WHERE holders.app = ? AND holders.queue = ? AND runs.ready = 1 LIMIT 1;

-- name: open_lane
UPDATE lanes SET open = (task IS :task) WHERE app = :app AND queue = :queue AND open <> (task IS :task);

-- name: delete_idle_queue
DELETE FROM queues
WHERE app = :app AND name = :name AND paused_at IS NULL AND opens_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM holders WHERE app = :app AND queue = :name)
    AND NOT EXISTS (SELECT 1 FROM lanes WHERE app = :app AND queue = :name);

-- name: pause_queue
UPDATE queues SET paused_at = coalesce(paused_at, :now) WHERE app = :app AND name = :name;

-- name: resume_queue
UPDATE queues SET paused_at = NULL WHERE app = ? AND name = ?;

-- name: holders_of_queue
SELECT runs.id, runs.task, runs.status, holders.slot, holders.since
FROM holders JOIN runs ON runs.seq = holders.run
WHERE holders.app = ? AND holders.queue = ? ORDER BY slot;

-- name: release_retrying
DELETE FROM holders WHERE app = ? AND queue = ? AND (SELECT status FROM runs WHERE seq = run) <> 'running';

-- name: announced_tasks
SELECT app, task FROM announced;

-- name: announce_task
INSERT INTO announced (app, task) VALUES (?, ?);

-- name: withdraw_task
DELETE FROM announced WHERE app = ? AND task = ?;

-- name: mark_loadable
UPDATE lanes SET loadable = :loadable
WHERE app = :app AND task = :task AND queue IN (
    SELECT queue FROM lanes INDEXED BY lanes_by_task
    WHERE app = :app AND task = :task AND loadable = 1 - :loadable LIMIT :limit
)
RETURNING queue;

-- name: queue_by_name
SELECT * FROM queues WHERE app = ? AND name = ?;

-- name: queues_after
SELECT * FROM queues WHERE app = ? AND name > ? ORDER BY name LIMIT ?;

-- name: waiting_and_scheduled
SELECT coalesce(sum(ready), 0), coalesce(sum(later), 0) FROM lanes WHERE app = ? AND queue = ?;
