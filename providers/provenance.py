"""Content Credentials: a manifest in the video, signed with the operator's certificate (C2PA).

Who reads it sees that the file is synthetic, who says so, and that nothing of it was changed since.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pipeline.assets import Asset
from pipeline.disclosure import Disclosure
from pipeline.errors import ProviderMissing, SigningFailed
from pipeline.ports import AssetStore
from pipeline.settings import Certificate

CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


class Signer:
    """Signs what an attempt has made; without a certificate everything stays as it is."""

    def __init__(self, assets: AssetStore, certificate: Certificate | None) -> None:
        self._assets = assets
        self._certificate = certificate

    def sign(self, video: Asset, disclosure: Disclosure, *, title: str, facts: Mapping[str, Any]) -> Asset:
        """Raises ProviderMissing without the extra `c2pa`, SigningFailed."""
        if self._certificate is None:
            return video
        with self._assets.open(video) as source, self._assets.scratch() as folder:
            target = folder / "signed.mp4"
            write(source, target, manifest(disclosure, title, video.media_type), self._certificate)
            return self._assets.keep(
                target, kind=video.kind, media_type=video.media_type, facts=facts, made_from=[video]
            )


def manifest(disclosure: Disclosure, title: str, media_type: str) -> dict[str, Any]:
    """C2PA 2.x: the file was created, and of what kind its source is."""
    created = {
        "action": "c2pa.created",
        "digitalSourceType": disclosure.digital_source_type,
        "description": disclosure.statement,
    }
    return {
        "claim_generator_info": [{"name": "Likeness"}],
        "title": title,
        "format": media_type,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def write(source: Path, target: Path, told: Mapping[str, Any], certificate: Certificate) -> None:
    """The source with the manifest in it. Raises ProviderMissing, SigningFailed."""
    try:
        c2pa = import_module("c2pa")
    except ImportError:
        raise ProviderMissing("Videos are to be signed, and the extra `c2pa` is not installed here.") from None
    try:
        key = Path(certificate.key).read_bytes()
        chain = Path(certificate.chain).read_bytes()
        signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(alg=_algorithm(key).encode(), sign_cert=chain, private_key=key, ta_url=None)
        )
        with signer, source.open("rb") as plain, target.open("w+b") as signed:
            c2pa.Builder(json.dumps(told)).sign(signer, "video/mp4", plain, signed)
    except (OSError, ValueError, TypeError, c2pa.C2paError) as error:
        # The error's own words may quote the key.
        raise SigningFailed(
            "The video could not be signed with the certificate that is set here: see LIKENESS_C2PA_CERTIFICATE and "
            "LIKENESS_C2PA_KEY.",
            reason=type(error).__name__,
        ) from None


def _algorithm(pem: bytes) -> str:
    key = serialization.load_pem_private_key(pem, password=None)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise ValueError("a key that C2PA does not take")
