"""Settings of the hub, which shows environments of other trainers."""

from pydantic import Field

from metabonk.settings.section import Section


class Hub(Section):
    """The hub that ``metabonk.Broadcast`` starts where no fleet and no ``metabonk watch`` runs."""

    idle_s: float = Field(
        30.0,
        ge=1,
        le=86_400,
        description="seconds after the end of the last broadcast until a hub ends that was started "
        "by one",
    )
