"""HTTP requests to this machine.

``httpx.get`` and its like load the certificates of the machine for every request, some 35 ms of
CPU: a test that polls so takes a core from the fleet that it waits for.
"""

import httpx

from tests.support.waiting import GENEROUS_S

_client = httpx.Client(
    timeout=GENEROUS_S,
    # Only plain HTTP is requested, and never through a proxy.
    verify=False,
    trust_env=False,
    # Servers of tests come and go on the same ports.
    limits=httpx.Limits(max_keepalive_connections=0),
)

get, head, post, put, stream = (
    _client.get,
    _client.head,
    _client.post,
    _client.put,
    _client.stream,
)
