"""A video that is signed can be asked what it is, and shows when it was changed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.assets import Asset
from pipeline.disclosure import SYNTHETIC, disclosure
from pipeline.errors import SigningFailed
from pipeline.frame import Frame
from pipeline.settings import Certificate
from providers.local import ffmpeg
from providers.local.inspection import index_first
from providers.provenance import Signer
from tests.shelf import FolderStore

SAID = disclosure(Frame(320, 180, 25))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    return FolderStore(tmp_path_factory.mktemp("provenance"))


@pytest.fixture(scope="module")
def video(store: FolderStore) -> Asset:
    file = store.root / "video.mp4"
    ffmpeg.run([
        "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=r=48000", "-t", "1",
        *ffmpeg.video(25), *ffmpeg.AUDIO, "-movflags", "+faststart", file,
    ])  # fmt: skip
    return store.keep(file, kind="video", media_type="video/mp4")


@pytest.fixture(scope="module")
def certificate(store: FolderStore) -> Certificate:
    """Of a signer whom an authority of this test vouches for."""
    authority, signer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = store.root / "chain.pem"
    chain.write_bytes(_issued("Signer", signer, authority) + _issued("Authority", authority, authority))
    key = store.root / "key.pem"
    key.write_bytes(signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Certificate(str(chain), str(key))


def _issued(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey) -> bytes:
    top = key is by
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named("Authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=top, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=top, crl_sign=top, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if not top:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(by, hashes.SHA256()).public_bytes(Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Likeness tests"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def told(file: Path) -> tuple[dict, set[str]]:
    """The manifest in force, and the codes of what is wrong with it."""
    with file.open("rb") as stream, c2pa.Reader("video/mp4", stream) as reader:
        found = json.loads(reader.json())
    wrong = {status["code"] for status in found["validation_results"]["activeManifest"]["failure"]}
    return found["manifests"][found["active_manifest"]], wrong


def test_a_signed_video_says_that_it_is_synthetic_and_who_says_so(
    store: FolderStore, video: Asset, certificate: Certificate
) -> None:
    signed = Signer(store, certificate).sign(video, SAID, title="Ada: synthetic video", facts={"seconds": 1.0})
    assert signed.sha256 != video.sha256
    assert (signed.kind, store.made_from[signed.id], store.facts[signed.id]) == ("video", (video,), {"seconds": 1.0})
    manifest, wrong = told(store.path(signed))
    # Nobody but this test knows the authority; all else is right.
    assert wrong == {"signingCredential.untrusted"}
    assert manifest["signature_info"]["common_name"] == "Signer"
    (actions,) = (each["data"]["actions"] for each in manifest["assertions"] if each["label"] == "c2pa.actions.v2")
    assert [(each["action"], each["digitalSourceType"]) for each in actions] == [("c2pa.created", SYNTHETIC)]
    assert index_first(store.path(signed))
    assert ffmpeg.probe(store.path(signed)) == ffmpeg.probe(store.path(video))


def test_a_signed_video_that_was_changed_shows_it(
    store: FolderStore, video: Asset, certificate: Certificate, tmp_path: Path
) -> None:
    signed = Signer(store, certificate).sign(video, SAID, title="Ada", facts={})
    content = bytearray(store.path(signed).read_bytes())
    content[-1000] ^= 1
    (tmp_path / "changed.mp4").write_bytes(content)
    _, wrong = told(tmp_path / "changed.mp4")
    assert "assertion.bmffHash.mismatch" in wrong


def test_without_a_certificate_the_video_stays_as_it_is(store: FolderStore, video: Asset) -> None:
    assert Signer(store, None).sign(video, SAID, title="Ada", facts={}) == video


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_does_not_fit_is_told_and_not_shown(
    store: FolderStore, video: Asset, certificate: Certificate, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    wrong = Certificate(certificate.chain, str(tmp_path / "key.pem"))
    with pytest.raises(SigningFailed, match="LIKENESS_C2PA_KEY") as failed:
        Signer(store, wrong).sign(video, SAID, title="Ada", facts={})
    assert "c2VjcmV0" not in f"{failed.value.message}{failed.value.details}"
