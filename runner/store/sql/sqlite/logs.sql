-- Logs; these run in the database of logs.

-- name: last_line
SELECT last_number FROM logs WHERE app = ? AND run = ?;

-- name: put_log
INSERT INTO logs (app, run, last_number, last_at) VALUES (:app, :run, :last_number, :last_at)
ON CONFLICT (app, run) DO UPDATE SET last_number = excluded.last_number, last_at = excluded.last_at;

-- name: insert_line
INSERT INTO log_lines (app, run, number, attempt, at, stream, level, text, continuation)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: lines_after
SELECT * FROM log_lines WHERE app = ? AND run = ? AND number > ? ORDER BY number LIMIT ?;

-- name: old_logs
SELECT app, run FROM logs INDEXED BY logs_by_age WHERE last_at < ? ORDER BY last_at LIMIT ?;

-- name: delete_lines
DELETE FROM log_lines WHERE app = :app AND run = :run AND number IN (
    SELECT number FROM log_lines WHERE app = :app AND run = :run LIMIT :limit
);

-- name: delete_log
DELETE FROM logs WHERE app = ? AND run = ?;
