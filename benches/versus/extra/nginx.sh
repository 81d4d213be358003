#!/bin/sh
# nginx.sh ADDR THREADS: nginx with THREADS workers, which answers each request with the same text.
#
# Its answer is 154 bytes, 23 more than that of the other servers: it always says "Connection: keep-alive".
# It cannot compute for /spin/, so that it is left out where that is asked for.
set -eu
reuseport=
[ "$2" -eq 1 ] || reuseport=" reuseport"
configuration=$(mktemp)
# nginx removes this file when it ends, whatever file that is.
pid=$(mktemp)
cat >"$configuration" <<CONFIGURATION
daemon off;
pid $pid;
worker_processes $2;
worker_rlimit_nofile $(ulimit -Hn);
events {
    worker_connections $(($(ulimit -Hn) - 64));
}
http {
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    default_type text/plain;
    server {
        listen $1 backlog=4096$reuseport;
        location / {
            return 200 "Hello, World!";
        }
        location /spin/ {
            return 501;
        }
    }
}
CONFIGURATION
# nginx reads it by the descriptor, so that no file is left behind.
exec 3<"$configuration"
rm "$configuration"
exec nginx -e stderr -p "${TMPDIR:-/tmp}" -c /dev/fd/3
