"""The self-signed certificate of this machine, kept in a file that only its owner can read, and renewed when due."""

import datetime
import ipaddress
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from edgedraft.runtime.base.errors import MissingExtraError
from edgedraft.runtime.base.replacing import replacing_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

_NAME = "https.pem"
_OWN_MODE = 0o600
_VALID_FOR = datetime.timedelta(days=365)
_RENEWED_BEFORE = datetime.timedelta(days=7)
_CLOCK_TOLERANCE = datetime.timedelta(days=1)  # a phone whose clock is behind must not find it "not yet valid"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptCertificate:
    """A PEM file with key and certificate, and the certificate's SHA-256 as browsers show it."""

    path: Path
    fingerprint: str


def kept_certificate(folder: Path, addresses: Sequence[str], now: datetime.datetime) -> KeptCertificate:
    """Return the certificate in ``folder`` for these IP ``addresses``, made anew only when it must be.

    It stays the same from run to run, so that a browser asks once. It is replaced when it is missing or unreadable,
    ends within a week, is for other addresses, or when others may read its key. ``now`` has a time zone.
    """
    path = folder / _NAME
    certificate = _read(path)
    if certificate is None or not _good(certificate, addresses, now):
        certificate = _created(path, addresses, now)
    return KeptCertificate(path=path, fingerprint=_fingerprint(certificate))


def _read(path: Path) -> "Certificate | None":
    """Read the certificate in ``path``; None where there is none, or where others may read its key."""
    x509 = _cryptography()
    try:
        # Windows has no mode bits: there, the user's profile folder protects the key.
        private = os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == _OWN_MODE
        return x509.load_pem_x509_certificate(path.read_bytes()) if private and not path.is_symlink() else None
    except (OSError, ValueError):
        return None


def _good(certificate: "Certificate", addresses: Sequence[str], now: datetime.datetime) -> bool:
    names = certificate.extensions.get_extension_for_class(_cryptography().SubjectAlternativeName).value
    covered = {str(address) for address in names.get_values_for_type(_cryptography().IPAddress)}
    begun = certificate.not_valid_before_utc <= now
    lasts = certificate.not_valid_after_utc - now > _RENEWED_BEFORE
    return covered == set(addresses) and begun and lasts


def _created(path: Path, addresses: Sequence[str], now: datetime.datetime) -> "Certificate":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(key, addresses, now)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    if path.is_symlink():  # the key must not go to wherever a link leads
        path.unlink()
    with replacing_file(path, mode=_OWN_MODE) as temporary:
        temporary.write_bytes(text + certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


def _signed(key: "EllipticCurvePrivateKey", addresses: Sequence[str], now: datetime.datetime) -> "Certificate":
    """Sign a certificate for these addresses that serves as a server's and cannot sign others."""
    from cryptography.hazmat.primitives import hashes

    x509 = _cryptography()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edgedraft on this computer")])
    names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - _CLOCK_TOLERANCE,
        not_valid_after=now + _VALID_FOR,
    )
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    # Whoever accepts it trusts this server alone: a stolen key cannot vouch for other sites.
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    signed: Certificate = builder.add_extension(usage, critical=False).sign(key, hashes.SHA256())
    return signed


def _fingerprint(certificate: "Certificate") -> str:
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _cryptography() -> ModuleType:
    try:
        from cryptography import x509
    except ImportError as error:
        raise MissingExtraError("cryptography", "serve") from error
    return x509
