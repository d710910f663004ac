-- Version 5: a run that is to wait for a while is told from one that is to wait for an instant.

ALTER TABLE runs ADD COLUMN delay_us INTEGER;  -- from `created_at` on; NULL where an instant was named
