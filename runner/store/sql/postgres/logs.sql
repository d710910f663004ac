-- Logs.

-- name: extend_log
-- The number after which the new lines begin; no row where this batch is stored already.
INSERT INTO logs (app, run, last_number, last_at, last_batch) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (app, run) DO UPDATE SET last_number = logs.last_number + excluded.last_number, last_at = excluded.last_at,
    last_batch = excluded.last_batch
WHERE logs.last_batch <> excluded.last_batch
RETURNING last_number;

-- name: insert_lines
INSERT INTO log_lines (app, run, number, attempt, at, stream, level, text, continuation)
SELECT $1, $2, $3 + place, attempt, at, stream, level, text, continuation
FROM unnest($4::integer[], $5::bigint[], $6::text[], $7::text[], $8::bytea[], $9::boolean[])
    WITH ORDINALITY AS new (attempt, at, stream, level, text, continuation, place);

-- name: lines_after
SELECT * FROM log_lines WHERE app = $1 AND run = $2 AND number > $3 ORDER BY number LIMIT $4;

-- name: old_logs
SELECT app, run FROM logs WHERE last_at < $1 ORDER BY last_at LIMIT $2;

-- name: delete_lines
-- Up to a number, and not `IN (…)`: that is a range of the index, whatever the planner believes of the table.
DELETE FROM log_lines WHERE app = $1 AND run = $2 AND number <= (
    SELECT max(number) FROM (
        SELECT number FROM log_lines WHERE app = $1 AND run = $2 ORDER BY number LIMIT $3
    ) AS first
)
RETURNING 1;

-- name: delete_log
DELETE FROM logs WHERE app = $1 AND run = $2;

-- name: logs_of
SELECT logs.app, logs.run FROM unnest($1::text[], $2::text[]) AS named (app, run) JOIN logs USING (app, run);
