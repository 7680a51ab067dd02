#!/bin/sh
# Writes what the query macros know of each query (crates/catalog/.sqlx), from a live Postgres.
#
#   DATABASE_URL=postgres://user@host:port/database crates/catalog/prepare.sh [FOLDER]
#
# The database must be empty. FOLDER (default: crates/catalog/.sqlx, whose files are replaced) must be empty or missing:
# `make lint` writes into a fresh one and compares. Needs psql and cargo, no sqlx-cli: the macros themselves write the
# files when SQLX_OFFLINE_DIR is set.
#
# Generation tables are named without a schema, as at run time: the search path decides, here the one in DATABASE_URL's
# options.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/.sqlx}
: "${DATABASE_URL:?must name an empty Postgres database}"

{
    echo 'CREATE SCHEMA highwater;'
    cat "$here"/migrations/*.sql
    echo 'CREATE SCHEMA highwater_g1; SET search_path TO highwater_g1;'
    cat "$here"/src/generation.sql
} | psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --single-transaction "$DATABASE_URL" >/dev/null

# Nothing is replaced before all of it is there.
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
case $DATABASE_URL in
    *\?*) separator='&' ;;
    *) separator='?' ;;
esac
DATABASE_URL="$DATABASE_URL${separator}options=-c%20search_path%3Dhighwater_g1"
SQLX_OFFLINE=false
SQLX_OFFLINE_DIR=$fresh
export DATABASE_URL SQLX_OFFLINE SQLX_OFFLINE_DIR

# Cargo does not see what the macros read: the crate must be compiled again. With the whole workspace: alone the crate has
# libraries with fewer features, which would all be compiled for this only.
touch "$here/src/lib.rs"
cargo check --quiet --manifest-path "$here/../../Cargo.toml" --workspace --lib
# And once more, so that nobody takes over a build that was checked against this database.
touch "$here/src/lib.rs"

mkdir -p "$out"
ls "$fresh"/query-*.json >/dev/null
if [ $# -eq 0 ]; then
    rm -f "$out"/query-*.json
fi
cp "$fresh"/query-*.json "$out"
