# shellcheck shell=bash
# servers.sh - how to run servers of Debian's for a test, a demonstration or the gauntlet: in the foreground, on a loopback
# port of their own, with everything that they write in one folder.  Root and other users can run each of them; started by
# root, those that change their user in production do it here too.
#
#   servers_known                       the names, one a line
#   server_prepare NAME PORT FOLDER     makes FOLDER and the configuration; then the command is in the array `server`, and the
#                                       exchange that shows that it answers in the array `exchange`: what a client sends and
#                                       what it waits for, with C escapes (\r \n \t \0 \\ \" \xHH), as options of demo-client
#
# FOLDER must be reachable for other users when root runs a server (each folder above it has x for all).

# Debian puts servers where only root's PATH looks.
PATH=$PATH:/usr/sbin:/sbin

# As systemd and Debian's packages run programs of Python's: not what a user has put before it in PATH.
python=/usr/bin/python3

servers_known() {
    printf '%s\n' nginx redis-server memcached haproxy lighttpd apache2 node python-http python-asyncio sshd postgresql \
        dnsmasq unbound vsftpd mosquitto ustreamer
}

# What it sets is for who called.
# shellcheck disable=SC2034
server_prepare() {
    local name=$1 port=$2 folder=$3
    servers_known | grep -xF -- "$name" >/dev/null || { echo "servers: unknown server: $name" >&2; return 1; }
    mkdir -p "$folder" || return
    "prepare_${name//-/_}" "$port" "$folder"
}

as_root() {
    [ "$(id -u)" = 0 ]
}

# shellcheck disable=SC2034
exchange_http() {
    exchange=(-s 'GET / HTTP/1.0\r\n\r\n' -x "$1")
}

# A question for the address of snag.test by TCP, behind its length; the answer ends in 127.9.9.9.
# shellcheck disable=SC2034
exchange_dns() {
    exchange=(-s '\0\x1b\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04snag\x04test\0\0\x01\0\x01' -x '\x7f\x09\x09\x09')
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
    exchange_http 'nginx answers'
}

prepare_redis_server() {
    server=(redis-server --port "$1" --bind 127.0.0.1 --save '' --appendonly no --dir "$2")
    exchange=(-s 'PING\r\n' -x '+PONG\r\n')
}

prepare_memcached() {
    server=(memcached -l 127.0.0.1 -p "$1" -U 0 -t 2)
    # It insists on a user to change to when it is started by root.
    ! as_root || server+=(-u nobody)
    exchange=(-s 'version\r\n' -x 'VERSION ')
}

# Two threads that accept.
prepare_haproxy() {
    cat >"$2/haproxy.cfg" <<CONF
global
    maxconn 256
    nbthread 2
    log stderr format raw daemon
$(! as_root || printf '    user nobody\n    group nogroup\n')
defaults
    mode http
    log global
    timeout client 60s
    timeout connect 5s
    timeout server 60s
frontend main
    bind 127.0.0.1:$1
    http-request return status 200 content-type text/plain string "haproxy answers\\n"
CONF
    server=(haproxy -db -f "$2/haproxy.cfg")
    exchange_http 'haproxy answers'
}

prepare_lighttpd() {
    mkdir -p "$2/www"
    echo 'lighttpd answers' >"$2/www/index.html"
    cat >"$2/lighttpd.conf" <<CONF
server.bind = "127.0.0.1"
server.port = $1
server.document-root = "$2/www"
server.upload-dirs = ("$2")
index-file.names = ("index.html")
$(! as_root || printf 'server.username = "nobody"\nserver.groupname = "nogroup"\n')
CONF
    server=(lighttpd -D -f "$2/lighttpd.conf")
    exchange_http 'lighttpd answers'
}

# The threaded worker that Debian's own configuration takes, with one child at the start.
prepare_apache2() {
    local modules=/usr/lib/apache2/modules
    cat >"$2/apache2.conf" <<CONF
ServerRoot $2
ServerName localhost
Listen 127.0.0.1:$1
PidFile $2/apache2.pid
DefaultRuntimeDir $2
ErrorLog /dev/stderr
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule status_module $modules/mod_status.so
StartServers 1
MinSpareThreads 2
ThreadsPerChild 8
MaxRequestWorkers 64
$(! as_root || printf 'User nobody\nGroup nogroup\n')
<Location />
    SetHandler server-status
</Location>
CONF
    server=(apache2 -D FOREGROUND -f "$2/apache2.conf")
    exchange_http 'Apache Server Status'
}

prepare_node() {
    cat >"$2/server.js" <<'SCRIPT'
require('http').createServer((request, response) => response.end('node answers\n'))
    .listen(Number(process.argv[2]), '127.0.0.1');
SCRIPT
    server=(node "$2/server.js" "$1")
    exchange_http 'node answers'
}

