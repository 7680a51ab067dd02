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
    -- The last event up to n that made, renamed or deleted a space; 0 while there was none. Who remembers which space has
    -- a name forgets it when this moves.
    spaces_seq  bigint  NOT NULL,
    CONSTRAINT checkpoint_pkey PRIMARY KEY (singleton),
    CONSTRAINT checkpoint_singleton CHECK (singleton),
    CONSTRAINT checkpoint_n_not_negative CHECK (n >= 0),
    CONSTRAINT checkpoint_spaces_seq_in_range CHECK (spaces_seq BETWEEN 0 AND n),
    CONSTRAINT checkpoint_chain_is_sha256 CHECK (octet_length(chain) = 32)
);

CREATE TABLE nodes (
    node       text   COLLATE "C" NOT NULL,
    marker_id  uuid   NOT NULL,
    joined_seq bigint NOT NULL,
    -- The event that gave it its marker: that one, or the last that found it wiped.
    marker_seq bigint NOT NULL,
    CONSTRAINT nodes_pkey PRIMARY KEY (node)
);

-- How blobs are placed on the nodes. No row before something was said: then every blob is on every node.
CREATE TABLE placement (
    singleton boolean NOT NULL DEFAULT true,
    -- The event that said so.
    seq       bigint  NOT NULL,
    -- As the event has it.
    rules     jsonb   NOT NULL,
    CONSTRAINT placement_pkey PRIMARY KEY (singleton),
    CONSTRAINT placement_singleton CHECK (singleton)
);

CREATE TABLE spaces (
    space_id      uuid    NOT NULL,
    name          text    COLLATE "C" NOT NULL,
    created_seq   bigint  NOT NULL,
    -- None while it is there. What is in a deleted space stays as it is.
    deleted_seq   bigint,
    -- What retention keeps of each file: versions, and days; none is all, and for ever.
    keep_versions integer,
    keep_days     integer,
    CONSTRAINT spaces_pkey PRIMARY KEY (space_id)
);

-- A deleted space's name is free. Also how a space is found, so it is made with the tables.
CREATE UNIQUE INDEX spaces_name_key ON spaces (name) WHERE deleted_seq IS NULL;

-- Folders, roots included: a root has its space's id, and no name. Room in each page, since `entries` changes with each
-- file that comes or goes.
CREATE TABLE folders (
    folder_id   uuid   NOT NULL,
    space_id    uuid   NOT NULL,
    created_seq bigint NOT NULL,
    -- None while it is not deleted. What is in a deleted folder stays in it, under current names.
    deleted_seq bigint,
    -- Current names in it.
    entries     bigint NOT NULL,
    CONSTRAINT folders_pkey PRIMARY KEY (folder_id),
    CONSTRAINT folders_entries_not_negative CHECK (entries >= 0)
) WITH (fillfactor = 80);

-- What a name in a folder stands for, from one sequence up to, but without, another: moving a folder is two rows, however
-- much is in it. The primary key also answers what a name stood for at a past sequence: the row with the last `from_seq`
-- up to it, unless `to_seq` is up to it too.
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
    -- Its newest version: a tombstone while it is deleted.
    version_id  uuid   NOT NULL,
    created_seq bigint NOT NULL,
    -- The last event that touched it.
    changed_seq bigint NOT NULL,
    -- None while it is not deleted. A file in a deleted folder or space is not itself deleted.
    deleted_seq bigint,
    CONSTRAINT files_pkey PRIMARY KEY (file_id)
) WITH (fillfactor = 80);

CREATE TABLE versions (
    version_id     uuid        NOT NULL,
    file_id        uuid        NOT NULL,
    kind           text        COLLATE "C" NOT NULL,
    -- Its content; it stays named here when the version is pruned, but is not held by it any more.
    blob_id        uuid,
    -- Where the content comes from; in a tombstone, the version that was current before.
    source_version uuid,
    seq            bigint      NOT NULL,
    event_id       uuid        NOT NULL,
    content_type   text        COLLATE "C" NOT NULL,
    modified_at    timestamptz,
    -- Time of the event, by the clock of the gateway that took the change.
    created_at     timestamptz NOT NULL,
    actor          text        COLLATE "C" NOT NULL,
    -- The event that gave it up.
    pruned_seq     bigint,
    CONSTRAINT versions_pkey PRIMARY KEY (version_id),
    CONSTRAINT versions_kind_known CHECK (kind IN ('upload', 'copy', 'restore', 'undelete', 'tombstone')),
    CONSTRAINT versions_tombstone_has_no_content CHECK ((kind = 'tombstone') = (blob_id IS NULL))
);

