-- Copying a store whole, and checking it.

-- name: copy_source
SELECT source FROM copying WHERE one = 1;

-- name: forget_schedules
DELETE FROM schedules;

-- name: forget_queues
DELETE FROM queues;

-- name: begin_copy
INSERT INTO copying (one, source) VALUES (1, $1);

-- name: end_copy
DELETE FROM copying WHERE one = 1;

-- name: last_numbers
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('runs', 'seq')::regclass), 0) AS seq,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence('attempts', 'fence')::regclass), 0) AS fence;

-- name: put_numbers
SELECT setval(pg_get_serial_sequence('runs', 'seq')::regclass, greatest($1::bigint, 1), $1 > 0),
    setval(pg_get_serial_sequence('attempts', 'fence')::regclass, greatest($2::bigint, 1), $2 > 0);
