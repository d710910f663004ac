-- Queues, for those who look after them.

-- name: queues_in_order
SELECT * FROM queues WHERE (app, name) > ($1, $2) ORDER BY app, name LIMIT $3;

-- name: update_queue_rule
UPDATE queues SET concurrency = $3, strict = $4, interval_us = $5::bigint, rate = $6,
    opens_at = CASE WHEN $5::bigint = 0 THEN NULL ELSE opens_at END
WHERE app = $1 AND name = $2;

-- name: lock_queue
SELECT 1 FROM queues WHERE app = $1 AND name = $2 FOR UPDATE;

-- name: refresh
SELECT refresh($1, $2);

-- name: pause_queue
UPDATE queues SET paused_at = coalesce(paused_at, $3) WHERE app = $1 AND name = $2;

-- name: resume_queue
UPDATE queues SET paused_at = NULL WHERE app = $1 AND name = $2;

-- name: holders_of_queues
SELECT holders.queue, runs.id, runs.task, runs.status, holders.slot, holders.since
FROM holders JOIN runs ON runs.seq = holders.run
WHERE holders.app = $1 AND holders.queue = ANY ($2) ORDER BY holders.queue, slot;

-- name: release_retrying
DELETE FROM holders WHERE app = $1 AND queue = $2 AND (SELECT status FROM runs WHERE seq = run) <> 'running' RETURNING run;

-- name: queues_by_name
SELECT * FROM queues WHERE app = $1 AND name = ANY ($2);

-- name: queues_after
SELECT * FROM queues WHERE app = $1 AND name > $2 ORDER BY name LIMIT $3;

-- name: waiting_and_scheduled
SELECT queue, sum(ready)::bigint AS waiting, sum(later)::bigint AS scheduled
FROM lanes WHERE app = $1 AND queue = ANY ($2) GROUP BY queue;
