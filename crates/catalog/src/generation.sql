-- The tables of one generation: everything here is folded from the journal, and nothing else is (no time of building, no
-- database-made id, no sequence), so that two builds can be compared row by row.
--
-- Applied by `ddl::create` with the search path on the generation's own schema, hence the unqualified names. No types of
-- its own (words are text with a CHECK) and no foreign keys (rows come from the fold, in batches, in any order; comparing
-- with a second fold finds what a foreign key would, and more). Text sorts by bytes.
-- Changing anything here means a new `LAYOUT` in generation.rs: the catalog is then rebuilt, not altered.

-- Up to where the journal is folded. One row, updated in the transaction that saves what was folded.
CREATE TABLE checkpoint (
    singleton   boolean NOT NULL DEFAULT true,
    incarnation uuid    NOT NULL,
    -- 0 before the first event.
    n           bigint  NOT NULL,
    -- The event at n; none at 0 and when its bytes cannot be decoded.
    event_id    uuid,
    -- Chain digest over all events up to n.
    chain       bytea   NOT NULL,
    CONSTRAINT checkpoint_pkey PRIMARY KEY (singleton),
    CONSTRAINT checkpoint_singleton CHECK (singleton),
    CONSTRAINT checkpoint_n_not_negative CHECK (n >= 0),
    CONSTRAINT checkpoint_chain_is_sha256 CHECK (octet_length(chain) = 32)
);

CREATE TABLE nodes (
    node       text   COLLATE "C" NOT NULL,
    marker_id  uuid   NOT NULL,
    joined_seq bigint NOT NULL,
    CONSTRAINT nodes_pkey PRIMARY KEY (node)
);

CREATE TABLE spaces (
    space_id    uuid   NOT NULL,
    name        text   COLLATE "C" NOT NULL,
    created_seq bigint NOT NULL,
    CONSTRAINT spaces_pkey PRIMARY KEY (space_id),
    CONSTRAINT spaces_name_key UNIQUE (name)
);

-- Folders below the roots; a root has its space's id and no row.
CREATE TABLE folders (
    folder_id   uuid   NOT NULL,
    space_id    uuid   NOT NULL,
    created_seq bigint NOT NULL,
    CONSTRAINT folders_pkey PRIMARY KEY (folder_id)
);

-- What a name in a folder stands for, from one sequence up to, but without, another: moving a folder is one row, and a
-- listing at any past sequence is the same query.
CREATE TABLE names (
    parent_id   uuid   NOT NULL,
    name        text   COLLATE "C" NOT NULL,
    from_seq    bigint NOT NULL,
    -- None while it is current.
    to_seq      bigint,
    target_kind text   COLLATE "C" NOT NULL,
    target_id   uuid   NOT NULL,
    CONSTRAINT names_pkey PRIMARY KEY (parent_id, name, from_seq),
    CONSTRAINT names_target_kind_known CHECK (target_kind IN ('file', 'folder')),
    CONSTRAINT names_interval_not_empty CHECK (to_seq > from_seq)
);

-- A name stands for one thing at a time; also how a path is resolved, so it is made with the tables.
CREATE UNIQUE INDEX names_current_key ON names (parent_id, name) WHERE to_seq IS NULL;

-- Room in each page for the row's next state: it then needs no new index entries.
CREATE TABLE files (
    file_id     uuid   NOT NULL,
    space_id    uuid   NOT NULL,
    version_id  uuid   NOT NULL,
    created_seq bigint NOT NULL,
    changed_seq bigint NOT NULL,
    CONSTRAINT files_pkey PRIMARY KEY (file_id)
) WITH (fillfactor = 80);

CREATE TABLE versions (
    version_id   uuid        NOT NULL,
    file_id      uuid        NOT NULL,
    blob_id      uuid        NOT NULL,
    seq          bigint      NOT NULL,
    event_id     uuid        NOT NULL,
    content_type text        COLLATE "C" NOT NULL,
    modified_at  timestamptz,
    -- Time of the event, by the clock of the gateway that took the upload.
    created_at   timestamptz NOT NULL,
    actor        text        COLLATE "C" NOT NULL,
    CONSTRAINT versions_pkey PRIMARY KEY (version_id)
);

