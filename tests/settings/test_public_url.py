"""``metabonk.settings.public_url``: the address behind a proxy."""

import pytest

from metabonk.errors import SettingsError
from metabonk.settings import Settings, load_settings
from metabonk.settings.public_url import normalize, split_public_url


@pytest.mark.parametrize(
    ("given", "origin", "path"),
    [
        ("https://example.org", "https://example.org", ""),
        ("HTTPS://Example.org:443/", "https://example.org", ""),
        ("http://example.org:80/a/b/", "http://example.org", "/a/b"),
        ("http://10.0.0.5:8080/metabonk", "http://10.0.0.5:8080", "/metabonk"),
        ("https://[::1]:8443", "https://[::1]:8443", ""),
    ],
)
def test_an_address_is_kept_as_browsers_write_its_origin(given: str, origin: str, path: str):
    assert split_public_url(normalize(given)) == (origin, path)


@pytest.mark.parametrize(
    "given",
    [
        *("example.org", "ftp://example.org", "https://", "https://a:x", "http://[", "/metabonk"),
        *("https://me@a.org", "https://a.org?x=1", "https://a.org/#x", 'https://a.org/"><script>'),
    ],
)
def test_what_is_no_address_of_a_page_is_refused_with_an_example(
    given: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("METABONK_PUBLIC_URL", given)
    with pytest.raises(SettingsError, match=r"public_url .*such as https://example.org"):
        load_settings()


@pytest.mark.parametrize(
    ("url", "is_remote"),
    [
        (None, False),
        ("http://localhost:8080/metabonk", False),
        ("https://[::1]:8443", False),
        ("https://example.org", True),
    ],
)
def test_a_page_that_a_proxy_shows_to_others_needs_the_token(url: str | None, is_remote: bool):
    settings = Settings(public_url=url)
    assert (settings.is_remote, settings.internal_host) == (is_remote, "127.0.0.1")
