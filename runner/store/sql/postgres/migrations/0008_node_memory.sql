-- Version 8: a node says how much memory its attempts may have together.

ALTER TABLE nodes ADD COLUMN memory_bytes bigint NOT NULL DEFAULT 0;
