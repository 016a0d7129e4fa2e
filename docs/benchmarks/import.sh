#!/usr/bin/env bash
# Measures kohorta-import beside the databases' own loaders, and its memory. Prints a table of ratios.
#
#   docs/benchmarks/import.sh [ROWS] [ROUNDS]        default: 1000000 rows, 3 rounds, the best of each counts
#
# Needs `cargo build --release --bins --workspace`, PostgreSQL's programs, sqlite3 and GNU time. Everything happens in a temporary
# folder: a throw-away PostgreSQL cluster with its default durability, and SQLite files in WAL mode with synchronous=FULL.
#
# The loaders get every advantage: a file with times as integers, as the tables hold them, written by the database
# itself; one transaction; no validation, no duplicates to look for, no users, no sets.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

rows=${1:-1000000}
rounds=${2:-3}
import=${KOHORTA_IMPORT:-$PWD/target/release/kohorta-import}
work=$(mktemp -d /tmp/kohorta-import-bench.XXXXXX)
postgres_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
port=$((20000 + RANDOM % 20000))
url="postgres://postgres@127.0.0.1:$port"

main() {
    trap finish EXIT
    [ -x "$import" ] || { echo "$import is missing: cargo build --release --bins --workspace" >&2; exit 1; }
    chmod 755 "$work"
    start_postgres
    "$import" generate --events "$rows" --users $((rows / 20)) --days 90 --types 30 --seed 42 -o "$work/events.csv"
    echo "rows: $rows, bytes: $(stat -c %s "$work/events.csv"), machine: $(nproc) cores, $(date -u +%F)"
    measure_postgres
    measure_sqlite
    measure_memory
}

finish() {
    [ -z "${postgres_pid:-}" ] || kill -TERM "$postgres_pid" 2>/dev/null || true
    [ -z "${postgres_pid:-}" ] || wait "$postgres_pid" 2>/dev/null || true
    rm -rf "$work"
}

as_postgres() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

start_postgres() {
    mkdir "$work/cluster"
    [ "$(id -u)" != 0 ] || chown postgres "$work/cluster"
    as_postgres "$postgres_bin/initdb" -D "$work/cluster" -U postgres -A trust >/dev/null
    as_postgres "$postgres_bin/postgres" -D "$work/cluster" -p "$port" -k "$work/cluster" \
        -c listen_addresses=127.0.0.1 >"$work/postgres.log" 2>&1 &
    postgres_pid=$!
    until "$postgres_bin/pg_isready" -q -h 127.0.0.1 -p "$port"; do sleep 0.2; done
}

sql() { psql -q -X -v ON_ERROR_STOP=1 "$url/$1" -At -c "$2"; }

# Seconds that a command takes, whatever it prints.
seconds() {
    local from to
    from=$(date +%s.%N)
    "$@" >"$work/output" 2>&1 || { cat "$work/output" >&2; return 1; }
    to=$(date +%s.%N)
    awk "BEGIN { printf \"%.2f\", $to - $from }"
}

best() { printf '%s\n' "$@" | sort -n | head -1; }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }

report() {
    local name=$1 ours=$2 loader=$3 theirs=$4
    printf '| %s | %s s | %s rows/s | %s | %s s | %s rows/s | %s |\n' "$name" "$ours" "$(awk "BEGIN { printf \"%d\", $rows / $ours }")" \
        "$loader" "$theirs" "$(awk "BEGIN { printf \"%d\", $rows / $theirs }")" "$(ratio "$theirs" "$ours")"
}

measure_postgres() {
    local ours=() theirs=() again=() round
    for ((round = 0; round < rounds; round++)); do
        sql postgres "DROP DATABASE IF EXISTS kohorta" 2>/dev/null
        sql postgres "CREATE DATABASE kohorta"
        ours+=("$(seconds "$import" --quiet --database-url "$url/kohorta" "$work/events.csv")")
        again+=("$(seconds "$import" --quiet --database-url "$url/kohorta" "$work/events.csv")")
        if [ ! -e "$work/copy.csv" ]; then
            psql -q -X "$url/kohorta" -c "\\copy (SELECT event_id, user_id, event_type, occurred_at, properties, received_at FROM events ORDER BY occurred_at) TO '$work/copy.csv' CSV"
        fi
        sql postgres "DROP DATABASE IF EXISTS copied" 2>/dev/null
        sql postgres "CREATE DATABASE copied"
        "$postgres_bin/pg_dump" -s -t events "$url/kohorta" | psql -q -X "$url/copied" >/dev/null
        sql postgres "CHECKPOINT"
        theirs+=("$(seconds psql -q -X "$url/copied" -c "\\copy events (event_id, user_id, event_type, occurred_at, properties, received_at) FROM '$work/copy.csv' CSV")")
        sql postgres "CHECKPOINT"
    done
    report PostgreSQL "$(best "${ours[@]}")" 'psql \copy' "$(best "${theirs[@]}")"
    report 'PostgreSQL, again' "$(best "${again[@]}")" 'psql \copy' "$(best "${theirs[@]}")"
}

measure_sqlite() {
    local ours=() theirs=() again=() round
    for ((round = 0; round < rounds; round++)); do
        rm -f "$work"/ours.db* "$work"/theirs.db*
        ours+=("$(seconds "$import" --quiet --database-url "sqlite://$work/ours.db" "$work/events.csv")")
        again+=("$(seconds "$import" --quiet --database-url "sqlite://$work/ours.db" "$work/events.csv")")
        if [ ! -e "$work/import.csv" ]; then
            sqlite3 -csv "$work/ours.db" "SELECT id, hex(event_id), user_id, event_type, occurred_at, properties, received_at FROM events ORDER BY occurred_at" >"$work/import.csv"
            # `.import` cannot write blobs: its table is the same, with the ids as text.
            sqlite3 "$work/ours.db" ".schema events" | sed 's/event_id BLOB/event_id TEXT/' >"$work/schema.sql"
        fi
        theirs+=("$(seconds sqlite3 "$work/theirs.db" "PRAGMA journal_mode = WAL" "PRAGMA synchronous = FULL" \
            "PRAGMA cache_size = -16384" ".read $work/schema.sql" ".import --csv $work/import.csv events")")
    done
    report SQLite "$(best "${ours[@]}")" 'sqlite3 .import' "$(best "${theirs[@]}")"
    report 'SQLite, again' "$(best "${again[@]}")" 'sqlite3 .import' "$(best "${theirs[@]}")"
}

# Peak resident memory at the number of rows and ten times as many.
measure_memory() {
    local count
    for count in "$rows" $((rows * 10)); do
        sql postgres "DROP DATABASE IF EXISTS kohorta" 2>/dev/null
        sql postgres "CREATE DATABASE kohorta"
        "$import" generate --events "$count" --users $((rows / 20)) --days 90 -o "$work/memory.csv" 2>/dev/null
        /usr/bin/time -f %M -o "$work/memory" "$import" --quiet --database-url "$url/kohorta" "$work/memory.csv"
        printf '| memory, PostgreSQL, %s rows | %s MB |\n' "$count" "$(($(cat "$work/memory") / 1024))"
    done
}

main
