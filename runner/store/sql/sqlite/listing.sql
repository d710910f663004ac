-- Reading for people and programs; nothing here changes anything.

-- name: detail
-- A run with what belongs to it once.
SELECT runs.*, run_parameters.parameters, run_responses.result, run_responses.error, run_responses.progress
FROM runs JOIN run_parameters ON run_parameters.run = runs.seq LEFT JOIN run_responses ON run_responses.run = runs.seq
WHERE runs.seq = ?;

-- name: size
SELECT length(parameters) + coalesce(length(result), 0)
FROM run_parameters LEFT JOIN run_responses USING (run) WHERE run_parameters.run = ?;

-- name: attempts_of_run
SELECT * FROM attempts WHERE run = ? ORDER BY number;

-- name: totals_of_app
SELECT status, runs FROM totals WHERE app = ? AND runs > 0;

-- name: ancestors
WITH RECURSIVE line (seq, parent, depth) AS (
    SELECT seq, parent, 0 FROM runs WHERE app = :app AND id = :run
    UNION ALL
    SELECT runs.seq, runs.parent, depth + 1 FROM line JOIN runs ON runs.app = :app AND runs.id = line.parent
    WHERE depth < 10000
)
SELECT runs.* FROM line JOIN runs USING (seq) ORDER BY depth;

-- name: running_by_node
SELECT node, count(*) AS runs FROM attempts INDEXED BY attempts_open WHERE finished_at IS NULL GROUP BY node;
