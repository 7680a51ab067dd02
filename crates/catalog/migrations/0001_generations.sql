-- What all generations of the catalog share. The schema `highwater` itself is made by the migrator, which keeps its own
-- table of applied migrations in it.
--
-- Nothing here comes from the journal: these rows say which build of the catalog is in use. What is folded from the
-- journal stands in the schemas `highwater_g<number>`, whose tables are in `src/generation.sql`.

-- One row for each build of the catalog that exists or existed. Numbers are never used again, so a reader that finds its
-- number retired knows that this is for good.
CREATE TABLE highwater.generations (
    number      integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    -- building: folded from the journal beside the active one; active: answers reads; retired: kept for differences only.
    state       text        COLLATE "C" NOT NULL,
    -- Which tables and columns the schema has. A program that expects others refuses it and asks for a rebuild.
    layout      integer     NOT NULL,
    -- The newest decision rules, and the types of events, that the fold which writes it knows. Events of other types are
    -- published only once they stand here, since a fold halts at an event that it does not know.
    rules       integer     NOT NULL,
    event_types text[]      COLLATE "C" NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- When the late indexes were made: a rebuild loads first.
    indexed_at  timestamptz,
    switched_at timestamptz,
    retired_at  timestamptz,
    CONSTRAINT generations_pkey PRIMARY KEY (number),
    CONSTRAINT generations_state_known CHECK (state IN ('building', 'active', 'retired'))
);

-- The one row that says which generation answers reads. Each save of a projector holds it FOR SHARE, a switch FOR UPDATE:
-- so a switch sees no half-saved batch, and a retired generation is never written again.
CREATE TABLE highwater.active (
    singleton   boolean NOT NULL DEFAULT true,
    -- Another value means that the database was dropped and made again: whoever remembers anything of the old one, such as
    -- ids of spaces, forgets it.
    catalog_id  uuid    NOT NULL DEFAULT gen_random_uuid(),
    -- None until the first generation has caught up with the journal: until then reads are unavailable, never empty.
    generation  integer,
    CONSTRAINT active_pkey PRIMARY KEY (singleton),
    CONSTRAINT active_singleton CHECK (singleton),
    CONSTRAINT active_generation_fkey FOREIGN KEY (generation) REFERENCES highwater.generations (number)
);

INSERT INTO highwater.active DEFAULT VALUES;
