"""SMP group 2, statistics: named counters."""

from host.link.client import SmpClient
from protocol import smp


class StatGroup:
    """Typed calls of the statistics group."""

    def __init__(self, client: SmpClient) -> None:
        self._client = client

    def names(self) -> tuple[str, ...]:
        """List the statistics groups: `link`, `loop` and one per task."""
        return self._client.read(smp.GROUP_STAT, smp.STAT_LIST).texts("stat_list")

    def read(self, name: str) -> dict[str, int]:
        """Read the counters of one group."""
        return (
            self._client.read(smp.GROUP_STAT, smp.STAT_SHOW, {"name": name}).sub("fields").counts()
        )
