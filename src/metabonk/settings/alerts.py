"""Settings of alerts."""

from pydantic import Field, SecretStr, field_validator

from metabonk.settings.section import Section


class Alerts(Section):
    """Messages to whoever sleeps while the fleet trains: one for each incident."""

    webhook: SecretStr | None = Field(
        None,
        exclude=True,
        description="address that incidents are posted to: of Slack, Discord or ntfy, or of a "
        "program of yours, which gets JSON",
    )
    no_progress_min: int = Field(
        15,
        ge=0,
        le=10_000,
        description="minutes in which nothing was learned, or played in mode play; 0: never",
    )

    @field_validator("webhook")
    @classmethod
    def _check_webhook(cls, webhook: SecretStr | None) -> SecretStr | None:
        if webhook is not None and not webhook.get_secret_value().startswith(
            ("https://", "http://")
        ):
            raise ValueError("must begin with https:// or http://")
        return webhook
