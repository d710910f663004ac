-- Storing new runs.

-- name: lock_queues
SELECT lock_queues($1, $2, $3, $4, $5, $6);

-- name: insert_runs
INSERT INTO runs (
    app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of, schedule,
    retry, timeout_s, created_at, due_at, expires_at
)
SELECT app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of,
    schedule, retry, timeout_s, created_at, due_at, expires_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::bigint[], $8::text[], $9::text[],
    $10::bytea[], $11::text[], $12::text[], $13::text[], $14::text[], $15::double precision[], $16::bigint[],
    $17::bigint[], $18::bigint[]
) WITH ORDINALITY AS new (
    app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of, schedule,
    retry, timeout_s, created_at, due_at, expires_at, place
)
ORDER BY place
ON CONFLICT DO NOTHING
RETURNING app, id, task, seq;

-- name: insert_parameters
INSERT INTO run_parameters (run, parameters) SELECT * FROM unnest($1::bigint[], $2::text[]);

-- name: run_by_id
SELECT * FROM runs WHERE app = $1 AND id = $2;

-- name: run_by_idempotency_key
SELECT * FROM runs WHERE app = $1 AND task = $2 AND idempotency_key = $3;

-- name: refresh_queues
-- The queues that have a lane open after it.
SELECT 1 FROM unnest($1::text[], $2::text[]) AS queue (app, name) WHERE refresh(app, name) IS NOT NULL;

-- name: count_children
UPDATE runs SET children = children + $3 WHERE app = $1 AND id = $2 RETURNING children;

-- name: waiting_in_apps
SELECT app, sum(runs)::bigint AS waiting FROM totals
WHERE app = ANY ($1) AND status IN ('scheduled', 'queued', 'retrying', 'waiting') GROUP BY app;

-- name: waiting_in_queues
SELECT app, queue AS name, sum(ready + later)::bigint AS waiting FROM lanes
WHERE (app, queue) IN (SELECT * FROM unnest($1::text[], $2::text[])) GROUP BY app, queue;

-- name: waiting_in_tasks
SELECT app, task AS name, sum(runs)::bigint AS waiting FROM totals
WHERE (app, task) IN (SELECT * FROM unnest($1::text[], $2::text[]))
    AND status IN ('scheduled', 'queued', 'retrying', 'waiting')
GROUP BY app, task;
