-- Storing new runs.

-- name: lock_queues
SELECT lock_queues($1, $2, $3, $4, $5, $6);

-- name: enqueue
SELECT places, opened FROM enqueue($1::json, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: run_by_id
SELECT * FROM runs WHERE app = $1 AND id = $2;

-- name: run_by_idempotency_key
SELECT * FROM runs WHERE app = $1 AND task = $2 AND scheduled_by = $3 AND idempotency_key = $4;

-- name: refresh_queues
-- The queues that have a lane open after it.
SELECT 1 FROM unnest($1::text[], $2::text[]) AS queue (app, name) WHERE refresh(app, name) IS NOT NULL;
