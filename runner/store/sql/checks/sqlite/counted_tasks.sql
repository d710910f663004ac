-- SQLite counts the lanes of tasks without a queue too.

-- name: lanes_counted
SELECT 'task ' || task || ' of app ' || app || ' counts ' || sum(ready) || ' ready and ' || sum(later)
    || ' later runs, and there are ' || sum(is_ready) || ' and ' || sum(is_later) AS problem
FROM (
    SELECT app, task, ready AS is_ready, 1 - ready AS is_later, 0 AS ready, 0 AS later
    FROM runs WHERE queue = '' AND ready IS NOT NULL
    UNION ALL
    SELECT app, task, 0, 0, ready, later FROM lanes WHERE queue = ''
)
GROUP BY app, task HAVING sum(ready) <> sum(is_ready) OR sum(later) <> sum(is_later) LIMIT 20;
