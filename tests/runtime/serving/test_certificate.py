"""The certificate stays the same while it is good, is renewed when it is not, and its key is its owner's alone."""

import datetime
import hashlib
import ssl
import stat

import pytest
from cryptography import x509

from edgedraft.runtime.base.errors import MissingExtraError
from edgedraft.runtime.serving.certificate import kept_certificate
from edgedraft.runtime.serving.site import Site

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
ADDRESSES = ("192.168.1.7", "10.0.0.2")


def test_it_is_kept_while_it_is_good(tmp_path):
    first = kept_certificate(tmp_path, ADDRESSES, NOW)
    for addresses, later in ((ADDRESSES, DAY), (ADDRESSES[::-1], 300 * DAY)):
        assert kept_certificate(tmp_path, addresses, NOW + later) == first
    assert first.path == tmp_path / "https.pem"
    assert [path.name for path in tmp_path.iterdir()] == ["https.pem"]


@pytest.mark.parametrize(
    ("addresses", "now"),
    [
        (("192.168.1.8",), NOW),
        (ADDRESSES[:1], NOW),
        ((*ADDRESSES, "10.0.0.3"), NOW),
        (ADDRESSES, NOW + 359 * DAY),
        (ADDRESSES, NOW + 1000 * DAY),
        (ADDRESSES, NOW - 2 * DAY),
    ],
)
def test_it_is_renewed_when_due_or_for_other_addresses(tmp_path, addresses, now):
    first = kept_certificate(tmp_path, ADDRESSES, NOW)
    second = kept_certificate(tmp_path, addresses, now)
    assert second.fingerprint != first.fingerprint
    assert kept_certificate(tmp_path, addresses, now) == second


def test_the_key_is_its_owners_alone_and_made_anew_when_others_could_read_it(tmp_path):
    first = kept_certificate(tmp_path / "new" / "folder", ADDRESSES, NOW)
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    first.path.chmod(0o640)
    second = kept_certificate(tmp_path / "new" / "folder", ADDRESSES, NOW)
    assert second.fingerprint != first.fingerprint
    assert stat.S_IMODE(second.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", b"\xff"])
def test_a_broken_file_is_replaced(tmp_path, text):
    (tmp_path / "https.pem").write_bytes(text)
    (tmp_path / "https.pem").chmod(0o600)
    made = kept_certificate(tmp_path, ADDRESSES, NOW)
    assert kept_certificate(tmp_path, ADDRESSES, NOW) == made


def test_it_vouches_for_these_addresses_as_a_server_and_for_nothing_else(tmp_path):
    made = kept_certificate(tmp_path, ADDRESSES, NOW)
    certificate = x509.load_pem_x509_certificate(made.path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == list(ADDRESSES)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lasts == 366 * DAY  # browsers of phones refuse more than 825 days


def test_the_fingerprint_is_the_sum_that_browsers_show(tmp_path):
    made = kept_certificate(tmp_path, ADDRESSES, NOW)
    certificate = ssl.PEM_cert_to_DER_cert(made.path.read_text()[made.path.read_text().index("-----BEGIN CERT") :])
    digest = hashlib.sha256(certificate).hexdigest().upper()
    assert made.fingerprint == ":".join(digest[i : i + 2] for i in range(0, 64, 2))


def test_a_browser_that_trusts_it_is_served_over_https_and_plain_http_is_not_spoken(serving, tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    made = kept_certificate(tmp_path, ("127.0.0.1",), now)
    trusting = ssl.create_default_context(cafile=made.path)
    with serving(Site(files={}, texts={"x": b"1"}), certificate=made.path, tls=trusting) as running:
        assert running.ask("x").body == b"1"
    with serving(Site(files={}, texts={"x": b"1"}), certificate=made.path) as running:
        try:
            answered = running.raw(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        except ConnectionResetError:
            answered = b""
        assert not answered.startswith(b"HTTP/1.1")


def test_without_cryptography_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    with pytest.raises(MissingExtraError) as error:
        kept_certificate(tmp_path, ADDRESSES, NOW)
    assert str(error.value) == 'cryptography is not installed - pip install "edgedraft[serve]"'
