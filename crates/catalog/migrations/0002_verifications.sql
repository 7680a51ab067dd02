-- What verifying a generation has found: folding the journal again and comparing every row. It is said of the generation, so
-- that it goes away with it, and every projector knows when the next one is due.

ALTER TABLE highwater.generations
    -- When the last attempt ended, with a result or without.
    ADD COLUMN verify_tried_at    timestamptz,
    -- Attempts since the last result that came to none.
    ADD COLUMN verify_failures    integer NOT NULL DEFAULT 0,
    -- The last result: when, up to which event, rows compared, how many of them differ, and how long it took.
    ADD COLUMN verified_at        timestamptz,
    ADD COLUMN verified_seq       bigint,
    ADD COLUMN verified_rows      bigint,
    ADD COLUMN verified_differing bigint,
    ADD COLUMN verified_seconds   double precision;
