"""Asks /healthz and exits 0 or 1: the container's HEALTHCHECK. Standard library only, so that it starts in a moment.

    python -m sipfailover.healthcheck [URL]

Without URL it asks `SIPFAILOVER_HEALTH_URL`, else http://127.0.0.1:8080/healthz, which is the default of
`status.listen`.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8080/healthz"
URL_VARIABLE = "SIPFAILOVER_HEALTH_URL"
TIMEOUT = 2.5
"""Seconds; under the 3 s after which a container engine kills the probe."""


def probe(url: str) -> str:
    """Empty when the service says that it is healthy, otherwise why not."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"not a URL: {url} ({error})"
    if parts.scheme != "http" or not parts.hostname:
        return f"not an http URL: {url}"
    connection = HTTPConnection(parts.hostname, port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{url}: {error or type(error).__name__}"
    finally:
        connection.close()
    return "" if status == 200 else f"{url}: answered {status}"


def main(arguments: list[str] | None = None) -> int:
    """0 healthy, 1 not; the reason goes to standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    why = probe(given[0] if given else os.environ.get(URL_VARIABLE) or DEFAULT_URL)
    if why:
        print(why, file=sys.stderr)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
