# shellcheck shell=bash
# servers.sh - how to run nginx, redis-server and memcached for a test or a demonstration: in the foreground, on a
# loopback port of their own, with everything that they write in one folder.
#
#   server_prepare NAME PORT FOLDER     makes FOLDER and the configuration; then the command is in the array `server`,
#                                       and the exchange that a client of it has in the array `exchange` (options of demo-client)

# Debian puts nginx where only root's PATH looks.
PATH=$PATH:/usr/sbin:/sbin

server_prepare() {
    local name=$1 port=$2 folder=$3
    mkdir -p "$folder"
    case $name in
    nginx) prepare_nginx "$port" "$folder" ;;
    redis-server)
        server=(redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$folder")
        # shellcheck disable=SC2034 # for who called
        exchange=(-s 'PING\r\n' -x '+PONG\r\n')
        ;;
    memcached)
        server=(memcached -l 127.0.0.1 -p "$port" -U 0 -t 2)
        # It insists on a user to change to when it is started by root.
        [ "$(id -u)" != 0 ] || server+=(-u nobody)
        exchange=(-s 'version\r\n' -x 'VERSION ')
        ;;
    *)
        echo "servers: unknown server: $name" >&2
        return 1
        ;;
    esac
}

# A master and one worker, as in production; the worker runs as nobody if root starts it.
prepare_nginx() {
    local port=$1 folder=$2
    cat >"$folder/nginx.conf" <<CONF
daemon off;
worker_processes 1;
pid $folder/nginx.pid;
error_log stderr notice;
events {
    worker_connections 256;
}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$port;
        location / {
            return 200 "nginx answers\\n";
        }
    }
}
CONF
    server=(nginx -p "$folder" -c "$folder/nginx.conf" -e stderr)
    # shellcheck disable=SC2034
    exchange=(-s 'GET / HTTP/1.0\r\n\r\n' -x 'nginx answers')
}
