-- Version 6: an attempt keeps what its task raised, of the newest hundred.

ALTER TABLE attempts ADD COLUMN error TEXT;
