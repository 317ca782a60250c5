"""Waiting for a pause in what the user does."""

import asyncio
from collections.abc import Callable


class Later:
    """Calls an action once things have been quiet for a moment; at once where no event loop runs."""

    def __init__(self, action: Callable[[], None], wait: float) -> None:
        self._action = action
        self._wait = wait
        self._waiting: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Ask for the action; asking again before it was carried out puts it off."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._action()
            return
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = loop.call_later(self._wait, self._action)
