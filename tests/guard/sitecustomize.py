"""Put on PYTHONPATH by ``tests/test_sockets.py``: refuses and records every outbound connection and name look-up of a process.

Python runs this file before anything else, in worker processes too. Sockets between processes of this machine stay (AF_UNIX).
"""

import os
import socket
import sys

OUTBOUND = {
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
}
LOG = os.environ["SWINKIT_SOCKET_LOG"]


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event not in OUTBOUND:
        return
    if isinstance(arguments[0], socket.socket) and arguments[0].family == getattr(socket, "AF_UNIX", None):
        return
    with open(LOG, "a", encoding="utf-8") as log:
        log.write(f"{event} {arguments[1:] or arguments}\n")
    raise PermissionError(f"outbound: {event} {arguments}")


sys.addaudithook(refuse)
