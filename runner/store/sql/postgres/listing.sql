-- Reading for people and programs; nothing here changes anything.

-- name: details
-- Runs with what belongs to them once; the latest first.
SELECT runs.*, run_parameters.parameters, run_responses.result, run_responses.error, run_responses.progress
FROM runs JOIN run_parameters ON run_parameters.run = runs.seq LEFT JOIN run_responses ON run_responses.run = runs.seq
WHERE runs.seq = ANY ($1::bigint[]) ORDER BY runs.seq DESC;

-- name: sizes
SELECT runs.seq, length(run_parameters.parameters) + coalesce(length(run_responses.result), 0) AS size
FROM runs JOIN run_parameters ON run_parameters.run = runs.seq LEFT JOIN run_responses ON run_responses.run = runs.seq
WHERE runs.seq = ANY ($1::bigint[]) ORDER BY runs.seq DESC;

-- name: attempts_of_runs
SELECT * FROM attempts WHERE run = ANY ($1::bigint[]) ORDER BY run, number;

-- name: totals_of_app
SELECT status, sum(runs)::bigint AS runs FROM totals WHERE app = $1 GROUP BY status HAVING sum(runs) > 0;

-- name: ancestors
WITH RECURSIVE line (seq, parent, depth) AS (
    SELECT seq, parent, 0 FROM runs WHERE app = $1 AND id = $2
    UNION ALL
    SELECT runs.seq, runs.parent, depth + 1 FROM line JOIN runs ON runs.app = $1 AND runs.id = line.parent
    WHERE depth < 10000
)
SELECT runs.* FROM line JOIN runs USING (seq) ORDER BY depth;