prepare_python_http() {
    mkdir -p "$2/www"
    server=("$python" -u -m http.server --bind 127.0.0.1 --directory "$2/www" "$1")
    exchange_http 'Directory listing for /'
}

# It says back what it is told, as the example in Python's manual does.
prepare_python_asyncio() {
    cat >"$2/server.py" <<'SCRIPT'
import asyncio
import sys


async def serve(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


asyncio.run(main())
SCRIPT
    server=("$python" -u "$2/server.py" "$1")
    exchange=(-s 'hello, asyncio\r\n' -x 'hello, asyncio')
}

# What it answers to a banner, its methods, comes from the child in its seccomp sandbox.  Of more than 10 clients at once
# it turns away some, by chance, unless told.
prepare_sshd() {
    rm -f "$2/key" "$2/key.pub"
    ssh-keygen -q -t ed25519 -N '' -f "$2/key" || return
    # Started by root it changes into this folder, which is compiled in and which its service makes.
    ! as_root || mkdir -p -m 755 /run/sshd || return
    cat >"$2/sshd_config" <<CONF
ListenAddress 127.0.0.1
Port $1
HostKey $2/key
PidFile $2/sshd.pid
UsePAM no
MaxStartups 200
CONF
    server=(/usr/sbin/sshd -D -e -f "$2/sshd_config")
    exchange=(-s 'SSH-2.0-snag\r\n' -x 'curve25519-sha256')
}

# It refuses to run as root: then it runs as postgres, which its package makes.  Asked for TLS it says N.
prepare_postgresql() {
    local bin as=()
    bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 2>/dev/null | sort -V | tail -n 1)
    if as_root; then
        chown postgres: "$2" || return
        as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
    fi
    [ -e "$2/data/PG_VERSION" ] ||
        "${as[@]}" "$bin/initdb" -D "$2/data" -A trust --no-sync --locale=C -E UTF8 >"$2/initdb.log" || return
    server=("${as[@]}" "$bin/postgres" -D "$2/data" -p "$1" -c listen_addresses=127.0.0.1
        -c unix_socket_directories= -c shared_buffers=16MB -c fsync=off)
    exchange=(-s '\0\0\0\x08\x04\xd2\x16\x2f' -x N)
}

prepare_dnsmasq() {
    server=(dnsmasq --keep-in-foreground --conf-file=/dev/null --log-facility=- --port="$1" --listen-address=127.0.0.1
        --bind-interfaces --no-resolv --no-hosts --address=/snag.test/127.9.9.9 --pid-file="$2/dnsmasq.pid")
    server+=(--user="$(! as_root && id -un || echo nobody)")
    exchange_dns
}

prepare_unbound() {
    cat >"$2/unbound.conf" <<CONF
server:
    interface: 127.0.0.1
    port: $1
    do-daemonize: no
    directory: "$2"
    chroot: ""
    pidfile: ""
    logfile: ""
    use-syslog: no
    username: "$(! as_root || echo nobody)"
    module-config: "iterator"
    local-zone: "test." static
    local-data: "snag.test. A 127.9.9.9"
remote-control:
    control-enable: no
CONF
    server=(unbound -d -c "$2/unbound.conf")
    exchange_dns
}

# A process for each client, in a seccomp sandbox of its own.
prepare_vsftpd() {
    mkdir -p "$2/empty"
    chmod 555 "$2/empty"
    cat >"$2/vsftpd.conf" <<CONF
listen=YES
background=NO
listen_address=127.0.0.1
listen_port=$1
local_enable=YES
anonymous_enable=NO
secure_chroot_dir=$2/empty
seccomp_sandbox=YES
nopriv_user=nobody
$(as_root || echo run_as_launching_user=YES)
CONF
    server=(vsftpd "$2/vsftpd.conf")
    exchange=(-s 'QUIT\r\n' -x '221 ')
}

# CONNECT of MQTT 3.1.1 without a client's name, and CONNACK.
prepare_mosquitto() {
    cat >"$2/mosquitto.conf" <<CONF
listener $1 127.0.0.1
allow_anonymous true
persistence false
log_dest stderr
$(! as_root || echo 'user nobody')
CONF
    server=(mosquitto -c "$2/mosquitto.conf")
    exchange=(-s '\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0' -x '\x20\x02\0\0')
}

# There is no camera: it serves its state, and looks for one.
prepare_ustreamer() {
    server=(ustreamer --host 127.0.0.1 --port "$1" --device "$2/none")
    exchange=(-s 'GET /state HTTP/1.0\r\n\r\n' -x '"ok": true')
}