CREATE TABLE blobs (
    blob_id       uuid        NOT NULL,
    size_bytes    bigint      NOT NULL,
    sha256        bytea       NOT NULL,
    -- Both or none: the digest of the list of slice digests, and how long a slice is.
    slices_sha256 bytea,
    slice_bytes   bigint,
    origin_node   text        COLLATE "C" NOT NULL,
    first_seq     bigint      NOT NULL,
    -- Time of the event that named it first.
    created_at    timestamptz NOT NULL,
    CONSTRAINT blobs_pkey PRIMARY KEY (blob_id),
    CONSTRAINT blobs_size_not_negative CHECK (size_bytes >= 0),
    CONSTRAINT blobs_sha256_is_sha256 CHECK (octet_length(sha256) = 32),
    CONSTRAINT blobs_slices_sha256_is_sha256 CHECK (octet_length(slices_sha256) = 32)
);

-- A blob on a node. A pair without a row is not placed.
CREATE TABLE replicas (
    blob_id   uuid    NOT NULL,
    node      text    COLLATE "C" NOT NULL,
    state     text    COLLATE "C" NOT NULL,
    -- The event that made it so.
    seq       bigint  NOT NULL,
    -- Reports of copies that an event before this one asked for do not count.
    fence_seq bigint  NOT NULL,
    attempts  integer NOT NULL,
    reason    text    COLLATE "C",
    CONSTRAINT replicas_pkey PRIMARY KEY (blob_id, node),
    CONSTRAINT replicas_state_known CHECK (state IN ('pending', 'stored', 'parked', 'lost'))
) WITH (fillfactor = 80);

-- The answer to each event, by its id: the first event with an id decides it for ever.
CREATE TABLE receipts (
    event_id    uuid   NOT NULL,
    seq         bigint NOT NULL,
    outcome     text   COLLATE "C" NOT NULL,
    reason      text   COLLATE "C",
    fingerprint bytea,
    space       text   COLLATE "C",
    path        text   COLLATE "C",
    file_id     uuid,
    version_id  uuid,
    blob_id     uuid,
    CONSTRAINT receipts_pkey PRIMARY KEY (event_id),
    CONSTRAINT receipts_outcome_known CHECK (outcome IN ('applied', 'conflicted_copy', 'rejected'))
);

-- The journal, for people: what happened to a file, and the bytes that no version can decode.
CREATE TABLE events (
    seq      bigint NOT NULL,
    event_id uuid,
    kind     text   COLLATE "C" NOT NULL,
    file_id  uuid,
    outcome  text   COLLATE "C" NOT NULL,
    reason   text   COLLATE "C",
    raw      bytea  NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (seq),
    CONSTRAINT events_outcome_known CHECK (outcome IN ('applied', 'conflicted_copy', 'rejected', 'repeated'))
);

-- Which events name a blob: a file's history has also the copies of its content.
CREATE TABLE event_blobs (
    blob_id uuid   NOT NULL,
    seq     bigint NOT NULL,
    CONSTRAINT event_blobs_pkey PRIMARY KEY (blob_id, seq)
);

-- LATE INDEXES: needed by readers only, so a rebuild makes them after loading. Whoever adds one writes IF NOT EXISTS,
-- since making them may be repeated.

-- Listings go in the byte order of whole paths: there, a folder's name sorts as if it ended in a slash.
CREATE INDEX IF NOT EXISTS names_listing_idx
    ON names (parent_id, (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END))
    WHERE to_seq IS NULL;

CREATE INDEX IF NOT EXISTS versions_file_idx ON versions (file_id, seq);

CREATE INDEX IF NOT EXISTS events_file_idx ON events (file_id, seq) WHERE file_id IS NOT NULL;

-- Almost always empty: what cannot be decoded, so that counting it is cheap.
CREATE INDEX IF NOT EXISTS events_undecodable_idx ON events (seq) WHERE event_id IS NULL;

-- Few rows at any time: what is still to be done, and what a person must look at.
CREATE INDEX IF NOT EXISTS replicas_pending_idx ON replicas (node, seq) WHERE state = 'pending';

CREATE INDEX IF NOT EXISTS replicas_trouble_idx ON replicas (node, state) WHERE state IN ('parked', 'lost');
