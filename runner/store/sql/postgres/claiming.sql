-- Handing out runs.

-- name: ripen
SELECT * FROM ripen($1, $2);

-- name: claim
SELECT * FROM claim($1, $2, $3, $4, $5, $6, $7, $8, $9, TRUE);

-- name: started
SELECT started($1);

-- name: open_attempts
SELECT runs.*, attempts.fence AS fence, attempts.number AS number, attempts.token AS token
FROM attempts JOIN runs ON runs.seq = attempts.run
WHERE attempts.finished_at IS NULL ORDER BY attempts.fence;

-- name: open_attempts_of_node
SELECT runs.*, attempts.fence AS fence, attempts.number AS number, attempts.token AS token
FROM attempts JOIN runs ON runs.seq = attempts.run
WHERE attempts.finished_at IS NULL AND attempts.node = $1 ORDER BY attempts.fence;
