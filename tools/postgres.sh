#!/usr/bin/env bash
# Starts a PostgreSQL server with pgvector for a person to try, and prints the address of a gallery.
#
#   tools/postgres.sh [FOLDER]       # FOLDER keeps the data, and is used again; else they are deleted
#
# It listens at a Unix socket only, lets every user of this machine in, and ends with Ctrl-C.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec python -m tests.postgres.trial "$@"
