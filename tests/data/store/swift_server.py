"""OpenStack Swift in one process, on one folder: account, container, object and proxy server, Swift's API and S3's.

Run by Debian's own Python, which Debian's Swift is installed for:

    /usr/bin/python3 swift_server.py FOLDER PROXY_PORT MEMCACHED_PORT FREE_PERCENT

The storage servers get any free port when FOLDER is empty, and keep it. FREE_PERCENT is Swift's `fallocate_reserve`:
how much of the disk must be free for it to take an object; 100 is what a full disk looks like.
"""

import socket
import sys
from pathlib import Path

import eventlet
import eventlet.wsgi
from swift.common import ring, storage_policy, utils, wsgi

KINDS = ("account", "container", "object")
# The accounts: user `tester` and his key, known to both APIs.
PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors cache s3api tempauth copy versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:versioned_writes]
use = egg:swift#versioned_writes
[filter:symlink]
use = egg:swift#symlink
"""
STORAGE = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""


def listen(port):
    """A socket on the loopback."""
    sock = eventlet.listen(("127.0.0.1", port), reuse_addr=True)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def write_ring(folder, kind, port):
    """One device, one copy."""
    builder = ring.RingBuilder(1, 1, 0)
    builder.add_dev({"id": 0, "region": 0, "zone": 0, "weight": 1, "ip": "127.0.0.1", "port": port, "device": "disk"})
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def storage_sockets(folder):
    """The sockets of the storage servers, whose ports are in the rings."""
    ports = folder / "ports"
    known = ports.read_text().split() if ports.exists() else [0] * len(KINDS)
    sockets = dict(zip(KINDS, (listen(int(port)) for port in known), strict=True))
    if not ports.exists():
        (folder / "devices" / "disk").mkdir(parents=True)
        for kind, sock in sockets.items():
            write_ring(folder, kind, sock.getsockname()[1])
        ports.write_text(" ".join(str(sock.getsockname()[1]) for sock in sockets.values()))
    return sockets


def serve(name, text, folder, sock):
    """Start one server, as Swift's own command does, in a green thread."""
    path = folder / f"{name}-server.conf"
    path.write_text(text)
    wsgi._initrp(str(path), f"{name}-server")
    app = wsgi.loadapp(str(path), global_conf={"log_name": f"{name}-server"})
    options = {"protocol": wsgi.SwiftHttpProtocol, "socket_timeout": 60, "capitalize_response_headers": False}
    return eventlet.spawn(eventlet.wsgi.server, sock, app, utils.NullLogger(), **options)


def main():
    folder, port, memcached, free = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    eventlet.hubs.use_hub(utils.get_hub())
    utils.eventlet_monkey_patch()
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n")
    utils.FALLOCATE_RESERVE, utils.FALLOCATE_IS_PERCENT = utils.config_fallocate_value(f"{free}%")
    utils.set_swift_dir(str(folder))
    storage_policy.reload_storage_policies()
    threads = [
        serve(kind, STORAGE.format(folder=folder, kind=kind), folder, sock)
        for kind, sock in storage_sockets(folder).items()
    ]
    threads.append(serve("proxy", PROXY.format(folder=folder, memcached=memcached), folder, listen(port)))
    for thread in threads:
        thread.wait()


if __name__ == "__main__":
    main()
