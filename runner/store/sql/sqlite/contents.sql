-- Copying a store whole, and checking it.

-- name: copy_source
SELECT source FROM copying WHERE one = 1;

-- name: forget_schedules
DELETE FROM schedules;

-- name: forget_queues
DELETE FROM queues;

-- name: begin_copy
INSERT INTO copying (one, source) VALUES (1, ?);

-- name: end_copy
DELETE FROM copying WHERE one = 1;

-- name: last_numbers
SELECT name, seq FROM sqlite_sequence WHERE name IN ('runs', 'attempts');

-- name: forget_number
DELETE FROM sqlite_sequence WHERE name = ?;

-- name: put_number
INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?);
