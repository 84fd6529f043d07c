"""What a registry is: a factory of watchers, each an async iterator of complete endpoint sets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

from resolver.model import Endpoint
from resolver.target import Target

# A watcher yields the *whole* set of endpoints, first what is there now and then after every change, in any order. An
# empty set is a fact and is yielded like any other; what is not known (a registry out of reach) is not an empty set, so
# nothing is yielded then. It runs on the control plane's loop, must not block it, and is closed with `aclose()`. When
# it raises or ends, the last set stays in force and a new watcher is made, after a back-off.
EndpointWatcher = AsyncGenerator[Sequence[Endpoint], None]

# Called in the thread that opens the channel: it checks the target and raises TargetError when it cannot be meant,
# without touching a network. The watcher it returns has not begun yet.
WatcherFactory = Callable[[Target], EndpointWatcher]