CREATE TABLE blobs (
    blob_id         uuid        NOT NULL,
    -- Only there an upload may name it without sending its bytes.
    space_id        uuid        NOT NULL,
    size_bytes      bigint      NOT NULL,
    sha256          bytea       NOT NULL,
    -- Both or none: the digest of the list of slice digests, and how long a slice is.
    slices_sha256   bytea,
    slice_bytes     bigint,
    origin_node     text        COLLATE "C" NOT NULL,
    first_seq       bigint      NOT NULL,
    -- Time of the event that named it first.
    created_at      timestamptz NOT NULL,
    -- How many versions that are not pruned have it as their content.
    refs            bigint      NOT NULL,
    state           text        COLLATE "C" NOT NULL,
    -- The event that made it so.
    state_seq       bigint      NOT NULL,
    -- Time of the event since which no version names it.
    unreferenced_at timestamptz,
    CONSTRAINT blobs_pkey PRIMARY KEY (blob_id),
    CONSTRAINT blobs_size_not_negative CHECK (size_bytes >= 0),
    CONSTRAINT blobs_sha256_is_sha256 CHECK (octet_length(sha256) = 32),
    CONSTRAINT blobs_slices_sha256_is_sha256 CHECK (octet_length(slices_sha256) = 32),
    CONSTRAINT blobs_refs_not_negative CHECK (refs >= 0),
    CONSTRAINT blobs_state_known CHECK (state IN ('live', 'condemned', 'erasing', 'erased')),
    -- What a version names is there, and how long a blob is of no use is known.
    CONSTRAINT blobs_refs_are_to_live CHECK (refs = 0 OR state = 'live'),
    CONSTRAINT blobs_unreferenced_at_or_refs CHECK ((refs = 0) = (unreferenced_at IS NOT NULL))
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
    CONSTRAINT replicas_state_known CHECK (state IN ('pending', 'stored', 'parked', 'lost', 'erasing', 'erased'))
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

-- The journal, for people and for who watches a space: what happened, where, and the bytes that no version can decode.
CREATE TABLE events (
    seq       bigint NOT NULL,
    event_id  uuid,
    kind      text   COLLATE "C" NOT NULL,
    -- None for what concerns no space, and for a repeated event.
    space_id  uuid,
    -- Where it took effect or, when rejected, where it was meant to; and where a move or a copy started from.
    path      text   COLLATE "C",
    from_path text   COLLATE "C",
    file_id   uuid,
    outcome   text   COLLATE "C" NOT NULL,
    reason    text   COLLATE "C",
    raw       bytea  NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (seq),
    CONSTRAINT events_outcome_known CHECK (outcome IN ('applied', 'conflicted_copy', 'rejected', 'repeated'))
);

-- Which events name a blob or change how many versions have it: a file's history has also the copies of its content.
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

-- The same for what was there once. A listing at a past sequence merges the two: names that are current and began up to
-- it, and names that ended after it. Writing a name costs nothing for it, only closing one does. `to_seq` tells apart the
-- times that one name was given and taken away, however many there were, so that a page can begin between them.
CREATE INDEX IF NOT EXISTS names_past_idx
    ON names (parent_id, (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END), to_seq)
    WHERE to_seq IS NOT NULL;

-- From an item upwards to its path, also at a past sequence.
CREATE INDEX IF NOT EXISTS names_target_idx ON names (target_id, from_seq);

CREATE INDEX IF NOT EXISTS versions_file_idx ON versions (file_id, seq);

-- The trash of a space, by when it was put there.
CREATE INDEX IF NOT EXISTS files_trash_idx ON files (space_id, deleted_seq, file_id) WHERE deleted_seq IS NOT NULL;

CREATE INDEX IF NOT EXISTS folders_trash_idx ON folders (space_id, deleted_seq, folder_id)
    WHERE deleted_seq IS NOT NULL;

-- The files of a space that may have more than one version: most have one for ever, and retention need not look at them.
CREATE INDEX IF NOT EXISTS files_touched_idx ON files (space_id, file_id) WHERE changed_seq > created_seq;

-- Content that a space has already.
CREATE INDEX IF NOT EXISTS blobs_content_idx ON blobs (space_id, sha256) WHERE state = 'live';

-- Few rows at any time: what may be condemned one day, and what may be erased.
CREATE INDEX IF NOT EXISTS blobs_unreferenced_idx ON blobs (unreferenced_at) WHERE state = 'live' AND refs = 0;

CREATE INDEX IF NOT EXISTS blobs_condemned_idx ON blobs (state_seq) WHERE state = 'condemned';

CREATE INDEX IF NOT EXISTS events_space_idx ON events (space_id, seq) WHERE space_id IS NOT NULL;

CREATE INDEX IF NOT EXISTS events_file_idx ON events (file_id, seq) WHERE file_id IS NOT NULL;

-- Almost always empty: what cannot be decoded, so that counting it is cheap.
CREATE INDEX IF NOT EXISTS events_undecodable_idx ON events (seq) WHERE event_id IS NULL;

-- Few rows: which spaces had a name once.
CREATE INDEX IF NOT EXISTS events_space_names_idx ON events (seq)
    WHERE kind IN ('highwater.space.created.v1', 'highwater.space.renamed.v1');

-- Few rows at any time: what is still to be done, and what a person must look at.
CREATE INDEX IF NOT EXISTS replicas_pending_idx ON replicas (node, seq, blob_id) WHERE state = 'pending';

CREATE INDEX IF NOT EXISTS replicas_trouble_idx ON replicas (node, blob_id)
    WHERE state IN ('parked', 'lost') OR (state = 'erasing' AND reason IS NOT NULL);

CREATE INDEX IF NOT EXISTS replicas_erasing_idx ON replicas (node, seq) WHERE state = 'erasing';
