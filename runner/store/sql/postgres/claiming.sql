-- Handing out runs.

-- name: look
-- What there is to claim; the row without a task tells when there will be more.
SELECT NULL AS app, NULL AS task, next_instant() AS turn, NULL AS queue UNION ALL SELECT * FROM heads();

-- name: next_instant
SELECT next_instant();

-- name: ripen
SELECT * FROM ripen($1, $2);

-- name: start
SELECT * FROM start($1, $2, $3, $4, $5, $6, $7, $8);

-- name: started
SELECT runs.*, attempts.fence AS fence, attempts.number AS number, attempts.token AS token, run_parameters.parameters
FROM attempts JOIN runs ON runs.seq = attempts.run JOIN run_parameters ON run_parameters.run = runs.seq
WHERE attempts.token = ANY ($1) AND attempts.finished_at IS NULL;

-- name: open_attempts
SELECT runs.*, attempts.fence AS fence, attempts.number AS number, attempts.token AS token
FROM attempts JOIN runs ON runs.seq = attempts.run
WHERE attempts.finished_at IS NULL ORDER BY attempts.fence;

-- name: open_attempts_of_node
SELECT runs.*, attempts.fence AS fence, attempts.number AS number, attempts.token AS token
FROM attempts JOIN runs ON runs.seq = attempts.run
WHERE attempts.finished_at IS NULL AND attempts.node = $1 ORDER BY attempts.fence;
