"""The tables of a gallery in PostgreSQL: a schema of its own for each gallery.

A schema does what a partition for each gallery would do: a gallery's tables are rewritten, granted,
copied and dropped alone, and no statement needs the gallery's name. The table `facever.galleries`
lists them with the format of their tables.

The tables are those of SQLite, with the same meaning. Numbers of rows are allotted by the table
`numbers` within each change: the row of `changes` in it is also the lock of the gallery's writers,
so that change numbers have no gap. A person's metadata is the JSON text that was given; the column
`searchable` is derived from it by PostgreSQL, for the index that filters use.
"""

from facever.gallery.store.postgres.connection import PostgresConnection

FORMAT = 3
GALLERIES = "facever.galleries"
ALL_GALLERIES = """
CREATE SCHEMA facever;

CREATE TABLE facever.galleries (
    name text COLLATE "C" PRIMARY KEY,
    format integer NOT NULL
);
"""

_FROM_THE_BEGINNING = r"""
CREATE TABLE numbers (
    name text PRIMARY KEY,
    last bigint NOT NULL
);
INSERT INTO numbers
    VALUES ('changes', 0), ('people', 0), ('images', 0), ('templates', 0), ('audit', 0);

CREATE TABLE meta (
    key text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE changes (
    change bigint PRIMARY KEY,
    stamp text NOT NULL,
    time text COLLATE "C" NOT NULL,
    action text NOT NULL,
    people bigint NOT NULL,
    images bigint NOT NULL
);

CREATE TABLE people (
    person bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    metadata text NOT NULL DEFAULT '{}',
    created text NOT NULL,
    searchable jsonb NOT NULL
        GENERATED ALWAYS AS (replace(metadata, E'\\u0000', E'\\ufffd')::jsonb) STORED
);
CREATE INDEX people_by_metadata ON people USING gin (searchable);

CREATE TABLE images (
    image bigint PRIMARY KEY,
    person bigint NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    source text COLLATE "C",
    hash text COLLATE "C",
    enrolled text NOT NULL,
    norm double precision,
    quality double precision,
    vector bytea NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE images ALTER vector SET STORAGE EXTERNAL;
CREATE INDEX images_by_person ON images (person);
CREATE INDEX images_by_hash ON images USING hash (hash) WHERE hash IS NOT NULL;
CREATE INDEX images_by_source ON images USING hash (source) WHERE source IS NOT NULL;

CREATE TABLE image_checksums (
    image bigint PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    checksum bigint NOT NULL
);

CREATE TABLE photos (
    image bigint PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    landmarks text NOT NULL
);

CREATE TABLE templates (
    template bigint PRIMARY KEY,
    person bigint NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    vector bytea NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE templates ALTER vector SET STORAGE EXTERNAL;
CREATE INDEX templates_by_person ON templates (person);

CREATE TABLE template_checksums (
    template bigint PRIMARY KEY REFERENCES templates (template) ON DELETE CASCADE,
    checksum bigint NOT NULL
);

CREATE TABLE removed (
    entry bigint PRIMARY KEY,
    change bigint NOT NULL REFERENCES changes (change)
);
CREATE INDEX removed_by_change ON removed (change);

CREATE TABLE audit (
    entry bigint PRIMARY KEY,
    time text NOT NULL,
    action text NOT NULL,
    person text NOT NULL,
    images bigint NOT NULL,
    change bigint NOT NULL REFERENCES changes (change)
);
CREATE INDEX audit_by_person ON audit (person);

CREATE TABLE migrated (
    image bigint PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    norm double precision,
    vector bytea NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE migrated ALTER vector SET STORAGE EXTERNAL;

CREATE TABLE migrated_checksums (
    image bigint PRIMARY KEY REFERENCES migrated (image) ON DELETE CASCADE,
    checksum bigint NOT NULL
);

CREATE TABLE uses (
    use bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began text NOT NULL,
    ended text COLLATE "C" NOT NULL,
    caller text NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    person text COLLATE "C",
    score double precision,
    point text,
    fingerprint text NOT NULL,
    gallery text NOT NULL,
    change bigint NOT NULL,
    image text,
    request text NOT NULL
);
CREATE INDEX uses_by_person ON uses (person);
CREATE INDEX uses_by_end ON uses (ended);

CREATE TABLE uses_key (
    key bytea NOT NULL
);

CREATE TABLE operating_points (
    name text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL,
    point text NOT NULL,
    added text NOT NULL,
    checksum bigint NOT NULL
);

CREATE TABLE calibrations (
    name text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL,
    calibration text NOT NULL,
    added text NOT NULL,
    checksum bigint NOT NULL
);
"""

_SINCE_FORMAT_2 = """
ALTER TABLE images ADD COLUMN camera text COLLATE "C", ADD COLUMN taken text COLLATE "C";
CREATE INDEX images_by_camera ON images (camera, taken, person) WHERE camera IS NOT NULL;
CREATE INDEX images_by_time ON images (taken, person) WHERE taken IS NOT NULL;
"""

_SINCE_FORMAT_3 = """
CREATE TABLE crops (
    image bigint PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    alignment text NOT NULL,
    png bytea NOT NULL,
    checksum bigint NOT NULL
);
ALTER TABLE crops ALTER png SET STORAGE EXTERNAL;
"""

SCRIPTS = (_FROM_THE_BEGINNING, _SINCE_FORMAT_2, _SINCE_FORMAT_3)
"""What each format adds to the one before."""


def make_tables(db: PostgresConnection, format_: int = 0) -> None:
    """Create what the tables of a gallery of an older format do not have.

    Args:
        db: A connection in a transaction, with the gallery's schema as the current one.
        format_: Format of the tables; 0 for an empty schema.
    """
    db.run_script("".join(SCRIPTS[format_:]))
